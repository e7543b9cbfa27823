//! What every store promises, run over each of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tempfile::TempDir;

use crate::model::{
    Admin, Change, Commit, Image, Instance, InstanceId, Label, OperatorState, Record, Revision,
    Secret, ServiceName, SettingsPatch, Status, Token, TokenId, TokenSpec,
};
use crate::store::reopen::reopen;
use crate::store::{Memory, Store};

/// A record with every kind of field; `seed` makes them differ.
pub(super) fn record(id: &str, seed: u64) -> Record {
    let instance = serde_json::json!({
        "id": id,
        "addresses": [format!("10.0.{}.{}", seed % 256, seed / 256 % 250 + 1), "2001:db8::11"],
        "ports": [{"name": "http", "port": 8080, "protocol": "tcp"}],
        "weight": seed % 65535 + 1,
        "tags": ["canary"],
        "metadata": {"version": format!("1.{seed}")},
        "locality": {"region": "eu", "zone": "eu-1a"},
        "ttl": if seed.is_multiple_of(2) { Some("30s") } else { None },
    });
    let instance: Instance = serde_json::from_value(instance).unwrap();
    let owner = (seed % 3 == 1).then(|| Label::new("shop").unwrap());
    Record { instance: Arc::new(instance), generation: seed, owner }
}

pub(super) fn put(service: &str, id: &str, seed: u64) -> Change {
    Change::Put { service: name(service), record: record(id, seed) }
}

pub(super) fn name(service: &str) -> ServiceName {
    ServiceName::new(service).unwrap()
}

fn id(id: &str) -> InstanceId {
    InstanceId::new(id).unwrap()
}

fn remove(service: &str, instance: &str) -> Change {
    Change::Remove { service: name(service), id: id(instance) }
}

fn made(seed: u8) -> Arc<Token> {
    let spec = serde_json::json!({
        "name": format!("shop-{seed}"), "scopes": ["register"], "services": ["web", "shop-*"],
        "networks": ["10.0.0.0/8"], "ttl": "9d",
    });
    let spec: TokenSpec = serde_json::from_value(spec).unwrap();
    Arc::new(spec.build(&Secret::of([seed; 32]), Duration::from_secs(1)).unwrap())
}

fn token(seed: u8, there: bool) -> Change {
    let token = made(seed);
    Change::Token { id: token.id(), token: there.then_some(token) }
}

fn patch(max_answers: u64) -> SettingsPatch {
    serde_json::from_value(serde_json::json!({"ttl": "9s", "max_answers": max_answers})).unwrap()
}

pub(super) fn commit(revision: u64, changes: Vec<Change>) -> Commit {
    Commit { revision: Revision(revision), changes }
}

/// An image as a model keeps it: what commits leave behind, in plain maps.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    instances: BTreeMap<(ServiceName, InstanceId), Record>,
    overrides: BTreeMap<ServiceName, SettingsPatch>,
    operators: BTreeMap<(ServiceName, InstanceId), OperatorState>,
    tokens: BTreeMap<TokenId, Arc<Token>>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Put { service, record } => {
                self.instances.insert((service, record.instance.id.clone()), record);
            }
            Change::Remove { service, id } => drop(self.instances.remove(&(service, id))),
            Change::Override { service, patch: Some(patch) } => {
                self.overrides.insert(service, patch);
            }
            Change::Override { service, patch: None } => drop(self.overrides.remove(&service)),
            Change::Operator { service, id, state } => {
                self.operators.insert((service, id), state);
                self.operators.retain(|_, state| !state.is_empty());
            }
            Change::Token { id, token: Some(token) } => drop(self.tokens.insert(id, token)),
            Change::Token { id, token: None } => drop(self.tokens.remove(&id)),
        }
    }

    /// Also proves the order: maps iterate as `load` promises.
    fn image(&self, revision: Revision) -> Image {
        let instances = self.instances.clone().into_iter().map(|((s, _), record)| (s, record));
        let operators = self.operators.clone().into_iter().map(|((s, id), state)| (s, id, state));
        Image {
            revision,
            instances: instances.collect(),
            overrides: self.overrides.clone().into_iter().collect(),
            operators: operators.collect(),
            tokens: self.tokens.values().cloned().collect(),
        }
    }
}

/// How a kind of store is made, and made again from what an earlier one left.
trait Kind {
    /// Whether anything is left of it when its process ends.
    const OUTLIVES: bool;
    fn new() -> Self;
    fn open(&self) -> Box<dyn Store>;
    /// After a clean end at `revision`.
    fn restart(&self, store: Box<dyn Store>, revision: Revision) -> Box<dyn Store>;
    /// After a crash.
    fn crash(&self, store: Box<dyn Store>) -> Box<dyn Store>;
}

impl Kind for TempDir {
    const OUTLIVES: bool = true;

    fn new() -> Self {
        tempfile::tempdir().unwrap()
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(reopen(self.path()))
    }

    fn restart(&self, store: Box<dyn Store>, revision: Revision) -> Box<dyn Store> {
        store.close(revision).unwrap();
        Kind::open(self)
    }

    /// What is on disk between two commits is copied, and becomes the file.
    fn crash(&self, store: Box<dyn Store>) -> Box<dyn Store> {
        let [file, copy] = ["registry.redb", "copy"].map(|name| self.path().join(name));
        std::fs::copy(&file, &copy).unwrap();
        drop(store);
        std::fs::rename(copy, file).unwrap();
        Kind::open(self)
    }
}

/// A memory store ends with its process, so there is nothing to come back to but itself.
struct InMemory;

impl Kind for InMemory {
    const OUTLIVES: bool = false;

    fn new() -> Self {
        Self
    }

    fn open(&self) -> Box<dyn Store> {
        Box::new(Memory::new())
    }

    fn restart(&self, store: Box<dyn Store>, _revision: Revision) -> Box<dyn Store> {
        store
    }

    fn crash(&self, store: Box<dyn Store>) -> Box<dyn Store> {
        store
    }
}

fn begins_empty<K: Kind>() {
    let kind = K::new();
    let mut store = kind.open();

    assert_eq!(store.load().unwrap(), Image::default());
}

fn keeps_each_kind_of_change<K: Kind>() {
    let kind = K::new();
    let mut store = kind.open();
    let drained = OperatorState { admin: Some(Admin::Draining), status: Some(Status::Warning) };
    let operator =
        |instance: &str, state| Change::Operator { service: name("api"), id: id(instance), state };
    let override_of = |service: &str, patch| Change::Override { service: name(service), patch };

    store
        .commit(&commit(
            3,
            vec![
                put("web", "a", 1),
                put("web", "a", 2),
                put("web", "b", 3),
                put("we", "b-a", 4),
                remove("web", "b"),
                remove("web", "never-was"),
                override_of("web", Some(patch(7))),
                override_of("api", Some(SettingsPatch::default())),
                operator("static-1", drained),
                operator("static-2", drained),
                operator("static-2", OperatorState::default()),
                token(1, true),
                token(2, true),
                token(2, false),
            ],
        ))
        .unwrap();
    store.commit(&commit(4, vec![override_of("web", Some(patch(9)))])).unwrap();
    store.commit(&commit(5, vec![])).unwrap();
    let mut store = kind.restart(store, Revision(5));

    assert_eq!(
        store.load().unwrap(),
        Image {
            revision: Revision(5),
            instances: vec![(name("we"), record("b-a", 4)), (name("web"), record("a", 2))],
            overrides: vec![(name("api"), SettingsPatch::default()), (name("web"), patch(9))],
            operators: vec![(name("api"), id("static-1"), drained)],
            tokens: vec![made(1)],
        }
    );
}

fn applies_a_commit_twice_as_once<K: Kind>() {
    let kind = K::new();
    let mut store = kind.open();
    let changes = vec![put("web", "a", 1), put("web", "b", 2), remove("web", "a")];

    store.commit(&commit(1, changes.clone())).unwrap();
    store.commit(&commit(2, changes)).unwrap();
    let mut store = kind.restart(store, Revision(2));

    let instances = vec![(name("web"), record("b", 2))];
    assert_eq!(
        store.load().unwrap(),
        Image { revision: Revision(2), instances, ..Image::default() }
    );
}

/// What may happen to a store, for the random test.
#[derive(Debug, Clone)]
enum Event {
    Commit(Vec<Change>),
    /// Revisions handed out in memory only.
    Expire(u64),
    Load,
    Restart,
    Crash,
}

fn changes() -> impl Strategy<Value = Change> {
    let service = || proptest::sample::select(vec!["a", "a-b", "web", "x9"]).prop_map(name);
    let instance = || (0..12).prop_map(|n| id(&format!("i{n}")));
    let admin = prop_oneof![Just(None), Just(Some(Admin::Draining)), Just(Some(Admin::Disabled))];
    prop_oneof![
        6 => (service(), 0..12, any::<u16>()).prop_map(|(service, n, seed)| Change::Put {
            service,
            record: record(&format!("i{n}"), u64::from(seed)),
        }),
        3 => (service(), instance()).prop_map(|(service, id)| Change::Remove { service, id }),
        1 => (service(), proptest::option::of(1..99_u64))
            .prop_map(|(service, n)| Change::Override { service, patch: n.map(patch) }),
        1 => (service(), instance(), admin).prop_map(|(service, id, admin)| Change::Operator {
            service,
            id,
            state: OperatorState { admin, status: None },
        }),
        1 => (0..3_u8, any::<bool>()).prop_map(|(seed, there)| token(seed, there)),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => proptest::collection::vec(changes(), 0..20).prop_map(Event::Commit),
        2 => (1..1000_u64).prop_map(Event::Expire),
        1 => Just(Event::Load),
        1 => Just(Event::Restart),
        1 => Just(Event::Crash),
    ];
    proptest::collection::vec(event, 1..25)
}

fn equals_a_model_whatever_happens<K: Kind>() {
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);

    let result = runner.run(&events(), |events| {
        let kind = K::new();
        let mut store = kind.open();
        let mut model = Model::default();
        let mut revision = store.load().unwrap().revision;
        for event in events {
            match event {
                Event::Commit(changes) => {
                    revision = revision.next();
                    changes.iter().for_each(|change| model.apply(change));
                    store.commit(&Commit { revision, changes }).unwrap();
                    continue;
                }
                Event::Expire(count) => {
                    revision.0 += count;
                    continue;
                }
                Event::Load => {}
                Event::Restart => {
                    store = kind.restart(store, revision);
                    prop_assert!(!K::OUTLIVES || store.load().unwrap().revision == revision);
                }
                Event::Crash => {
                    store = kind.crash(store);
                    let skipped = store.load().unwrap().revision;
                    prop_assert!(!K::OUTLIVES || skipped >= revision);
                    revision = revision.max(skipped);
                }
            }
            let image = store.load().unwrap();
            prop_assert_eq!(&image, &model.image(image.revision));
        }
        Ok(())
    });

    result.unwrap();
}

macro_rules! contract {
    ($kind:ty: $($promise:ident)*) => {
        $(#[test]
        fn $promise() {
            super::$promise::<$kind>();
        })*
    };
}

mod embedded {
    use super::TempDir;

    contract! { TempDir: begins_empty keeps_each_kind_of_change applies_a_commit_twice_as_once
    equals_a_model_whatever_happens }
}

mod memory {
    use super::InMemory;

    contract! { InMemory: begins_empty keeps_each_kind_of_change applies_a_commit_twice_as_once
    equals_a_model_whatever_happens }
}
