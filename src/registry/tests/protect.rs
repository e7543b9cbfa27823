//! Leases that end together, and what is kept of them.

use super::*;

/// A registry whose services are protected from losing more than half of their instances, with
/// `web-1` and so on, all with leases of 10 s.
async fn web(instances: u8) -> (Registry, TestStore) {
    let (registry, store) = start(halves());
    for number in 1..=instances {
        let spec = at(&format!("10.0.0.{number}"));
        registry.register(service("web"), id(&name(number)), spec).await.unwrap();
    }
    (registry, store)
}

pub(super) fn halves() -> Policy {
    let protect = Share::new(0.5).unwrap();
    let declared =
        Declared { defaults: Settings { protect, ..Settings::default() }, ..Declared::default() };
    Policy { declared: Arc::new(declared), ..policy() }
}

pub(super) fn name(number: u8) -> String {
    format!("web-{number}")
}

pub(super) async fn renew(registry: &Registry, number: u8) -> Renewed {
    let renewals = vec![renewal(registry, "web", &name(number))];
    registry.renew(renewals).await.unwrap().remove(0)
}

pub(super) async fn sleep(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// Each instance, and whether it is suspect.
pub(super) fn seen(registry: &Registry) -> Vec<(String, bool)> {
    let view = registry.views().service("web");
    let instances = view.iter().flat_map(|view| view.instances.iter());
    instances.map(|view| (view.instance.id.to_string(), view.suspect().is_some())).collect()
}

fn all(instances: u8, suspect: impl Fn(u8) -> bool) -> Vec<(String, bool)> {
    (1..=instances).map(|number| (name(number), suspect(number))).collect()
}

#[tokio::test(start_paused = true)]
async fn leases_that_end_together_leave_their_instances_suspect_and_answered() {
    let (registry, store) = web(4).await;
    let before = registry.views().revision();

    sleep(10.2).await;

    assert_eq!(seen(&registry), all(4, |_| true));
    let view = registry.views().service("web").unwrap();
    assert_eq!((view.usable(), view.found.suspect), (4, 4));
    assert_eq!(view.instances[0].suspect(), Some(Suspect::Service));
    assert_eq!(registry.views().revision(), before.next(), "all of it is one change");
    let events = registry.journal().after(before).unwrap();
    let put = |event: &Arc<Event>| matches!(&event.kind, EventKind::Put(view) if view.is_suspect());
    assert!(events.len() == 4 && events.iter().all(put), "{events:?}");
    let left = view.instances[0].remaining(registry.clock().now()).unwrap();
    assert!(left > Duration::from_secs(590) && left <= Duration::from_secs(600), "{left:?}");
    sleep(2.0).await;
    assert_eq!(store.instances(), ["web/web-1", "web/web-2", "web/web-3", "web/web-4"]);
    assert_eq!(registry.stats().protections.load(Ordering::Relaxed), 1);
    assert_eq!(registry.stats().suspect.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn few_leases_end_as_ever() {
    let (registry, store) = web(4).await;
    sleep(8.0).await;
    for number in [3, 4] {
        renew(&registry, number).await;
    }

    sleep(2.1).await;

    assert_eq!(seen(&registry), [(name(3), false), (name(4), false)]);
    sleep(2.0).await;
    assert_eq!(store.instances(), ["web/web-3", "web/web-4"]);
}

#[tokio::test(start_paused = true)]
async fn those_that_went_first_come_back_when_more_follow() {
    let (registry, store) = start(halves());
    // Their leases end a second apart, as those of clients that heartbeat when they like.
    for number in 1..=6 {
        let spec = at(&format!("10.0.0.{number}"));
        registry.register(service("web"), id(&name(number)), spec).await.unwrap();
        sleep(1.0).await;
    }
    let generation = registry.views().service("web").unwrap().instances[0].generation;

    sleep(6.5).await;
    assert_eq!(seen(&registry).len(), 3, "up to half of them go");
    sleep(1.0).await;

    assert_eq!(seen(&registry), all(6, |number| number <= 4));
    let first = registry.views().service("web").unwrap().instances[0].clone();
    assert_eq!(first.generation, generation, "and its heartbeats still count");
    sleep(4.0).await;
    assert_eq!(seen(&registry), all(6, |_| true));
    assert_eq!(store.instances().len(), 6);
    assert_eq!(registry.stats().instances.load(Ordering::Relaxed), 6);
}

/// Six instances whose leases end a second apart from 10 s on; 6 s have passed.
async fn six() -> Registry {
    let (registry, _) = start(halves());
    for number in 1..=6 {
        let spec = at(&format!("10.0.0.{number}"));
        registry.register(service("web"), id(&name(number)), spec).await.unwrap();
        sleep(1.0).await;
    }
    registry
}

fn reasons(registry: &Registry) -> Vec<Vec<&'static str>> {
    let view = registry.views().service("web").unwrap();
    view.instances.iter().map(InstanceView::reasons).collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_taken_back_is_ejected_no_longer() {
    let registry = six().await;
    let failures = Outcome { id: id("web-1"), successes: 0, failures: 5, latency_ms: None };
    registry.report(service("web"), vec![failures]).await.unwrap();
    assert_eq!(reasons(&registry)[0], ["ejected"]);

    sleep(7.5).await;
    assert_eq!(seen(&registry), all(6, |number| number <= 4));
    sleep(60.0).await;

    assert_eq!(reasons(&registry), vec![vec![""; 0]; 6]);
}

#[tokio::test(start_paused = true)]
async fn who_is_taken_back_is_overloaded_no_longer() {
    let registry = six().await;
    let load = Some(serde_json::from_str(r#"{"overloaded":true}"#).unwrap());
    // It is read before those that its registration counts from.
    let hot = Renewal { load, read_at: Millis(0), ..renewal(&registry, "web", "web-1") };
    registry.renew(vec![hot]).await.unwrap();
    sleep(0.1).await;
    assert_eq!(reasons(&registry)[0], ["overloaded"]);

    sleep(7.4).await;
    assert_eq!(seen(&registry), all(6, |number| number <= 4));
    sleep(100.0).await;

    assert_eq!(reasons(&registry), vec![vec![""; 0]; 6]);
}

#[tokio::test(start_paused = true)]
async fn who_is_taken_back_has_the_checks_of_its_service() {
    let registry = six().await;
    sleep(5.0).await;
    assert_eq!(seen(&registry).len(), 5, "the first is gone");
    let checks = serde_json::from_str(r#"{"checks":[{"kind":"tcp"}],"protect":0.5}"#).unwrap();
    registry.set_override(service("web"), checks).await.unwrap();

    sleep(2.5).await;

    let view = registry.views().service("web").unwrap();
    assert_eq!(seen(&registry), all(6, |number| number <= 4));
    assert!(view.instances.iter().all(|own| own.checks().len() == 1), "{view:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rolling_restart_without_deregistration_is_no_mass_failure() {
    let (registry, _) = web(4).await;
    // One after the other dies, and another id takes its place.
    for step in 1..=4_u8 {
        let spec = at(&format!("10.0.1.{step}"));
        registry.register(service("web"), id(&name(10 + step)), spec).await.unwrap();
        for _ in 0..4 {
            for number in (step + 1..=4).chain(11..=10 + step) {
                renew(&registry, number).await;
            }
            sleep(3.0).await;
            assert!(seen(&registry).iter().all(|(_, suspect)| !suspect), "{step}");
        }
    }
    assert_eq!(seen(&registry), [11, 12, 13, 14].map(|number| (name(number), false)));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_or_a_registration_clears_suspicion() {
    let (registry, _) = web(4).await;
    sleep(10.2).await;
    let before = registry.views().revision();

    assert_eq!(renew(&registry, 1).await, Renewed::Until(Some(Duration::from_secs(10))));
    let same = registry.register(service("web"), id("web-2"), at("10.0.0.2")).await.unwrap();
    registry.register(service("web"), id("web-3"), at("10.0.9.3")).await.unwrap();

    assert!(!same.instance.is_suspect() && !same.created, "{same:?}");
    assert_eq!(seen(&registry), all(4, |number| number == 4));
    assert_eq!(registry.views().revision().0, before.0 + 3);
    // What has come back is like any other.
    sleep(8.0).await;
    renew(&registry, 1).await;
    renew(&registry, 2).await;
    sleep(2.2).await;
    assert_eq!(seen(&registry), [(name(1), false), (name(2), false)]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_with_a_status_clears_suspicion_whatever_the_store_says() {
    let (registry, store) = web(3).await;
    sleep(10.2).await;
    let beat = |number: u8, status| Renewal {
        status: Some(status),
        ..renewal(&registry, "web", &name(number))
    };
    let view = || registry.views().service("web").unwrap();

    registry.renew(vec![beat(1, Status::Critical)]).await.unwrap();
    assert_eq!((seen(&registry)[0].1, view().instances[0].reasons()), (false, vec!["critical"]));
    store.full.store(true, Ordering::SeqCst);
    let refused = registry.renew(vec![beat(2, Status::Critical)]).await;

    assert!(refused.is_err(), "the status is not stored");
    assert_eq!((seen(&registry)[1].1, view().instances[1].usable()), (false, true));
    let left = view().instances[1].remaining(registry.clock().now()).unwrap();
    assert!(left > Duration::from_secs(9) && left <= Duration::from_secs(10), "{left:?}");
    assert!(seen(&registry)[2].1, "the silent one still is");
}

#[tokio::test(start_paused = true)]
async fn those_that_stay_silent_when_most_are_back_have_one_more_ttl() {
    let (registry, _) = web(4).await;
    sleep(10.2).await;
    renew(&registry, 1).await;
    sleep(1.0).await;
    let view = registry.views().service("web").unwrap();
    let left = view.instances[3].remaining(registry.clock().now()).unwrap();
    assert!(left > Duration::from_secs(500), "three of four are still too many: {left:?}");

    renew(&registry, 2).await;
    sleep(0.3).await;
    for _ in 0..3 {
        sleep(3.0).await;
        renew(&registry, 1).await;
        renew(&registry, 2).await;
    }
    assert_eq!(seen(&registry), all(4, |number| number > 2));
    sleep(1.0).await;

    assert_eq!(seen(&registry), all(2, |_| false));
}

#[tokio::test(start_paused = true)]
async fn the_protection_ends_for_good() {
    let (registry, store) = web(4).await;
    let short = serde_json::from_str(r#"{"protect_for":"1m"}"#).unwrap();
    registry.set_override(service("web"), short).await.unwrap();
    sleep(10.2).await;
    assert_eq!(seen(&registry).len(), 4);

    sleep(59.7).await;
    assert_eq!(seen(&registry), all(4, |_| true));
    sleep(0.5).await;

    assert_eq!(seen(&registry), []);
    sleep(2.0).await;
    assert_eq!(store.instances(), [""; 0]);
    assert_eq!(registry.stats().suspect.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_ends_within_a_ttl() {
    let (registry, _) = web(4).await;
    sleep(10.2).await;
    assert_eq!(seen(&registry), all(4, |_| true));

    let off = serde_json::from_str(r#"{"protect":0}"#).unwrap();
    registry.set_override(service("web"), off).await.unwrap();

    sleep(9.7).await;
    assert_eq!(seen(&registry), all(4, |_| true));
    sleep(1.0).await;
    assert_eq!(seen(&registry), []);
}

#[tokio::test(start_paused = true)]
async fn deregistration_always_counts() {
    let (registry, store) = start(halves());
    for number in 1..=5 {
        let spec = at(&format!("10.0.0.{number}"));
        registry.register(service("web"), id(&name(number)), spec).await.unwrap();
        sleep(1.0).await;
    }
    // web-1 and web-2 have gone; one of them says that it meant to.
    sleep(6.5).await;
    assert_eq!(seen(&registry), [(name(3), false), (name(4), false), (name(5), false)]);
    registry.deregister(service("web"), id("web-1")).await.unwrap();
    sleep(2.0).await;
    assert_eq!(seen(&registry)[0], (name(2), true), "it stays out, the other is back");

    registry.deregister(service("web"), id("web-2")).await.unwrap();

    assert_eq!(seen(&registry)[0], (name(3), true));
    sleep(2.0).await;
    assert_eq!(store.instances(), ["web/web-3", "web/web-4", "web/web-5"]);
}

#[tokio::test(start_paused = true)]
async fn without_protection_everything_goes() {
    let (registry, _) = start(policy());
    for number in 1..=4 {
        let spec = at(&format!("10.0.0.{number}"));
        registry.register(service("web"), id(&name(number)), spec).await.unwrap();
    }

    sleep(10.2).await;

    assert_eq!(seen(&registry), []);
}

#[tokio::test(start_paused = true)]
async fn the_registry_is_protected_as_a_whole() {
    let whole = Policy { protect: Share::new(0.4).unwrap(), ..policy() };
    let (registry, _) = start(whole);
    for number in 0..10_u8 {
        let name = format!("s{number}");
        let spec = at(&format!("10.0.0.{number}"));
        registry.register(service(&name), id("a"), spec).await.unwrap();
        sleep(0.5).await;
    }
    let suspect = |number: u8| {
        let view = registry.views().service(&format!("s{number}")).unwrap();
        view.instances.first().map(InstanceView::suspect)
    };

    // Four of ten have gone.
    sleep(6.7).await;
    assert_eq!([0, 3, 4].map(suspect), [None, None, Some(None)]);
    // With the fifth they are back.
    sleep(0.5).await;
    assert_eq!([0, 3, 4].map(suspect), [Some(Some(Suspect::Registry)); 3]);
    assert_eq!(suspect(5), Some(None));
    sleep(5.0).await;
    assert_eq!(suspect(9), Some(Some(Suspect::Registry)));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_silent_when_the_others_are_back_has_one_more_ttl() {
    let whole = Policy { protect: Share::new(0.5).unwrap(), ..policy() };
    let (registry, _) = start(whole);
    for name in ["a", "b", "c", "d"] {
        registry.register(service(name), id("i"), at("10.0.0.1")).await.unwrap();
    }
    sleep(10.2).await;
    let known = || ["a", "b", "c", "d"].map(|name| ids(&registry, name).len());
    for _ in 0..3 {
        let renewals = ["a", "b"].map(|name| renewal(&registry, name, "i"));
        registry.renew(renewals.into()).await.unwrap();
        assert_eq!(known(), [1; 4]);
        sleep(3.0).await;
    }

    sleep(2.0).await;

    assert_eq!(known(), [1, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_declared_instance_is_kept_usable_and_lapses_when_that_is_over() {
    let leased = |number: u8| {
        format!(r#"{{"id":"web-{number}","addresses":["10.0.0.{number}"],"ttl":"10s"}}"#)
    };
    let both = [leased(1), leased(2)];
    let both = declared(&[&both[0], &both[1]]);
    let defaults = halves().declared.defaults.clone();
    let declared = Arc::new(Declared { defaults, ..(*both).clone() });
    let (registry, _) = start(Policy { declared, ..policy() });
    sleep(5.0).await;
    renew(&registry, 2).await;
    sleep(5.2).await;
    let reasons = || {
        let view = registry.views().service("web").unwrap();
        [0, 1].map(|index| (view.instances[index].reasons(), view.instances[index].is_suspect()))
    };
    assert_eq!(reasons(), [(vec!["lease expired"], false), (vec![], false)]);

    sleep(5.0).await;
    assert_eq!(reasons(), [(vec![], true), (vec![], true)]);
    sleep(600.0).await;

    assert_eq!(reasons(), [(vec!["lease expired"], false), (vec!["lease expired"], false)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_is_held_to_the_limits() {
    let mut tight = halves();
    tight.limits.instances_per_service = 3;
    let (registry, _) = start(tight);
    for number in 1..=3 {
        let spec = at(&format!("10.0.0.{number}"));
        registry.register(service("web"), id(&name(number)), spec).await.unwrap();
        sleep(1.0).await;
    }
    sleep(7.5).await;
    assert_eq!(seen(&registry).len(), 2);
    let new = spec(r#"{"addresses":["10.0.0.9"],"ttl":null}"#);
    registry.register(service("web"), id("web-0"), new).await.unwrap();

    sleep(2.5).await;

    let kept = [(name(0), false), (name(1), true), (name(3), true)];
    assert_eq!(seen(&registry), kept, "there was room for one more");
}

#[tokio::test(start_paused = true)]
async fn a_restart_gives_suspects_a_fresh_lease() {
    let (registry, store) = web(3).await;
    sleep(10.2).await;
    let mut drained = registry.views().service("web").unwrap().instances.to_vec();
    let instances = drained.drain(..).map(|view| {
        let (instance, generation) = (view.instance, view.generation);
        let record = crate::model::Record { instance, generation, owner: None };
        (service("web"), record)
    });
    let image = Image { instances: instances.collect(), ..Image::default() };
    assert_eq!(store.instances().len(), 3);

    let (again, engine) = Registry::new(image, halves(), names(), TestStore::default().start());
    tokio::spawn(engine.run());

    assert_eq!(seen(&again), all(3, |_| false));
    sleep(10.2).await;
    assert_eq!(seen(&again), all(3, |_| true));
}
