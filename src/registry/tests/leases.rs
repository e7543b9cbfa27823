//! Leases: when they begin and end, and what renews them.

use super::*;

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
