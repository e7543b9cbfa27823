//! The engine through its handle, on virtual time, over a store that acknowledges or refuses.

mod agreement;
mod bursts;
mod checks;
mod guards;
mod in_flight;
mod lull;
mod narrow;
mod near;
mod observed;
mod outcomes;
mod owners;
mod protect;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::model::{
    Admin, Change, CommitError, Declared, DeclaredService, HealthPolicy, Instance, InstancePatch,
    LeaseTtl, Limits, Load, Millis, Share, Status,
};

/// A store that keeps what it is given and refuses while it is told to.
#[derive(Clone, Default)]
struct TestStore {
    commits: Arc<Mutex<Vec<crate::model::Commit>>>,
    full: Arc<AtomicBool>,
    /// Whether a refused batch leaves nothing behind; else it is kept all the same.
    forgetful: Arc<AtomicBool>,
    /// While a test holds it, batches stay on their way.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl TestStore {
    fn start(&self) -> mpsc::Sender<PersistRequest> {
        let (sender, mut requests) = mpsc::channel::<PersistRequest>(1);
        let store = self.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                // Even a store that refuses may have kept the batch.
                store.commits.lock().unwrap().push(request.commit);
                drop(store.gate.lock().await);
                let full = store.full.load(Ordering::SeqCst);
                if full && store.forgetful.load(Ordering::SeqCst) {
                    store.commits.lock().unwrap().pop();
                }
                let result = if full { Err(CommitError::Full("test".into())) } else { Ok(()) };
                request.done.send(result).ok();
            }
        });
        sender
    }

    /// What a restart would find.
    fn instances(&self) -> Vec<String> {
        let mut image = BTreeMap::new();
        for change in self.commits.lock().unwrap().iter().flat_map(|c| &c.changes) {
            match change {
                Change::Put { service, record } => {
                    image.insert(format!("{service}/{}", record.instance.id), ());
                }
                Change::Remove { service, id } => {
                    image.remove(&format!("{service}/{id}"));
                }
                Change::Override { .. } | Change::Operator { .. } | Change::Token { .. } => {}
            }
        }
        image.into_keys().collect()
    }
}

fn policy() -> Policy {
    Policy {
        declared: Arc::new(Declared::default()),
        limits: Limits::default(),
        forget_after: Duration::from_secs(600),
        reverse: Vec::new(),
        health: HealthPolicy::default(),
        protect: Share::default(),
    }
}

fn names() -> Names {
    Names { zone_length: "service.local".len(), server: "ns1".into() }
}

fn start(policy: Policy) -> (Registry, TestStore) {
    let store = TestStore::default();
    let (registry, engine) = Registry::new(Image::default(), policy, names(), store.start());
    tokio::spawn(engine.run());
    (registry, store)
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

fn id(name: &str) -> InstanceId {
    InstanceId::new(name).unwrap()
}

fn spec(json: &str) -> InstanceSpec {
    serde_json::from_str(json).unwrap()
}

fn at(address: &str) -> InstanceSpec {
    spec(&format!(r#"{{"addresses":["{address}"],"port":80,"ttl":"10s"}}"#))
}

fn renewal(registry: &Registry, service_name: &str, id_name: &str) -> Renewal {
    Renewal {
        service: service(service_name),
        id: id(id_name),
        generation: None,
        status: None,
        load: None,
        read_at: registry.clock().now(),
    }
}

fn ids(registry: &Registry, name: &str) -> Vec<String> {
    let view = registry.views().service(name);
    let view = view.iter().flat_map(|view| view.instances.iter());
    view.map(|i| i.instance.id.to_string()).collect()
}

fn declared(json: &[&str]) -> Arc<Declared> {
    let instances = json.iter().map(|json| {
        let spec = spec(json);
        let id = spec.id.clone().unwrap();
        spec.build(id, None, Admin::Enabled).unwrap()
    });
    let web = DeclaredService { instances: instances.collect(), ..DeclaredService::default() };
    Arc::new(Declared { services: [(service("web"), web)].into(), ..Declared::default() })
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_stored_and_visible_when_its_reply_arrives() {
    let (registry, store) = start(policy());

    let written = registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();

    assert!(written.created);
    assert_eq!(ids(&registry, "web"), ["web-1"]);
    assert_eq!(store.instances(), ["web/web-1"]);
    assert_eq!(registry.views().revision(), written.revision);
}

#[tokio::test(start_paused = true)]
async fn registering_the_same_again_only_renews() {
    let (registry, store) = start(policy());
    let first = registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let commits = store.commits.lock().unwrap().len();

    tokio::time::sleep(Duration::from_secs(8)).await;
    let second = registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(8)).await;

    assert!(!second.created);
    assert_eq!(second.revision, first.revision);
    assert_eq!(second.instance.generation, first.instance.generation);
    assert_eq!(ids(&registry, "web"), ["web-1"]);
    assert_eq!(store.commits.lock().unwrap().len(), commits);
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_within_100_ms_of_its_ttl() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();

    tokio::time::sleep(Duration::from_millis(9_990)).await;
    assert_eq!(ids(&registry, "web"), ["web-1"]);
    tokio::time::sleep(Duration::from_millis(110)).await;

    assert_eq!(ids(&registry, "web"), Vec::<String>::new());
    assert!(registry.views().service("web").is_some(), "the service stays known");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(store.instances(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_lease_alive_and_are_not_stored() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let commits = store.commits.lock().unwrap().len();

    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(7)).await;
        let renewed = registry.renew(vec![renewal(&registry, "web", "web-1")]).await.unwrap();
        assert_eq!(renewed, [Renewed::Until(Some(Duration::from_secs(10)))]);
    }

    assert_eq!(ids(&registry, "web"), ["web-1"]);
    assert_eq!(store.commits.lock().unwrap().len(), commits);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_lease_overtakes_the_longer_one() {
    let (registry, _) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let short = spec(r#"{"addresses":["10.0.0.1"],"port":80,"ttl":"1s"}"#);

    registry.register(service("web"), id("web-1"), short).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    assert_eq!(ids(&registry, "web"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn expiries_of_one_service_are_one_revision() {
    let (registry, _) = start(policy());
    let register: Vec<_> = (0..5)
        .map(|i| (service("web"), id(&format!("web-{i}")), at(&format!("10.0.0.{}", i + 1))))
        .collect();
    let before = registry.batch(Vec::new(), register).await.unwrap();

    tokio::time::sleep(Duration::from_secs(11)).await;

    assert_eq!(registry.views().revision(), before.next());
    let events = registry.journal().after(before).unwrap();
    assert_eq!(events.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_of_a_stale_generation_never_extends() {
    let (registry, _) = start(policy());
    let first = registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let second = registry.register(service("web"), id("web-1"), at("10.0.0.2")).await.unwrap();
    assert_ne!(first.instance.generation, second.instance.generation);
    tokio::time::sleep(Duration::from_secs(5)).await;

    let mut stale = renewal(&registry, "web", "web-1");
    stale.generation = Some(first.instance.generation);
    assert_eq!(registry.renew(vec![stale]).await.unwrap(), [Renewed::Owned]);
    tokio::time::sleep(Duration::from_secs(6)).await;

    assert_eq!(ids(&registry, "web"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_status_in_a_heartbeat_is_a_durable_change() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let before = registry.views().revision();
    let mut sick = renewal(&registry, "web", "web-1");
    sick.status = Some(Status::Critical);
    sick.load = Some(Load { connections: Some(17.0), ..Load::default() });

    registry.renew(vec![sick]).await.unwrap();

    let view = registry.views().service("web").unwrap();
    assert_eq!(view.usable(), 0);
    assert_eq!(view.instances[0].reasons(), ["critical"]);
    assert_eq!(view.instances[0].load().unwrap().connections, Some(17.0));
    assert_eq!(registry.views().revision(), before.next());
    let last = store.commits.lock().unwrap().last().unwrap().clone();
    assert!(matches!(&last.changes[..], [Change::Put { record, .. }]
        if record.instance.status == Status::Critical));
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_writes_keeps_renewals_and_recovers() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    store.full.store(true, Ordering::SeqCst);

    let refused = registry.register(service("web"), id("web-2"), at("10.0.0.2")).await;
    assert!(matches!(refused, Err(Refusal::Store(CommitError::Full(_)))), "{refused:?}");
    assert_eq!(ids(&registry, "web"), ["web-1"]);
    // Renewing, also by registering the same again, needs no store.
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    registry.renew(vec![renewal(&registry, "web", "web-1")]).await.unwrap();
    assert_eq!(registry.stats().degraded.load(Ordering::SeqCst), 1);

    store.full.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(2)).await;

    assert_eq!(registry.stats().degraded.load(Ordering::SeqCst), 0);
    // The refused batch was kept by the store; it was told the truth since.
    assert_eq!(store.instances(), ["web/web-1"]);
    registry.register(service("web"), id("web-2"), at("10.0.0.2")).await.unwrap();
    assert_eq!(store.instances(), ["web/web-1", "web/web-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_all_or_nothing_and_names_the_item() {
    let (registry, _) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let before = registry.views().revision();
    let bad = spec(r#"{"addresses":[]}"#);

    let refused = registry
        .batch(
            vec![(service("web"), id("web-1"))],
            vec![(service("web"), id("web-2"), at("10.0.0.2")), (service("web"), id("web-3"), bad)],
        )
        .await
        .unwrap_err();

    assert!(matches!(refused, Refusal::Invalid(error) if error.field == "register[1].addresses"));
    assert_eq!(ids(&registry, "web"), ["web-1"]);
    assert_eq!(registry.views().revision(), before);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_revision() {
    let (registry, _) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let before = registry.views().revision();

    let revision = registry
        .batch(
            vec![(service("web"), id("web-1"))],
            vec![
                (service("web"), id("web-2"), at("10.0.0.2")),
                (service("db"), id("db-1"), at("10.0.0.3")),
            ],
        )
        .await
        .unwrap();

    assert_eq!(revision, before.next());
    assert_eq!(
        (ids(&registry, "web"), ids(&registry, "db")),
        (vec!["web-2".into()], vec!["db-1".into()])
    );
}

#[tokio::test(start_paused = true)]
async fn limits_refuse_and_name_themselves() {
    let mut tight = policy();
    tight.limits.instances_per_service = 1;
    tight.limits.services = 1;
    let (registry, _) = start(tight);
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();

    let second = registry.register(service("web"), id("web-2"), at("10.0.0.2")).await.unwrap_err();
    let other = registry.register(service("db"), id("db-1"), at("10.0.0.2")).await.unwrap_err();
    let named = registry.register(service("ns1"), id("x"), at("10.0.0.2")).await.unwrap_err();

    assert_eq!(second, Refusal::Limit { name: "instances_per_service", max: 1 });
    assert_eq!(other, Refusal::Limit { name: "services", max: 1 });
    assert!(matches!(named, Refusal::Invalid(error) if error.field == "service"));
}

#[tokio::test(start_paused = true)]
async fn a_declared_instance_can_be_drained_and_keeps_it_through_a_reload() {
    let mut with_file = policy();
    with_file.declared = declared(&[r#"{"id":"web-1","addresses":["10.0.0.1"],"port":80}"#]);
    let (registry, _) = start(with_file.clone());
    let drain = InstancePatch { admin: Some(Some(Admin::Draining)), ..InstancePatch::default() };

    let written = registry.patch(service("web"), id("web-1"), drain).await.unwrap();
    assert_eq!(written.safe_in, Some(Duration::from_secs(5)));
    with_file.declared = declared(&[r#"{"id":"web-1","addresses":["10.0.0.9"],"port":80}"#]);
    let reloaded = registry.reload(with_file, false).await.unwrap();

    assert!(reloaded.changed);
    let view = registry.views().service("web").unwrap();
    assert_eq!(view.instances[0].reasons(), ["draining"]);
    assert_eq!(view.instances[0].instance.addresses[0].to_string(), "10.0.0.9");
    let refused = registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap_err();
    assert!(matches!(refused, Refusal::StaticInstance { .. }));
    let refused = registry.deregister(service("web"), id("web-1")).await.unwrap_err();
    assert!(matches!(refused, Refusal::StaticInstance { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_declared_instance_with_a_lease_lapses_and_a_heartbeat_revives_it() {
    let mut with_file = policy();
    with_file.declared = declared(&[r#"{"id":"web-1","addresses":["10.0.0.1"],"ttl":"10s"}"#]);
    let (registry, _) = start(with_file);

    tokio::time::sleep(Duration::from_millis(10_100)).await;
    let view = registry.views().service("web").unwrap();
    assert_eq!((view.usable(), view.instances[0].reasons()), (0, vec!["lease expired"]));
    registry.renew(vec![renewal(&registry, "web", "web-1")]).await.unwrap();

    assert_eq!(registry.views().service("web").unwrap().usable(), 1);
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    assert_eq!(registry.views().service("web").unwrap().usable(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_only_what_differs() {
    let mut with_file = policy();
    with_file.declared = declared(&[r#"{"id":"web-1","addresses":["10.0.0.1"]}"#]);
    let (registry, store) = start(with_file.clone());
    registry.register(service("web"), id("web-9"), at("10.0.0.9")).await.unwrap();
    let before = registry.views().revision();

    let same = registry.reload(with_file.clone(), false).await.unwrap();
    assert_eq!(same, Reloaded { revision: before, changed: false });
    // The file takes web-9 over and drops web-1.
    with_file.declared = declared(&[r#"{"id":"web-9","addresses":["10.0.0.99"]}"#]);
    let other = registry.reload(with_file, false).await.unwrap();

    assert_eq!(other, Reloaded { revision: before.next(), changed: true });
    assert_eq!(ids(&registry, "web"), ["web-9"]);
    assert_eq!(registry.views().service("web").unwrap().instances[0].source, Source::File);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(store.instances(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_undeclared_service_is_forgotten_after_its_time() {
    let (registry, _) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    registry.deregister(service("web"), id("web-1")).await.unwrap();

    tokio::time::sleep(Duration::from_secs(599)).await;
    assert!(registry.views().service("web").is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;

    assert!(registry.views().service("web").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_override_declares_a_service_until_it_is_forgotten() {
    let (registry, _) = start(policy());
    let patch = serde_json::from_str(r#"{"balance":"random"}"#).unwrap();

    let (settings, _) = registry.set_override(service("web"), patch).await.unwrap();
    assert_eq!(settings.balance, crate::model::Balance::Random);
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let refused = registry.forget(service("web")).await.unwrap_err();
    assert_eq!(refused, Refusal::NotEmpty { service: service("web"), instances: 1 });
    registry.deregister(service("web"), id("web-1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert!(registry.views().service("web").is_some_and(|view| view.declared));
    registry.forget(service("web")).await.unwrap();

    assert!(registry.views().service("web").is_none());
}

#[tokio::test(start_paused = true)]
async fn shutting_down_stores_what_waits_and_tells_the_revision() {
    let (registry, store) = start(policy());
    let pending = {
        let registry = registry.clone();
        tokio::spawn(
            async move { registry.register(service("web"), id("web-1"), at("10.0.0.1")).await },
        )
    };
    tokio::task::yield_now().await;

    let revision = registry.shut_down().await.unwrap();

    assert_eq!(pending.await.unwrap().unwrap().revision, revision);
    assert_eq!(store.instances(), ["web/web-1"]);
    assert!(store.commits.lock().unwrap().last().unwrap().revision >= revision);
    let late = registry.register(service("web"), id("web-2"), at("10.0.0.2")).await;
    assert_eq!(late.unwrap_err(), Refusal::ShuttingDown);
}

#[tokio::test(start_paused = true)]
async fn a_restart_gives_every_lease_one_full_ttl_and_never_repeats_a_revision() {
    let instance: Instance = at("10.0.0.1").build(id("web-1"), None, Admin::Enabled).unwrap();
    assert_eq!(instance.ttl, Some(LeaseTtl::new(Duration::from_secs(10)).unwrap()));
    let record = crate::model::Record { instance: Arc::new(instance), generation: 3, owner: None };
    let image = Image {
        revision: Revision(41),
        instances: vec![(service("web"), record)],
        ..Image::default()
    };
    let store = TestStore::default();
    let (registry, engine) = Registry::new(image, policy(), names(), store.start());
    tokio::spawn(engine.run());

    assert_eq!(registry.views().revision(), Revision(42));
    tokio::time::sleep(Duration::from_millis(9_900)).await;
    assert_eq!(ids(&registry, "web"), ["web-1"]);
    tokio::time::sleep(Duration::from_millis(200)).await;

    assert_eq!(ids(&registry, "web"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_service_ends_when_it_moves() {
    let (registry, _) = start(policy());
    let revision = registry.views().revision();
    let waiter = {
        let registry = registry.clone();
        tokio::spawn(async move {
            let start = tokio::time::Instant::now();
            let web = service("web");
            registry.wait_for(Some(&web), revision, Duration::from_secs(30)).await;
            start.elapsed()
        })
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    registry.register(service("db"), id("db-1"), at("10.0.0.2")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();

    let waited = waiter.await.unwrap();

    assert!(waited >= Duration::from_secs(6) && waited < Duration::from_secs(7), "{waited:?}");
}
