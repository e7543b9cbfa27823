//! Writes: stored and visible when they are acknowledged, whole or not at all, within limits.

use super::*;

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

    assert_eq!(second, Refusal::Limit { name: Limit::InstancesPerService, max: 1 });
    assert_eq!(other, Refusal::Limit { name: Limit::Services, max: 1 });
    assert!(matches!(named, Refusal::Invalid(error) if error.field == "service"));
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
