//! What clients can make the registry hold: writes that wait, metadata in sum, names of services.

use super::*;
use crate::model::{Actor, Label};

fn client(name: &str) -> Actor {
    Actor::Client(Label::new(name).unwrap())
}

/// Starts a call and lets it reach the engine.
async fn go<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    registry: &Registry,
    call: impl FnOnce(Registry) -> F,
) -> tokio::task::JoinHandle<T> {
    let handle = tokio::spawn(call(registry.clone()));
    tokio::time::sleep(Duration::from_millis(1)).await;
    handle
}

async fn add(registry: &Registry, service_name: &str, name: &str) -> Result<Revision, Refusal> {
    let written = registry.register(service(service_name), id(name), at("10.0.0.1")).await;
    written.map(|written| written.revision)
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_more_is_not_done() {
    let (registry, store) = start(policy());
    add(&registry, "web", "stays").await.unwrap();
    let gate = Arc::clone(&store.gate).lock_owned().await;
    let first = go(&registry, |r| async move { add(&r, "web", "first").await }).await;
    let left = go(&registry, |r| async move { add(&r, "web", "left").await }).await;
    let mut sick = renewal(&registry, "web", "stays");
    sick.status = Some(Status::Critical);
    let sick = go(&registry, |r| async move { r.renew(vec![sick]).await }).await;
    let waits = go(&registry, |r| async move { add(&r, "web", "waits").await }).await;

    for gone in [left.abort_handle(), sick.abort_handle()] {
        gone.abort();
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(gate);
    first.await.unwrap().unwrap();
    waits.await.unwrap().unwrap();

    assert_eq!(ids(&registry, "web"), ["first", "stays", "waits"]);
    assert_eq!(registry.views().service("web").unwrap().usable(), 3);
    assert_eq!(store.instances(), ["web/first", "web/stays", "web/waits"]);
}

#[tokio::test(start_paused = true)]
async fn names_that_only_time_keeps_make_room_oldest_first() {
    let limits = Limits { services: 3, ..Limits::default() };
    let (registry, _store) = start(Policy { limits, ..policy() });
    registry.set_override(service("kept"), SettingsPatch::default()).await.unwrap();
    for name in ["older", "newer"] {
        add(&registry, name, "a").await.unwrap();
        registry.deregister(service(name), id("a")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let known = || {
        let names = ["kept", "older", "newer", "first", "second", "third"];
        let known = |name: &&str| registry.views().service(name).is_some();
        names.into_iter().filter(known).collect::<Vec<_>>()
    };
    assert_eq!(known(), ["kept", "older", "newer"]);

    add(&registry, "first", "a").await.unwrap();
    assert_eq!(known(), ["kept", "newer", "first"]);
    add(&registry, "second", "a").await.unwrap();
    assert_eq!(known(), ["kept", "first", "second"]);

    let full = Refusal::Limit { name: Limit::Services, max: 3 };
    assert_eq!(add(&registry, "third", "a").await.unwrap_err(), full);
    add(&registry, "kept", "a").await.unwrap();
    registry.deregister(service("first"), id("a")).await.unwrap();
    add(&registry, "first", "b").await.unwrap();
    assert_eq!(add(&registry, "third", "a").await.unwrap_err(), full);
}

#[tokio::test(start_paused = true)]
async fn one_batch_takes_the_room_of_idle_names_once() {
    let limits = Limits { services: 2, ..Limits::default() };
    let (registry, _store) = start(Policy { limits, ..policy() });
    add(&registry, "busy", "a").await.unwrap();
    add(&registry, "idle", "a").await.unwrap();
    registry.deregister(service("idle"), id("a")).await.unwrap();

    let both = ["new", "idle"].map(|name| (service(name), id("b"), at("10.0.0.1")));
    let refused = registry.batch(Vec::new(), both.to_vec()).await.unwrap_err();
    let one = registry.batch(Vec::new(), both[..1].to_vec()).await;

    assert_eq!(refused, Refusal::Limit { name: Limit::Services, max: 2 });
    one.unwrap();
    assert!(registry.views().service("idle").is_none());
    assert_eq!(ids(&registry, "new"), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_else_takes_away_what_protection_may_bring_back() {
    let defaults = Settings { protect: Share::new(0.5).unwrap(), ..Settings::default() };
    let declared = Arc::new(Declared { defaults, ..Declared::default() });
    let (registry, _store) = start(Policy { declared, ..policy() });
    let (own, other) = (registry.by(client("own")), registry.by(client("other")));
    for name in ["web-1", "web-2", "web-3"] {
        add(&own, "web", name).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Only one has ended.
    tokio::time::sleep(Duration::from_millis(9_500)).await;
    assert_eq!(ids(&registry, "web"), ["web-2", "web-3"]);

    other.deregister(service("web"), id("web-1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ids(&registry, "web"), ["web-1", "web-2", "web-3"]);
    assert_eq!(registry.views().service("web").unwrap().found.suspect, 3);
}

fn with_metadata(size: usize) -> InstanceSpec {
    let values = (0..size.div_ceil(512)).map(|n| (n, 512.min(size - n * 512)));
    let metadata: BTreeMap<_, _> =
        values.map(|(n, length)| (format!("{n:02}"), "v".repeat(length - 2))).collect();
    let spec = serde_json::json!({ "addresses": ["10.0.0.1"], "metadata": metadata });
    serde_json::from_value(spec).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slow_store_is_bounded_and_those_who_left_make_room() {
    let (registry, store) = start(policy());
    let gate = Arc::clone(&store.gate).lock_owned().await;
    let first = go(&registry, |r| async move { add(&r, "web", "first").await }).await;
    let large = with_metadata(64 * 512);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..2_500 {
        let (registry, large) = (registry.clone(), large.clone());
        let id = id(&format!("large-{number}"));
        calls.spawn(async move { registry.register(service("web"), id, large).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut refused = 0;
    while let Some(result) = calls.try_join_next() {
        assert_eq!(result.unwrap().unwrap_err(), Refusal::Behind);
        refused += 1;
    }
    assert!((500..1_000).contains(&refused), "{refused}");
    let more = registry.register(service("web"), id("refused"), large).await;
    assert_eq!(more.unwrap_err(), Refusal::Behind);
    calls.shutdown().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waits = go(&registry, |r| async move { add(&r, "web", "waits").await }).await;
    drop(gate);
    first.await.unwrap().unwrap();
    waits.await.unwrap().unwrap();

    assert_eq!(ids(&registry, "web"), ["first", "waits"]);
}

#[tokio::test(start_paused = true)]
async fn metadata_of_all_instances_together_has_a_limit() {
    let limits = Limits { metadata_total: 2_048, ..Limits::default() };
    let with_file = |json: &[&str]| Policy {
        limits: limits.clone(),
        // What the file declares does not count.
        declared: declared(json),
        ..policy()
    };
    let file = r#"{"id":"file","addresses":["10.0.0.9"],"metadata":{"a":"bc"}}"#;
    let (registry, _store) = start(with_file(&[file]));
    let put = async |name: &str, size: usize| {
        let written = registry.register(service("web"), id(name), with_metadata(size)).await;
        written.map(|written| written.revision)
    };
    let full = |field: &str| Refusal::NoRoom {
        field: field.to_owned(),
        name: Limit::MetadataTotal,
        max: 2_048,
    };
    put("a", 1_024).await.unwrap();
    put("b", 1_024).await.unwrap();

    // Full to the byte: nothing may grow, everything may shrink, and what has none may come.
    assert_eq!(put("c", 3).await.unwrap_err(), full("metadata"));
    assert_eq!(put("a", 1_027).await.unwrap_err(), full("metadata"));
    let patch: InstancePatch = serde_json::from_str(r#"{"metadata":{"x":"y"}}"#).unwrap();
    let patched = registry.patch(service("web"), id("b"), patch).await;
    assert_eq!(patched.unwrap_err(), full("metadata"));
    put("none", 0).await.unwrap();
    put("a", 1_024).await.unwrap();
    put("a", 512).await.unwrap();
    put("c", 512).await.unwrap();
    assert_eq!(put("d", 3).await.unwrap_err(), full("metadata"));

    // In one batch, what goes makes room for what comes.
    let items = ["d", "e"].map(|name| (service("web"), id(name), with_metadata(512)));
    let gone = |names: &[&str]| names.iter().map(|name| (service("web"), id(name))).collect();
    let refused = registry.batch(gone(&["c"]), items.to_vec()).await;
    assert_eq!(refused.unwrap_err(), full("register[1].metadata"));
    registry.batch(gone(&["a", "c"]), items.to_vec()).await.unwrap();
    assert_eq!(put("f", 3).await.unwrap_err(), full("metadata"));

    // So does what the file takes over, and the end of a lease.
    registry.reload(with_file(&[file, &file.replace("file", "b")]), false).await.unwrap();
    put("f", 1_024).await.unwrap();
    assert_eq!(put("g", 3).await.unwrap_err(), full("metadata"));
    tokio::time::sleep(LeaseTtl::DEFAULT.get() + Duration::from_secs(1)).await;
    assert_eq!(ids(&registry, "web"), ["b", "file"]);
    put("a", 2_048).await.unwrap();
    assert_eq!(put("g", 3).await.unwrap_err(), full("metadata"));
}

#[tokio::test(start_paused = true)]
async fn metadata_from_before_a_restart_counts() {
    let instance = with_metadata(1_024).build(id("a"), None, Admin::Enabled).unwrap();
    let record = crate::model::Record { instance: Arc::new(instance), generation: 1, owner: None };
    let image = Image { instances: vec![(service("web"), record)], ..Image::default() };
    let limits = Limits { metadata_total: 1_025, ..Limits::default() };
    let policy = Policy { limits, ..policy() };
    image.admitted(&policy, &names()).unwrap();
    let tight = Limits { metadata_total: 1_023, ..Limits::default() };
    let misfit = image.admitted(&Policy { limits: tight, ..policy.clone() }, &names());
    let (registry, engine) = Registry::new(image, policy, names(), TestStore::default().start());
    tokio::spawn(engine.run());

    let refused = registry.register(service("web"), id("b"), with_metadata(3)).await.unwrap_err();

    let full = |max| Refusal::NoRoom { field: "metadata".into(), name: Limit::MetadataTotal, max };
    assert_eq!(refused, full(1_025));
    assert_eq!(misfit.unwrap_err().refusal, full(1_023));
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_as_suspect_counts_and_needs_room() {
    for (metadata_total, kept) in [(3_072, 3), (2_048, 2)] {
        let defaults = Settings { protect: Share::new(0.5).unwrap(), ..Settings::default() };
        let declared = Arc::new(Declared { defaults, ..Declared::default() });
        let before = Policy { declared, ..policy() };
        let (registry, _store) = start(before.clone());
        for name in ["web-1", "web-2", "web-3"] {
            let spec = InstanceSpec { ttl: at("10.0.0.1").ttl, ..with_metadata(1_024) };
            registry.register(service("web"), id(name), spec).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let limits = Limits { metadata_total, ..Limits::default() };
        registry.reload(Policy { limits, ..before }, false).await.unwrap();
        tokio::time::sleep(Duration::from_secs(11)).await;

        assert_eq!(ids(&registry, "web").len(), kept);
        let more = registry.register(service("db"), id("db-1"), with_metadata(3)).await;
        assert!(matches!(more, Err(Refusal::NoRoom { .. })), "{more:?}");
    }
}
