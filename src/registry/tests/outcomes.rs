//! Instances that are ejected for what clients report of them.

use super::*;

fn outcome(instance: &str, successes: u32, failures: u32) -> Outcome {
    Outcome { id: id(instance), successes, failures, latency_ms: None }
}

async fn report(registry: &Registry, instance: &str, successes: u32, failures: u32) -> bool {
    let outcomes = vec![outcome(instance, successes, failures)];
    registry.report(service("web"), outcomes).await.unwrap()[0].1
}

async fn web(instances: u8) -> (Registry, TestStore) {
    let (registry, store) = start(policy());
    for number in 1..=instances {
        let spec = spec(&format!(r#"{{"addresses":["10.0.0.{number}"],"ttl":null}}"#));
        registry.register(service("web"), id(&format!("web-{number}")), spec).await.unwrap();
    }
    (registry, store)
}

fn out(registry: &Registry) -> Vec<(String, Vec<&'static str>)> {
    let view = registry.views().service("web").unwrap();
    let out = view.instances.iter().filter(|view| !view.usable());
    out.map(|view| (view.instance.id.to_string(), view.reasons())).collect()
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_fails_is_out_for_30_s_and_comes_back_by_itself() {
    let (registry, store) = web(3).await;
    let (before, commits) = (registry.views().revision(), store.commits.lock().unwrap().len());

    assert!(report(&registry, "web-2", 0, 5).await);

    assert_eq!(out(&registry), [("web-2".into(), vec!["ejected"])]);
    assert_eq!(registry.views().revision(), before.next());
    assert_eq!(registry.stats().ejected.load(Ordering::Relaxed), 1);
    let events = registry.journal().after(before).unwrap();
    assert!(matches!(&events[..], [event] if matches!(&event.kind, EventKind::Put(_))));
    tokio::time::sleep(Duration::from_millis(29_990)).await;
    assert_eq!(out(&registry).len(), 1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(out(&registry), []);
    assert_eq!(registry.stats().ejected.load(Ordering::Relaxed), 0);
    // A restart knows nothing of it.
    assert_eq!(store.commits.lock().unwrap().len(), commits);
}

#[tokio::test(start_paused = true)]
async fn the_last_instance_is_never_ejected() {
    let (registry, _) = web(2).await;
    report(&registry, "web-1", 0, 50).await;
    report(&registry, "web-2", 0, 50).await;
    assert_eq!(out(&registry), [("web-1".into(), vec!["ejected"])]);
    assert_eq!(registry.stats().ejections_held.load(Ordering::Relaxed), 1);

    // The other one goes: the one that is ejected is the last.
    registry.deregister(service("web"), id("web-2")).await.unwrap();

    assert_eq!(out(&registry), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_out_for_other_reasons_takes_no_place_among_the_ejected() {
    let (registry, _) = web(3).await;
    report(&registry, "web-1", 0, 5).await;
    let drain = InstancePatch { admin: Some(Some(Admin::Draining)), ..InstancePatch::default() };
    registry.patch(service("web"), id("web-1"), drain).await.unwrap();

    report(&registry, "web-2", 0, 5).await;

    let reasons = [("web-1", vec!["draining", "ejected"]), ("web-2", vec!["ejected"])];
    assert_eq!(out(&registry), reasons.map(|(id, reasons)| (id.to_owned(), reasons)));
}

#[tokio::test(start_paused = true)]
async fn registering_the_same_again_ends_no_ejection_and_another_does() {
    let (registry, _) = web(3).await;
    report(&registry, "web-1", 0, 5).await;

    let same = spec(r#"{"addresses":["10.0.0.1"],"ttl":null}"#);
    registry.register(service("web"), id("web-1"), same).await.unwrap();
    assert_eq!(out(&registry).len(), 1);
    let other = spec(r#"{"addresses":["10.0.0.9"],"ttl":null}"#);
    registry.register(service("web"), id("web-1"), other).await.unwrap();

    assert_eq!(out(&registry), []);
    // Nor does a single failure eject what came in its place.
    report(&registry, "web-1", 0, 1).await;
    assert_eq!(out(&registry), []);
}

#[tokio::test(start_paused = true)]
async fn switching_it_off_ends_all_ejections() {
    let (registry, _) = web(3).await;
    report(&registry, "web-1", 0, 5).await;
    assert_eq!(out(&registry).len(), 1);

    let off = serde_json::from_str(r#"{"ejection":"off"}"#).unwrap();
    registry.set_override(service("web"), off).await.unwrap();

    assert_eq!(out(&registry), []);
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_shown_and_forgotten() {
    let (registry, _) = web(3).await;
    let timed = |latency_ms| Outcome { latency_ms: Some(latency_ms), ..outcome("web-1", 3, 1) };
    let reported = registry
        .report(service("web"), vec![timed(10.0), timed(20.0), outcome("nobody", 1, 1)])
        .await
        .unwrap();
    let known = [("web-1", true), ("web-1", true), ("nobody", false)];
    assert_eq!(reported, known.map(|(name, known)| (id(name), known)));

    let seen = registry.outcomes(service("web")).await.unwrap();

    let expected = Outcomes {
        id: id("web-1"),
        successes: 6,
        failures: 2,
        latency_ms: Some(15.0),
        failures_in_a_row: 0,
        ejections: 0,
        ejected_until: None,
    };
    assert_eq!(seen, [expected]);
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!(registry.outcomes(service("web")).await.unwrap(), []);
    let unknown = registry.report(service("api"), Vec::new()).await;
    assert_eq!(unknown, Err(Refusal::UnknownService(service("api"))));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_to_do_when_all_of_a_service_is_gone() {
    let (registry, _) = web(3).await;
    report(&registry, "web-1", 0, 5).await;
    for number in 1..=3 {
        registry.deregister(service("web"), id(&format!("web-{number}"))).await.unwrap();
    }
    let built = || registry.stats().views_built.load(Ordering::Relaxed);
    let before = built();

    tokio::time::sleep(Duration::from_secs(60)).await;

    assert_eq!(registry.outcomes(service("web")).await.unwrap(), []);
    assert_eq!(built(), before);
}
