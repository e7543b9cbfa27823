//! What happens to a write between its check and its commit: other writes, a reload, an expiry.

use super::*;
use crate::model::OperatorState;

/// Holds the store's next batch, which begins with a write of no interest, until it is dropped.
struct Held {
    _gate: tokio::sync::OwnedMutexGuard<()>,
}

async fn hold(registry: &Registry, store: &TestStore) -> Held {
    let gate = Arc::clone(&store.gate).lock_owned().await;
    go(registry, |r| async move { r.register(service("other"), id("x"), at("10.9.9.9")).await })
        .await;
    Held { _gate: gate }
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

fn short(address: &str) -> InstanceSpec {
    spec(&format!(r#"{{"addresses":["{address}"],"port":80,"ttl":"1s"}}"#))
}

fn with_file(json: &[&str]) -> Policy {
    Policy { declared: declared(json), ..policy() }
}

const STATIC: &str = r#"{"id":"web-1","addresses":["10.0.0.9"],"port":80}"#;

#[tokio::test(start_paused = true)]
async fn two_changes_of_a_declared_instance_in_one_batch_both_count() {
    let (registry, store) = start(with_file(&[STATIC]));
    let held = hold(&registry, &store).await;
    let drain = InstancePatch { admin: Some(Some(Admin::Draining)), ..InstancePatch::default() };
    let drained =
        go(&registry, |r| async move { r.patch(service("web"), id("web-1"), drain).await }).await;
    let mut sick = renewal(&registry, "web", "web-1");
    sick.status = Some(Status::Critical);
    let renewed = go(&registry, |r| async move { r.renew(vec![sick]).await }).await;

    drop(held);
    drained.await.unwrap().unwrap();
    renewed.await.unwrap().unwrap();

    let view = registry.views().service("web").unwrap();
    assert_eq!(view.instances[0].reasons(), ["draining", "critical"]);
    let both = OperatorState { admin: Some(Admin::Draining), status: Some(Status::Critical) };
    let said = Change::Operator { service: service("web"), id: id("web-1"), state: both };
    let commits = store.commits.lock().unwrap();
    assert_eq!(commits.last().unwrap().changes.last(), Some(&said));
}

#[tokio::test(start_paused = true)]
async fn each_of_two_registrations_is_told_of_its_own() {
    let (registry, store) = start(policy());
    let held = hold(&registry, &store).await;
    let register = |address: &'static str| {
        go(
            &registry,
            move |r| async move { r.register(service("web"), id("web-1"), at(address)).await },
        )
    };
    let first = register("10.0.0.1").await;
    let second = register("10.0.0.2").await;
    let gone =
        go(&registry, |r| async move { r.deregister(service("web"), id("web-1")).await }).await;

    drop(held);
    let first = first.await.unwrap().unwrap();
    let second = second.await.unwrap().unwrap();
    gone.await.unwrap().unwrap();

    assert_eq!((first.created, second.created), (true, false));
    let address = |written: &Written| written.instance.instance.addresses[0].to_string();
    assert_eq!((address(&first), address(&second)), ("10.0.0.1".into(), "10.0.0.2".into()));
    assert_ne!(first.instance.generation, second.instance.generation);
    assert_eq!(ids(&registry, "web"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_the_file_took_over_meanwhile_is_the_file_s() {
    for what in ["register", "deregister", "batch"] {
        let (registry, store) = start(policy());
        registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
        let held = hold(&registry, &store).await;
        // A second batch, so that the call is planned after the first and held by the second.
        let answer = go(&registry, move |r| async move {
            let (web, web_1) = (service("web"), id("web-1"));
            match what {
                "register" => r.register(web, web_1, at("10.0.0.2")).await.map(|w| w.revision),
                "deregister" => r.deregister(web, web_1).await,
                _ => {
                    let register = vec![(web.clone(), id("web-2"), at("10.0.0.2"))];
                    r.batch(vec![(web, web_1)], register).await
                }
            }
        });
        let answer = answer.await;
        drop(held);
        let gate = Arc::clone(&store.gate).lock_owned().await;
        tokio::task::yield_now().await;
        registry.reload(with_file(&[STATIC]), false).await.unwrap();
        drop(gate);

        let answer = answer.await.unwrap();

        assert!(matches!(answer, Err(Refusal::StaticInstance { .. })), "{what}: {answer:?}");
        assert_eq!(ids(&registry, "web"), ["web-1"], "{what}");
        let view = registry.views().service("web").unwrap();
        assert_eq!(view.instances[0].source, Source::File, "{what}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(store.instances(), ["other/x"], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_only_renews_holds_also_when_the_lease_ends_meanwhile() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), short("10.0.0.1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    let held = hold(&registry, &store).await;
    drop(held);
    let gate = Arc::clone(&store.gate).lock_owned().await;
    let other =
        go(
            &registry,
            |r| async move { r.register(service("other"), id("y"), at("10.9.9.8")).await },
        );
    let again = go(&registry, |r| async move {
        r.register(service("web"), id("web-1"), short("10.0.0.1")).await
    });
    let (other, again) = tokio::join!(other, again);

    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(gate);

    let again = again.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    assert_eq!(ids(&registry, "web"), ["web-1"]);
    assert_eq!(again.instance.remaining(registry.clock().now()), Some(Duration::from_secs(1)));
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(store.instances(), ["other/x", "other/y", "web/web-1"]);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_full_nothing_builds_on_what_was_refused() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    store.full.store(true, Ordering::SeqCst);
    registry.register(service("web"), id("web-2"), at("10.0.0.2")).await.unwrap_err();

    let new = || registry.register(service("web"), id("web-1"), at("10.0.0.3"));
    let (first, second) = tokio::join!(new(), new());

    for refused in [first, second] {
        assert!(matches!(refused, Err(Refusal::Store(CommitError::Full(_)))), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn going_down_tells_a_store_that_failed_what_holds() {
    let (registry, store) = start(policy());
    store.full.store(true, Ordering::SeqCst);
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap_err();
    store.full.store(false, Ordering::SeqCst);

    let late = registry.register(service("web"), id("web-2"), at("10.0.0.2"));
    let (late, _) = tokio::join!(late, registry.shut_down());

    late.unwrap_err();
    assert_eq!(store.instances(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_a_full_store_refuses_does_not_pile_up() {
    let (registry, store) = start(policy());
    store.full.store(true, Ordering::SeqCst);

    for i in 0..1_000 {
        let id = id(&format!("web-{i}"));
        registry.register(service("web"), id, at("10.0.0.1")).await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let commits = store.commits.lock().unwrap();
    let sizes: Vec<usize> = commits.iter().map(|commit| commit.changes.len()).collect();
    assert!(sizes.len() > 5 && sizes.iter().all(|size| *size == 1), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_status_of_an_earlier_registration_is_not_that_of_the_next() {
    let (registry, store) = start(policy());
    let first = registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let held = hold(&registry, &store).await;
    let next =
        go(
            &registry,
            |r| async move { r.register(service("web"), id("web-1"), at("10.0.0.2")).await },
        );
    let next = next.await;
    let mut sick = renewal(&registry, "web", "web-1");
    sick.generation = Some(first.instance.generation);
    sick.status = Some(Status::Critical);
    let sick = go(&registry, |r| async move { r.renew(vec![sick]).await }).await;

    drop(held);
    next.await.unwrap().unwrap();
    sick.await.unwrap().unwrap();

    assert_eq!(registry.views().service("web").unwrap().usable(), 1);
}

/// What becomes of `call`, planned behind a batch that registers web-1 at 10.0.0.2 and that the file
/// overtakes on its way to the store. Registered at 10.0.0.1 is web-1 before.
async fn behind_an_overtaken_batch<F>(
    call: impl FnOnce(Registry) -> F,
) -> (Result<Written, Refusal>, String, TestStore)
where
    F: Future<Output = Result<Written, Refusal>> + Send + 'static,
{
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let held = hold(&registry, &store).await;
    let batch = go(&registry, |r| async move {
        let web = |name, address| (service("web"), id(name), at(address));
        r.batch(Vec::new(), vec![web("web-1", "10.0.0.2"), web("web-9", "10.0.0.3")]).await
    });
    let batch = batch.await;
    let behind = go(&registry, call).await;
    drop(held);
    let gate = Arc::clone(&store.gate).lock_owned().await;
    tokio::task::yield_now().await;
    let web_9 = r#"{"id":"web-9","addresses":["10.0.0.9"],"port":80}"#;
    registry.reload(with_file(&[web_9]), false).await.unwrap();
    drop(gate);

    let refused = batch.await.unwrap();
    assert!(matches!(refused, Err(Refusal::StaticInstance { .. })), "{refused:?}");
    let behind = behind.await.unwrap();
    let view = registry.views().service("web").unwrap();
    let address = view.instances[0].instance.addresses[0].to_string();
    (behind, address, store)
}

#[tokio::test(start_paused = true)]
async fn a_registration_holds_also_when_the_one_that_it_repeats_did_not_happen() {
    let again =
        |r: Registry| async move { r.register(service("web"), id("web-1"), at("10.0.0.2")).await };

    let (again, address, _) = behind_an_overtaken_batch(again).await;

    let told = again.unwrap().instance.instance.addresses[0].to_string();
    assert_eq!((told, address), ("10.0.0.2".into(), "10.0.0.2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_change_brings_nothing_with_it_that_did_not_happen() {
    let patch = InstancePatch { admin: Some(Some(Admin::Draining)), ..InstancePatch::default() };
    let drain = |r: Registry| async move { r.patch(service("web"), id("web-1"), patch).await };

    let (drained, address, _) = behind_an_overtaken_batch(drain).await;

    assert!(matches!(drained, Err(Refusal::Owned { .. })), "{drained:?}");
    assert_eq!(address, "10.0.0.1");
}

#[tokio::test(start_paused = true)]
async fn what_the_store_is_told_of_revisions_never_falls() {
    let (registry, store) = start(with_file(&[STATIC]));
    let held = hold(&registry, &store).await;
    let enabled =
        || InstancePatch { admin: Some(Some(Admin::Enabled)), ..InstancePatch::default() };
    for _ in 0..5 {
        go(&registry, |r| async move { r.patch(service("web"), id("web-1"), enabled()).await })
            .await;
    }
    drop(held);
    registry.register(service("web"), id("web-2"), at("10.0.0.2")).await.unwrap();
    registry.register(service("web"), id("web-3"), at("10.0.0.3")).await.unwrap();

    let commits = store.commits.lock().unwrap();
    let told: Vec<u64> = commits.iter().map(|commit| commit.revision.0).collect();
    assert!(told.is_sorted(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_only_renews_needs_no_store_that_can_write() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let held = hold(&registry, &store).await;
    let register = |id_name: &'static str, address: &'static str| {
        go(
            &registry,
            move |r| async move { r.register(service("web"), id(id_name), at(address)).await },
        )
    };
    let new = register("web-2", "10.0.0.2").await;
    let again = register("web-1", "10.0.0.1").await;
    let built_on = register("web-2", "10.0.0.2").await;
    drop(held);
    let gate = Arc::clone(&store.gate).lock_owned().await;
    tokio::task::yield_now().await;
    store.full.store(true, Ordering::SeqCst);
    drop(gate);

    new.await.unwrap().unwrap_err();
    again.await.unwrap().unwrap();
    built_on.await.unwrap().unwrap_err();
    assert_eq!(ids(&registry, "web"), ["web-1"]);
}

#[tokio::test(start_paused = true)]
async fn bulk_requests_that_come_together_are_not_all_one_commit() {
    let (registry, store) = start(policy());
    let held = hold(&registry, &store).await;
    let mut batches = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let register = (0..2_000).map(|i| (service(name), id(&i.to_string()), at("10.0.0.1")));
        let register = register.collect();
        batches.push(go(&registry, |r| async move { r.batch(Vec::new(), register).await }).await);
    }

    drop(held);
    for batch in batches {
        batch.await.unwrap().unwrap();
    }

    let commits = store.commits.lock().unwrap();
    let sizes: Vec<usize> = commits.iter().map(|commit| commit.changes.len()).collect();
    assert_eq!(sizes, [1, 6_000, 6_000]);
}
