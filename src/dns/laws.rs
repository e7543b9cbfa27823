//! The laws that every reply keeps, whatever is registered and whatever is asked.

use std::collections::HashSet;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::HTTPS;
use proptest::prelude::*;

use crate::dns::fixture::{QueryBytes, Stand};
use crate::dns::rtype;
use crate::dns::transport::{Transport, UDP_PAYLOAD};

/// Settings, then instances, as JSON.
fn any_service() -> impl Strategy<Value = (String, Vec<String>)> {
    let balance = prop::sample::select(vec![
        "round_robin",
        "random",
        "weighted_round_robin",
        "least_connections",
        "consistent_hash",
    ]);
    let answer =
        prop::sample::select(vec!["auto", "all", "subset", "sticky_subset", "ordered", "single"]);
    let tiers = prop::sample::select(vec!["active", "all"]);
    let settings = (balance, answer, tiers, 0..3_u32, 1..40_u32);
    let settings = settings.prop_map(|(balance, answer, tiers, ttl, max)| {
        format!(
            r#"{{"balance":"{balance}","answer":"{answer}","srv_tiers":"{tiers}","ttl":"{ttl}s",
            "max_answers":{max},"txt":"all"}}"#
        )
    });
    (settings, proptest::collection::vec(any_instance(), 0..60)).prop_map(
        |(settings, instances)| {
            let numbered = instances.iter().enumerate();
            let instances = numbered.map(|(i, rest)| format!(r#"{{"id":"i-{i}",{rest}}}"#));
            (settings, instances.collect())
        },
    )
}

fn any_instance() -> impl Strategy<Value = String> {
    // Few enough numbers that some instances share addresses.
    let address = prop_oneof![
        (0..300_u16).prop_map(|n| format!(r#""10.0.{}.{}""#, n / 256, n % 256)),
        (0..300_u16).prop_map(|n| format!(r#""2001:db8::{n:x}""#)),
    ];
    let addresses = proptest::collection::btree_set(address, 1..5);
    let ports = prop::sample::select(vec![
        r#""port":80"#,
        r#""ports":[]"#,
        r#""ports":[{"name":"http","port":80},{"name":"m","port":81,"protocol":"udp"}]"#,
        r#""ports":[{"name":"m","port":81,"protocol":"udp"}]"#,
        r#""ports":[{"name":"https","port":443}]"#,
    ]);
    let rest = prop::sample::select(vec![
        r#""tags":["a"]"#,
        r#""tags":["a","b"],"locality":{"zone":"z1"}"#,
        r#""tags":["b"],"admin":"draining""#,
        r#""status":"critical""#,
        r#""ttl":"10s","metadata":{"k":"v"}"#,
        r#""ttl":"1s","metadata":{"k":"w","l":"v"}"#,
    ]);
    (addresses, ports, rest, 1..4_u16, prop_oneof![4 => Just(0), 1 => Just(1)]).prop_map(
        |(addresses, ports, rest, weight, tier)| {
            let addresses: Vec<String> = addresses.into_iter().collect();
            let addresses = addresses.join(",");
            format!(r#""addresses":[{addresses}],{ports},{rest},"weight":{weight},"tier":{tier}"#)
        },
    )
}

fn any_question() -> impl Strategy<Value = (String, u16)> {
    let name = prop::sample::select(vec![
        "web",
        "WEB",
        "i-0.web",
        "i-7.web",
        "nope.web",
        "_http._tcp.web",
        "_http.web",
        "_m.web",
        "_x.web",
        "_m._udp.web",
        "_x._tcp.web",
        "_tcp.web",
        "_tcp",
        "_web._tcp",
        "_web._udp",
        "i-0._web._tcp",
        "i-3._web._udp",
        "_dns-sd._udp",
        "_services._dns-sd._udp",
        "lb._dns-sd._udp",
        "a.tag.web",
        "a.b.tag.web",
        "no.tag.web",
        "tag.web",
        "z1.zone.web",
        "_http._tcp.a.tag.web",
        "_http._tcp.z1.zone.web",
        "k.key.web",
        "_http._tcp.K.key.web",
        "\\000.\\255\\..key.web",
        "\\000.tag.web",
        "\\.\\000.web",
        "\\255",
        "@",
        "ns1",
        "other",
        "x.i-0.web",
        "alias",
        "x.wild",
        "static",
        "y.cut",
    ]);
    let rtype = prop::sample::select(vec![
        rtype::A,
        rtype::AAAA,
        rtype::SRV,
        rtype::TXT,
        rtype::ANY,
        rtype::SOA,
        rtype::NS,
        rtype::CNAME,
        rtype::HTTPS,
        rtype::SVCB,
        rtype::PTR,
        0,
        65_535,
    ]);
    (name, rtype).prop_map(|(name, rtype)| {
        let name =
            if name == "@" { "service.local.".into() } else { format!("{name}.service.local.") };
        (name, rtype)
    })
}

const OWN_ZONE: &str = "$ORIGIN service.local.\n$TTL 60\n\
    alias CNAME web\n*.wild CNAME a.b.tag.web\nstatic A 10.0.0.1\ncut NS ns.cut\nns.cut A 10.0.0.2\n";

/// NSID, client subnet, cookie, keepalive and padding, in this order.
const OPTIONS: &[u8] = b"\0\x03\0\0\0\x08\0\x04\0\x01\0\0\0\x0a\0\x08a client\0\x0b\0\0\0\x0c\0\0";

/// Header, sections and sizes of a reply.
fn check(stand: &Stand, name: &str, rtype: u16, payload: Option<u16>, transport: Transport) {
    let mut packet = QueryBytes::new(name, rtype);
    if let Some(payload) = payload {
        packet = packet.opt(payload, 0, OPTIONS);
    }
    let bytes = stand.reply(&packet, "192.0.2.1", transport);
    let (udp, tcp) = (transport == Transport::Udp, transport != Transport::Udp);
    let limit = match (udp, payload) {
        (false, _) => 65_535,
        (true, None) => 512,
        (true, Some(payload)) => payload.clamp(512, UDP_PAYLOAD).into(),
    };
    let shown = format!("{name} {rtype} {payload:?} {transport:?}");
    assert!(bytes.len() <= limit, "{shown}");
    let padded = payload.is_some() && transport.encrypted();
    assert!(!padded || bytes.len().is_multiple_of(468), "{shown}: {}", bytes.len());
    let reply = Message::from_vec(&bytes).unwrap();
    assert_eq!(reply.edns.is_some(), payload.is_some(), "{shown}");
    assert!(!(tcp && reply.metadata.truncation), "{shown}: these sets fit TCP");

    // No record twice; one TTL for a set (RFC 2181 section 5).
    let sections = [&reply.answers, &reply.authorities, &reply.additionals];
    for section in sections {
        let mut seen = HashSet::new();
        for record in section {
            let key = (record.name.to_lowercase().to_string(), record.record_type());
            assert!(seen.insert((key.clone(), record.data.to_string())), "{shown}: {record} twice");
            let same = |other: &&hickory_proto::rr::Record| {
                (other.name.to_lowercase().to_string(), other.record_type()) == key
            };
            assert!(section.iter().filter(same).all(|r| r.ttl == record.ttl), "{shown}");
        }
    }
    // A negative answer has the SOA that says how long it holds; a referral has NS.
    let denied = reply.answers.iter().all(|r| matches!(r.data, RData::CNAME(_)));
    let code = reply.metadata.response_code;
    assert!([ResponseCode::NoError, ResponseCode::NXDomain].contains(&code), "{shown} {code}");
    assert!(denied || code == ResponseCode::NoError, "{shown}");
    let alias = !reply.answers.is_empty() && [rtype::CNAME, rtype::ANY].contains(&rtype);
    if denied && !reply.metadata.truncation && !alias {
        assert!(!reply.authorities.is_empty(), "{shown}: {reply:?}");
    } else if !denied {
        assert!(reply.authorities.is_empty(), "{shown}");
    }
    // Glue is of targets that are there, and every target exists.
    let targets: HashSet<String> = reply
        .answers
        .iter()
        .filter_map(|r| match &r.data {
            RData::SRV(srv) => Some(srv.target.to_string()),
            RData::SVCB(svcb) | RData::HTTPS(HTTPS(svcb)) => Some(svcb.target_name.to_string()),
            _ => None,
        })
        .collect();
    let pointed: HashSet<String> = reply
        .answers
        .iter()
        .filter_map(|r| match &r.data {
            RData::PTR(target) => Some(target.to_string()),
            _ => None,
        })
        .collect();
    let browsed = reply.additionals.iter().filter_map(|r| match &r.data {
        RData::SRV(srv) => Some(srv.target.to_string()),
        _ => None,
    });
    let named: HashSet<String> = browsed.chain(targets.clone()).chain(pointed.clone()).collect();
    for glue in &reply.additionals {
        let named = named.contains(&glue.name.to_string());
        assert!(named || glue.name.to_string().contains("ns"), "{shown}: {glue}");
    }
    for target in &pointed {
        let code = stand.ask(target, rtype::SRV).metadata.response_code;
        assert_eq!(code, ResponseCode::NoError, "{shown}: {target}");
    }
    for target in &targets {
        let a = stand.ask(target, rtype::A);
        let aaaa = stand.ask(target, rtype::AAAA);
        assert!(a.answers.len() + aaaa.answers.len() > 0, "{shown}: {target}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn laws_of_every_reply(
        (settings, instances) in any_service(),
        questions in proptest::collection::vec(any_question(), 1..12),
        payload in proptest::option::of(prop_oneof![0..700_u16, 1200..1300_u16, 1300..=u16::MAX]),
    ) {
        let instances: Vec<&str> = instances.iter().map(String::as_str).collect();
        let stand = Stand::new(&[("web", &settings, &instances)], &[OWN_ZONE]);
        for (name, rtype) in questions {
            for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
                check(&stand, &name, rtype, payload, transport);
            }
            // What is explained is what is said.
            let explained = stand.front.explain(&name, &format!("TYPE{rtype}"), None).unwrap();
            let said = stand.ask(&name, rtype);
            prop_assert_eq!(explained.answers.is_empty(), said.answers.is_empty(), "{} {}", name, rtype);
            for instance in &explained.instances {
                prop_assert_eq!(instance.included, instance.reasons.is_empty());
            }
        }
    }
}
