//! Who owns an instance, and what nobody else can do to it.

use super::*;
use crate::model::{Actor, Label, Record};

fn client(name: &str) -> Actor {
    Actor::Client(Label::new(name).unwrap())
}

fn owned_by(name: &str, instance: &str) -> Refusal {
    let owner = Label::new(name).unwrap();
    Refusal::OwnedBy { service: service("web"), id: id(instance), owner }
}

#[tokio::test(start_paused = true)]
async fn nobody_else_and_no_stale_generation_revives_what_is_suspect() {
    let protect = Share::new(0.5).unwrap();
    let defaults = Settings { protect, ..Settings::default() };
    let declared = Arc::new(Declared { defaults, ..Declared::default() });
    let (registry, _store) = start(Policy { declared, ..policy() });
    let (own, other) = (registry.by(client("own")), registry.by(client("other")));
    for number in 1..=4 {
        let spec = at(&format!("10.0.0.{number}"));
        own.register(service("web"), id(&format!("web-{number}")), spec).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs_f64(10.2)).await;
    let suspect = || registry.views().service("web").unwrap().found.suspect;
    assert_eq!(suspect(), 4);

    let renewal = renewal(&registry, "web", "web-1");
    let owner = Label::new("own").unwrap();
    assert_eq!(other.renew(vec![renewal.clone()]).await.unwrap(), [Renewed::OwnedBy(owner)]);
    let stale = Renewal { generation: Some(1), ..renewal.clone() };
    assert_eq!(own.renew(vec![stale]).await.unwrap(), [Renewed::Owned]);
    let taken = other.register(service("web"), id("web-1"), at("10.0.0.1")).await;
    assert_eq!(taken.unwrap_err(), owned_by("own", "web-1"));
    assert_eq!(suspect(), 4);
    assert!(matches!(own.renew(vec![renewal]).await.unwrap()[..], [Renewed::Until(_)]));

    assert_eq!(suspect(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_owns_is_stored_with_what_is_owned() {
    let (registry, store) = start(policy());
    let own = registry.by(client("own"));
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let first = own.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let again = own.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    own.register(service("web"), id("web-2"), at("10.0.0.2")).await.unwrap();

    let batch = vec![(service("web"), id("web-2")), (service("web"), id("web-1"))];
    let refused = registry.by(client("other")).batch(batch, Vec::new()).await;

    assert_eq!(first.instance.generation, again.instance.generation);
    assert_eq!(refused.unwrap_err(), owned_by("own", "web-2"));
    registry.shut_down().await;
    let commits = store.commits.lock().unwrap();
    let owners = commits.iter().flat_map(|commit| &commit.changes).map(|change| match change {
        Change::Put { record, .. } => record.owner.as_ref().map(Label::to_string),
        other => panic!("{other:?}"),
    });
    assert_eq!(owners.collect::<Vec<_>>(), [None, Some("own".into()), Some("own".into())]);
}

#[tokio::test(start_paused = true)]
async fn an_identity_owns_no_more_than_it_may() {
    let limits = Limits { instances_per_identity: 2, ..Limits::default() };
    let (registry, _store) = start(Policy { limits: limits.clone(), ..policy() });
    let (own, other) = (registry.by(client("own")), registry.by(client("other")));
    let add = async |by: &Registry, name: &str| {
        by.register(service("web"), id(name), at("10.0.0.1")).await.map(|done| done.revision)
    };
    let full = || Refusal::Limit { name: Limit::InstancesPerIdentity, max: 2 };
    registry.register(service("web"), id("nobodys"), at("10.0.0.1")).await.unwrap();
    add(&own, "a").await.unwrap();
    add(&own, "b").await.unwrap();

    assert_eq!(add(&own, "c").await.unwrap_err(), full());
    assert_eq!(add(&own, "nobodys").await.unwrap_err(), full(), "what it would come to own");
    add(&own, "a").await.unwrap();
    add(&other, "c").await.unwrap();
    let more = ["d", "e", "f"].map(|name| (service("web"), id(name), at("10.0.0.1")));
    assert_eq!(own.batch(Vec::new(), more.to_vec()).await.unwrap_err(), full());
    // In one batch, what goes makes room for what comes.
    let gone = vec![(service("web"), id("a")), (service("web"), id("b"))];
    own.batch(gone, more[..2].to_vec()).await.unwrap();
    assert_eq!(add(&own, "c2").await.unwrap_err(), full());
    // So does an end of a lease, and the file.
    tokio::time::sleep(Duration::from_secs(11)).await;
    add(&own, "g").await.unwrap();
    add(&own, "h").await.unwrap();
    let declared = declared(&[r#"{"id":"g","addresses":["10.0.0.9"]}"#]);
    let policy = Policy { limits, declared, ..policy() };
    registry.reload(policy, false).await.unwrap();
    add(&own, "i").await.unwrap();
    assert_eq!(add(&own, "j").await.unwrap_err(), full());
}

#[tokio::test(start_paused = true)]
async fn what_an_identity_owned_before_a_restart_counts() {
    let limits = Limits { instances_per_identity: 1, ..Limits::default() };
    let instance = at("10.0.0.1").build(id("a"), None, Admin::Enabled).unwrap();
    let owner = Some(Label::new("own").unwrap());
    let record = Record { instance: Arc::new(instance), generation: 1, owner };
    let image = Image { instances: vec![(service("web"), record)], ..Image::default() };
    let policy = Policy { limits, ..policy() };
    let (registry, engine) = Registry::new(image, policy, names(), TestStore::default().start());
    tokio::spawn(engine.run());

    let own = registry.by(client("own"));
    let refused = own.register(service("web"), id("b"), at("10.0.0.1"));

    let full = Refusal::Limit { name: Limit::InstancesPerIdentity, max: 1 };
    assert_eq!(refused.await.unwrap_err(), full);
}

#[tokio::test(start_paused = true)]
async fn metadata_has_a_limit_of_its_own_that_names_the_field() {
    let limits = Limits { metadata: 1_024, ..Limits::default() };
    let (registry, _store) = start(Policy { limits, ..policy() });
    let with = |size: usize| -> InstanceSpec {
        let text = "v".repeat(size);
        let metadata = serde_json::json!({ "a": text, "b": text });
        let spec = serde_json::json!({ "addresses": ["10.0.0.1"], "metadata": metadata });
        serde_json::from_value(spec).unwrap()
    };
    let over = |field: &str, size| Refusal::TooMuch {
        field: field.to_owned(),
        size,
        name: Limit::Metadata,
        max: 1_024,
    };

    registry.register(service("web"), id("a"), with(511)).await.unwrap();
    let alone = registry.register(service("web"), id("b"), with(512)).await.unwrap_err();
    let items = vec![(service("web"), id("c"), with(1)), (service("web"), id("d"), with(512))];
    let in_batch = registry.batch(Vec::new(), items).await.unwrap_err();
    let patch: InstancePatch = serde_json::from_str(r#"{"metadata":{"c":"one more"}}"#).unwrap();
    let patched = registry.patch(service("web"), id("a"), patch).await.unwrap_err();

    assert_eq!(alone, over("metadata", 1_026));
    assert_eq!(in_batch, over("register[1].metadata", 1_026));
    assert_eq!(patched, over("metadata", 1_033));
}
