//! Both directions: what is written is read back whole, and nothing else is.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{Admin, Image, Label, Status};

/// An instance with any of its fields given.
fn instance() -> impl Strategy<Value = Value> {
    let address = prop_oneof![
        any::<[u8; 2]>().prop_map(|[a, b]| format!("10.{a}.{b}.1")),
        any::<u16>().prop_map(|a| format!("2001:db8::{a:x}:1")),
    ];
    let place = (
        prop::collection::btree_set(address, 1..4),
        prop::collection::btree_map("[a-z]{1,5}", 1..=u16::MAX, 0..3),
        prop::option::of(("[a-z]{1,5}", "[a-z]{1,5}")),
        prop::option::of(1..86_400_u32),
    );
    let rest = (
        1..=u16::MAX,
        any::<u16>(),
        prop::collection::btree_set("[a-z0-9]{1,8}", 0..4),
        prop::collection::btree_map("[a-z.]{1,9}", "\\PC{0,20}|[\\x01-\\x7f]{0,9}", 0..4),
        prop::collection::btree_set("[a-z]{1,8}", 0..3),
        prop::sample::select(vec!["enabled", "draining", "disabled"]),
        prop::sample::select(vec!["passing", "warning", "critical"]),
        prop::option::of(prop::sample::select(vec!["2s", "1m"])),
    );
    (place, rest).prop_map(|((addresses, ports, locality, ttl), rest)| {
        let (weight, tier, tags, metadata, dependencies, admin, status, check) = rest;
        let ports: Vec<Value> = ports
            .iter()
            .map(|(name, port)| json!({ "name": name, "port": port, "protocol": "tcp" }))
            .collect();
        let mut instance = json!({
            "addresses": addresses, "ports": ports, "weight": weight, "tier": tier, "tags": tags,
            "metadata": metadata, "dependencies": dependencies, "admin": admin, "status": status,
            "ttl": ttl.map(|ttl| format!("{ttl}s")),
        });
        if let Some((region, zone)) = locality {
            instance["locality"] = json!({ "region": region, "zone": zone });
        }
        // A check goes to a port.
        if let Some(interval) = check.filter(|_| !ports.is_empty()) {
            instance["checks"] = json!([{ "kind": "tcp", "interval": interval }]);
        }
        instance
    })
}

fn settings() -> impl Strategy<Value = SettingsPatch> {
    let ttl = prop::option::of(0..3_600_u32);
    let most = prop::option::of(1..4_096_u32);
    let txt = prop::option::of(prop::collection::vec("[a-z]{1,5}", 1..3));
    (ttl, most, txt).prop_map(|(ttl, most, txt)| {
        let mut patch = json!({});
        if let Some(ttl) = ttl {
            patch["ttl"] = json!(format!("{ttl}s"));
        }
        if let Some(most) = most {
            patch["max_answers"] = json!(most);
        }
        if let Some(txt) = txt {
            patch["txt"] = json!(txt);
        }
        serde_json::from_value(patch).unwrap()
    })
}

fn service() -> impl Strategy<Value = ServiceName> {
    prop::sample::select(vec!["a", "a-b", "web", "x9"])
        .prop_map(|name| ServiceName::new(name).unwrap())
}

fn id() -> impl Strategy<Value = InstanceId> {
    "[a-z][a-z0-9]{0,3}x".prop_map(|id| InstanceId::new(&id).unwrap())
}

fn said() -> impl Strategy<Value = OperatorState> {
    let admin = prop::option::of(prop::sample::select(vec![Admin::Enabled, Admin::Draining]));
    let status = prop::option::of(prop::sample::select(vec![Status::Passing, Status::Critical]));
    let state = (admin, status).prop_map(|(admin, status)| OperatorState { admin, status });
    state.prop_filter("says something", |state| !state.is_empty())
}

fn image() -> impl Strategy<Value = Image> {
    let overrides = prop::collection::btree_map(service(), settings(), 0..4);
    let operators = prop::collection::btree_map((service(), id()), said(), 0..4);
    let instances =
        prop::collection::btree_map((service(), id()), (instance(), any::<u32>()), 0..12);
    (any::<u32>(), overrides, operators, instances).prop_map(
        |(revision, overrides, operators, instances)| Image {
            revision: Revision(revision.into()),
            overrides: overrides.into_iter().collect(),
            operators: operators.into_iter().map(|((s, id), state)| (s, id, state)).collect(),
            instances: records(instances),
            tokens: Vec::new(),
        },
    )
}

fn records(
    instances: BTreeMap<(ServiceName, InstanceId), (Value, u32)>,
) -> Vec<(ServiceName, Record)> {
    let record = |((service, id), (mut instance, generation)): (_, (Value, u32))| {
        let id: InstanceId = id;
        instance["id"] = json!(id);
        let instance = Arc::new(serde_json::from_value(instance).unwrap());
        let owner = (generation % 3 == 0).then(|| Label::new("shop").unwrap());
        (service, Record { instance, generation: generation.into(), owner })
    };
    instances.into_iter().map(record).collect()
}

fn written(image: &Image) -> Vec<u8> {
    let (mut writer, mut text) = (Writer::default(), Vec::new());
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        zone: "service.local".to_owned(),
        revision: image.revision,
        unix_time: 1_800_000_000,
        overrides: image.overrides.len() as u64,
        operators: image.operators.len() as u64,
        instances: image.instances.len() as u64,
    };
    writer.header(&header, &mut text);
    for (service, settings) in image.overrides.clone() {
        let settings = Arc::new(settings);
        writer.entry(&Entry::Override(Override { service, settings }), &mut text);
    }
    for (service, id, state) in image.operators.clone() {
        writer.entry(&Entry::Operator(Operator { service, id, state }), &mut text);
    }
    for (service, record) in image.instances.clone() {
        writer.entry(&Entry::Instance(Registered { service, record }), &mut text);
    }
    writer.end(&mut text);
    text
}

fn read(text: &[u8]) -> Result<Image, ReadError> {
    Ok(Reader::new(text)?.image(usize::MAX)?.image)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(image in image()) {
        prop_assert_eq!(read(&written(&image)).unwrap(), image);
    }

    #[test]
    fn no_part_of_it_and_nothing_altered_is_taken(
        image in image(),
        place in any::<prop::sample::Index>(),
        other in any::<u8>(),
    ) {
        let text = written(&image);
        let place = place.index(text.len());
        let mut altered = text.clone();
        altered[place] = if altered[place] == other { other ^ 1 } else { other };

        prop_assert!(read(&text[..place]).is_err());
        prop_assert!(read(&altered).is_err(), "{}", String::from_utf8_lossy(&altered));
    }
}
