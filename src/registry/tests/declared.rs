//! What the file and overrides declare, and what is forgotten.

use super::*;

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
