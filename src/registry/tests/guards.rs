//! Slow start, panic, overload, and when a drained instance is safe to stop.

use super::*;
use crate::model::{PanicMode, Record};

/// Gives `web` these settings.
async fn set(registry: &Registry, settings: &str) {
    registry.set_override(service("web"), serde_json::from_str(settings).unwrap()).await.unwrap();
}

/// Registers these instances of `web` at once, with these fields.
async fn register(registry: &Registry, ids: &[&str], fields: &str) {
    let spec = spec(&format!(r#"{{"addresses":["10.0.0.1"],"ttl":null{fields}}}"#));
    let register = ids.iter().map(|i| (service("web"), id(i), spec.clone()));
    registry.batch(Vec::new(), register.collect()).await.unwrap();
}

async fn status(registry: &Registry, ids: &[&str], status: Status) {
    let renewals =
        ids.iter().map(|i| Renewal { status: Some(status), ..renewal(registry, "web", i) });
    registry.renew(renewals.collect()).await.unwrap();
}

async fn report(registry: &Registry, i: &str, load: &str) {
    let load = Some(serde_json::from_str(load).unwrap());
    registry.renew(vec![Renewal { load, ..renewal(registry, "web", i) }]).await.unwrap();
    // What it reported is taken in with the engine's turn.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn web(registry: &Registry) -> Arc<ServiceView> {
    registry.views().service("web").unwrap()
}

/// What each instance has of its weight, in thousandths.
fn ramp(registry: &Registry) -> Vec<u16> {
    let view = web(registry);
    (0..).zip(&*view.instances).map(|(i, _)| view.weighing(i).slow_start).collect()
}

/// Who is answered.
fn answered(registry: &Registry) -> String {
    let view = web(registry);
    let mut ids = view.active();
    ids.sort();
    ids.iter().map(InstanceId::as_str).collect()
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_weight_of_a_new_instance_grows_to_its_target_without_a_revision() {
    for balance in ["round_robin", "random", "weighted_round_robin", "least_connections"] {
        let (registry, _) = start(policy());
        set(&registry, &format!(r#"{{"balance":"{balance}","slow_start":"30s"}}"#)).await;
        register(&registry, &["a", "b"], r#","weight":3"#).await;
        assert_eq!(ramp(&registry), [1000, 1000], "all are new");
        wait(60).await;

        register(&registry, &["c"], r#","weight":3"#).await;
        let revision = registry.views().revision();
        let mut seen = Vec::new();
        for _ in 0..35 {
            let view = web(&registry);
            seen.push(ramp(&registry)[2]);
            let (old, new) = (view.weights[0], view.weights[2]);
            assert_eq!(u64::from(new) * 1000, u64::from(old) * u64::from(seen[seen.len() - 1]));
            wait(1).await;
        }

        assert!(seen.is_sorted(), "{balance}: {seen:?}");
        assert_eq!((seen[0], seen[34]), (100, 1000), "{balance}: {seen:?}");
        // Within a step, and the 200 ms at which weights are looked at.
        for (second, seen) in seen.iter().enumerate() {
            let formula = (second as f64 / 30.0).clamp(0.1, 1.0) * 1000.0;
            let off = formula - f64::from(*seen);
            assert!((-1.0..=60.0).contains(&off), "{balance} at {second}: {seen}");
        }
        assert_eq!(web(&registry).weights[0], web(&registry).weights[2], "{balance}");
        assert_eq!(registry.views().revision(), revision, "{balance}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ramp_costs_a_view_a_step_and_none_when_it_is_over() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"slow_start":"30s"}"#).await;
    register(&registry, &["a", "b", "c", "d", "e", "f"], "").await;
    wait(60).await;
    let built = || registry.stats().views_built.load(Ordering::Relaxed);
    let before = built();

    for i in ["g", "h", "i"] {
        register(&registry, &[i], "").await;
        wait(4).await;
    }
    wait(40).await;

    let views = built() - before;
    assert!((20..=32).contains(&views), "{views}");
    assert_eq!(ramp(&registry), [1000; 9]);
    wait(60).await;
    assert_eq!(built() - before, views);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_starts_anew_and_who_renews_does_not() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"slow_start":"10s","balance":"random"}"#).await;
    register(&registry, &["a", "b", "c"], "").await;
    wait(20).await;

    status(&registry, &["a"], Status::Critical).await;
    assert_eq!(ramp(&registry), [1000; 3]);
    status(&registry, &["a"], Status::Passing).await;
    assert_eq!(ramp(&registry), [100, 1000, 1000]);
    wait(5).await;
    register(&registry, &["a"], r#","tags":["x"]"#).await;
    status(&registry, &["b"], Status::Warning).await;
    let half = ramp(&registry);
    assert!((400..=500).contains(&half[0]) && half[1..] == [1000, 1000], "{half:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_mostly_new_does_not_start_slowly() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"slow_start":"10s","balance":"random"}"#).await;
    register(&registry, &["a", "b"], "").await;
    register(&registry, &["x"], r#","tier":1"#).await;
    wait(20).await;

    // Half is not more than half; the weight counts, and each tier for itself.
    register(&registry, &["c", "d"], "").await;
    assert_eq!(ramp(&registry), [1000, 1000, 100, 100, 1000]);
    register(&registry, &["y"], r#","tier":1"#).await;
    assert_eq!(ramp(&registry), [1000, 1000, 100, 100, 1000, 100]);
    register(&registry, &["e"], "").await;
    assert_eq!(ramp(&registry), [1000, 1000, 1000, 1000, 1000, 1000, 100]);
    // Those that came before are new no longer.
    register(&registry, &["f"], "").await;
    assert_eq!(ramp(&registry), [1000, 1000, 1000, 1000, 1000, 100, 1000, 100]);
}

#[tokio::test(start_paused = true)]
async fn nobody_starts_slowly_with_the_process_or_where_it_is_off() {
    let settings = serde_json::from_str(r#"{"slow_start":"10s"}"#).unwrap();
    let instances =
        [r#"{"id":"a","addresses":["10.0.0.1"]}"#, r#"{"id":"b","addresses":["10.0.0.2"]}"#];
    let mut declared = (*declared(&instances)).clone();
    declared.services.get_mut("web").unwrap().settings = settings;
    let (registry, _) = start(Policy { declared: Arc::new(declared), ..policy() });
    assert_eq!(ramp(&registry), [1000; 2]);

    register(&registry, &["c"], "").await;
    assert_eq!(ramp(&registry), [1000, 1000, 100]);
    // Keys that move to it bit by bit would move twice.
    set(&registry, r#"{"balance":"consistent_hash"}"#).await;
    assert_eq!(ramp(&registry), [1000; 3]);
    set(&registry, r#"{"slow_start":"0s"}"#).await;
    register(&registry, &["d"], "").await;
    assert_eq!(ramp(&registry), [1000; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_answers_whoever_is_there_and_ends_with_a_margin() {
    let (registry, _) = start(policy());
    let all: Vec<String> = (b'a'..=b't').map(|i| char::from(i).to_string()).collect();
    let all: Vec<&str> = all.iter().map(|id| &**id).collect();
    set(&registry, r#"{"panic":0.5}"#).await;
    register(&registry, &all, "").await;
    let in_panic = || registry.stats().services_in_panic.load(Ordering::Relaxed);
    let drain = serde_json::from_str(r#"{"admin":"draining"}"#).unwrap();

    status(&registry, &all[..10], Status::Critical).await;
    assert_eq!((answered(&registry).len(), in_panic()), (10, 0), "half is enough");
    status(&registry, &all[10..11], Status::Critical).await;
    let panic = web(&registry).panic.clone().unwrap();
    assert_eq!((panic.healthy, panic.total, panic.mode), (9, 20, PanicMode::Open));
    assert_eq!((answered(&registry).len(), in_panic()), (20, 1));
    // Never reported as healthy.
    assert_eq!(web(&registry).usable(), 9);
    assert_eq!(web(&registry).instances[0].reasons(), ["critical"]);

    registry.patch(service("web"), id("a"), drain).await.unwrap();
    assert_eq!(answered(&registry), all[1..].concat());
    // 10 of 19 is over a half, and under a half and a twentieth.
    status(&registry, &all[10..11], Status::Passing).await;
    assert_eq!((answered(&registry).len(), in_panic()), (19, 1));
    status(&registry, &all[9..10], Status::Passing).await;
    assert_eq!((answered(&registry), in_panic()), (all[9..].concat(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_of_the_service_whatever_selects() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"panic":0.5}"#).await;
    register(&registry, &["a", "b"], r#","tags":["x"]"#).await;
    register(&registry, &["c"], "").await;
    register(&registry, &["d"], r#","tags":["x"],"tier":1"#).await;
    let selected = || {
        let view = web(&registry);
        let selection = view.select(Selector::Tags(&["x"]));
        let active = selection.active().iter();
        active.map(|i| view.instances[*i as usize].instance.id.as_str()).collect::<String>()
    };

    status(&registry, &["a"], Status::Critical).await;
    assert_eq!((answered(&registry), selected()), ("bc".into(), "b".into()));
    status(&registry, &["b"], Status::Critical).await;
    assert_eq!((answered(&registry), selected()), ("abc".into(), "ab".into()));
}

#[tokio::test(start_paused = true)]
async fn the_mode_says_who_is_answered_in_a_panic() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"panic":0.5,"panic_mode":"last_good"}"#).await;
    register(&registry, &["a", "b", "c", "d", "e"], "").await;
    status(&registry, &["a"], Status::Critical).await;
    assert_eq!(answered(&registry), "bcde");

    status(&registry, &["b", "c"], Status::Critical).await;
    assert_eq!(answered(&registry), "bcde");
    status(&registry, &["d"], Status::Critical).await;
    registry.deregister(service("web"), id("b")).await.unwrap();
    assert_eq!(answered(&registry), "cde");
    // Who is healthy now is as good as who was.
    status(&registry, &["a"], Status::Passing).await;
    assert_eq!((answered(&registry), web(&registry).usable()), ("acde".into(), 2));

    set(&registry, r#"{"panic":0.5,"panic_mode":"open"}"#).await;
    assert_eq!(answered(&registry), "acde");
    set(&registry, r#"{"panic":0.5,"panic_mode":"closed"}"#).await;
    assert_eq!((answered(&registry), web(&registry).usable()), (String::new(), 2));
    set(&registry, r#"{"panic":0}"#).await;
    assert_eq!((answered(&registry), web(&registry).panic.clone()), ("ae".into(), None));
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_with_its_service() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"panic":1}"#).await;
    register(&registry, &["a", "b"], "").await;
    status(&registry, &["a"], Status::Critical).await;
    let in_panic = || registry.stats().services_in_panic.load(Ordering::Relaxed);
    assert_eq!(in_panic(), 1);

    registry.deregister(service("web"), id("a")).await.unwrap();
    assert_eq!(in_panic(), 0);
    status(&registry, &["b"], Status::Critical).await;
    assert_eq!((in_panic(), answered(&registry)), (1, "b".into()));
    registry.deregister(service("web"), id("b")).await.unwrap();
    assert_eq!((in_panic(), answered(&registry)), (0, String::new()));
}

#[tokio::test(start_paused = true)]
async fn in_a_panic_nobody_starts_slowly() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"panic":0.5,"slow_start":"10s"}"#).await;
    register(&registry, &["a", "b", "c", "d", "e", "f"], "").await;
    wait(20).await;
    register(&registry, &["g"], "").await;
    assert_eq!(ramp(&registry)[6], 100);

    status(&registry, &["a", "b", "c", "d"], Status::Critical).await;
    assert_eq!(ramp(&registry), [1000; 7]);
    // They were answered all the time.
    status(&registry, &["a", "b", "c", "d"], Status::Passing).await;
    assert_eq!((ramp(&registry), web(&registry).panic.clone()), (vec![1000; 7], None));
}

/// Milliseconds until a cache can no longer hold an instance that is drained now.
async fn drained(registry: &Registry, i: &str) -> u128 {
    let drain = serde_json::from_str(r#"{"admin":"draining"}"#).unwrap();
    let written = registry.patch(service("web"), id(i), drain).await.unwrap();
    written.safe_in.unwrap().as_millis()
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_safe_to_stop_when_no_answer_can_hold_it() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"panic":0.6,"ttl":"5s"}"#).await;
    register(&registry, &["a", "b", "c"], "").await;

    status(&registry, &["a"], Status::Critical).await;
    wait(60).await;
    assert_eq!(drained(&registry, "a").await, 0, "out of the answers for a minute");
    status(&registry, &["b"], Status::Critical).await;
    wait(60).await;
    assert_eq!(drained(&registry, "b").await, 5_000, "answered in the panic");
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_safe_to_stop_when_caches_of_a_longer_ttl_are_over() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"ttl":"5m"}"#).await;
    register(&registry, &["a", "b"], "").await;

    set(&registry, r#"{"ttl":"5s"}"#).await;
    wait(60).await;
    assert_eq!(drained(&registry, "a").await, 240_000);
    wait(239).await;
    assert_eq!(drained(&registry, "b").await, 5_000);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_drained_at_the_start_may_have_been_answered_before() {
    let instances = [r#"{"id":"a","addresses":["10.0.0.1"],"admin":"draining"}"#];
    let (registry, _) = start(Policy { declared: declared(&instances), ..policy() });

    assert!((4_000..=5_001).contains(&drained(&registry, "a").await));
}

const FULL: &str = r#"{"connections":50,"capacity":50}"#;
const BUSY: &str = r#"{"connections":45,"capacity":50}"#;
const ROOM: &str = r#"{"connections":39,"capacity":50}"#;

#[tokio::test(start_paused = true)]
async fn a_full_instance_is_out_until_a_fifth_is_free() {
    let (registry, store) = start(policy());
    register(&registry, &["a", "b", "c"], "").await;
    let before = registry.views().revision();
    let commits = store.commits.lock().unwrap().len();

    report(&registry, "a", BUSY).await;
    assert_eq!((answered(&registry), registry.views().revision()), ("abc".into(), before));
    report(&registry, "a", FULL).await;
    assert_eq!((answered(&registry), registry.views().revision()), ("bc".into(), before.next()));
    assert_eq!(web(&registry).instances[0].reasons(), ["overloaded"]);
    report(&registry, "a", BUSY).await;
    assert_eq!((answered(&registry), registry.views().revision()), ("bc".into(), before.next()));
    report(&registry, "a", ROOM).await;
    assert_eq!(answered(&registry), "abc");
    assert_eq!(registry.views().revision(), before.next().next());
    assert_eq!(store.commits.lock().unwrap().len(), commits);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_says_so_is_out_while_its_report_is_believed() {
    let (registry, _) = start(policy());
    register(&registry, &["a", "b"], "").await;

    report(&registry, "a", r#"{"overloaded":true}"#).await;
    assert_eq!(answered(&registry), "b");
    report(&registry, "a", r#"{"overloaded":false}"#).await;
    assert_eq!(answered(&registry), "ab");

    report(&registry, "a", r#"{"overloaded":true}"#).await;
    wait(60).await;
    report(&registry, "a", r#"{"overloaded":true}"#).await;
    wait(89).await;
    assert_eq!(answered(&registry), "b");
    wait(2).await;
    assert_eq!(answered(&registry), "ab");
}

#[tokio::test(start_paused = true)]
async fn where_all_of_a_tier_are_overloaded_none_is_out() {
    let (registry, _) = start(policy());
    register(&registry, &["a", "b", "c"], "").await;
    register(&registry, &["z"], r#","tier":1"#).await;

    report(&registry, "a", FULL).await;
    report(&registry, "b", FULL).await;
    assert_eq!(answered(&registry), "c");
    report(&registry, "c", FULL).await;
    assert_eq!((answered(&registry), web(&registry).usable()), ("abc".into(), 4));
    report(&registry, "b", ROOM).await;
    assert_eq!(answered(&registry), "b");
    // The one that had room is gone, so that none has.
    registry.deregister(service("web"), id("b")).await.unwrap();
    assert_eq!(answered(&registry), "ac");
    register(&registry, &["d"], "").await;
    assert_eq!(answered(&registry), "d");
    status(&registry, &["d"], Status::Critical).await;
    assert_eq!(answered(&registry), "ac");
    // Another of the same name has reported nothing.
    registry.deregister(service("web"), id("a")).await.unwrap();
    register(&registry, &["a"], "").await;
    assert_eq!(answered(&registry), "a");
}

#[tokio::test(start_paused = true)]
async fn too_many_overloaded_are_a_panic() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"panic":0.5}"#).await;
    register(&registry, &["a", "b", "c"], "").await;

    report(&registry, "a", FULL).await;
    assert_eq!(answered(&registry), "bc");
    report(&registry, "b", FULL).await;

    assert_eq!((answered(&registry), web(&registry).usable()), ("abc".into(), 1));
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_from_an_ejection_relieves_who_has_too_much_to_do() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"ejection_base":"20s"}"#).await;
    register(&registry, &["a", "b"], "").await;
    let failures = Outcome { id: id("a"), successes: 0, failures: 5, latency_ms: None };
    registry.report(service("web"), vec![failures]).await.unwrap();
    report(&registry, "b", FULL).await;
    assert_eq!(answered(&registry), "b", "the only one there is");

    wait(21).await;

    assert_eq!(answered(&registry), "a");
}

/// Tells the registry that the check of an instance is in this state.
async fn checked(registry: &Registry, i: &str, state: Status) {
    let view = web(registry).instance(i).unwrap().1.clone();
    let check = CheckView { state, basis: Basis::Known, ..view.checks()[0].clone() };
    let (service, id, generation) = (service("web"), id(i), view.generation);
    registry.observe(vec![Observation { service, id, generation, check }]).await.unwrap();
}

const CHECK: &str = r#","port":80,"checks":[{"kind":"tcp"}]"#;

#[tokio::test(start_paused = true)]
async fn who_is_new_and_not_yet_checked_is_no_reason_for_a_panic() {
    let (registry, _) = start(policy());
    set(&registry, r#"{"panic":0.5}"#).await;
    register(&registry, &["a", "b"], CHECK).await;
    assert_eq!((answered(&registry), web(&registry).panic.clone()), (String::new(), None));
    checked(&registry, "a", Status::Passing).await;
    assert_eq!((answered(&registry), web(&registry).panic.clone()), ("a".into(), None));
    checked(&registry, "b", Status::Passing).await;

    // Three times as many join, and have to pass first.
    register(&registry, &["c", "d", "e", "f"], CHECK).await;
    assert_eq!((answered(&registry), web(&registry).panic.clone()), ("ab".into(), None));
    // Those that fail count from then on.
    for i in ["c", "d", "e"] {
        checked(&registry, i, Status::Critical).await;
    }
    let panic = web(&registry).panic.clone().unwrap();
    assert_eq!((panic.healthy, panic.total, answered(&registry)), (2, 5, "abcde".into()));
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_a_panic_until_enough_are_checked_and_no_slow_start() {
    let record = |i: &str| {
        let json = format!(r#"{{"addresses":["10.0.0.1"],"ttl":null{CHECK}}}"#);
        let instance = spec(&json).build(id(i), None, Admin::Enabled).unwrap();
        (service("web"), Record { instance: Arc::new(instance), generation: 1, owner: None })
    };
    let settings = serde_json::from_str(r#"{"panic":0.5,"slow_start":"30s"}"#).unwrap();
    let image = Image {
        overrides: vec![(service("web"), settings)],
        instances: ["a", "b", "c", "d", "e", "f"].map(record).into(),
        ..Image::default()
    };
    let (registry, engine) = Registry::new(image, policy(), names(), TestStore::default().start());
    tokio::spawn(engine.run());

    // They were answered before, as far as anybody knows.
    assert_eq!(answered(&registry), "abcdef");
    assert!(web(&registry).panic.is_some());
    for i in ["a", "b"] {
        checked(&registry, i, Status::Passing).await;
    }
    checked(&registry, "c", Status::Critical).await;
    assert_eq!(answered(&registry), "abcdef");
    for i in ["d", "e"] {
        checked(&registry, i, Status::Passing).await;
    }
    assert_eq!((answered(&registry), ramp(&registry)), ("abde".into(), vec![1000; 6]));
    // The last to be checked was there before too; one that failed comes back as others do.
    checked(&registry, "f", Status::Passing).await;
    assert_eq!(ramp(&registry), [1000; 6]);
    checked(&registry, "c", Status::Passing).await;
    assert_eq!(ramp(&registry), [1000, 1000, 100, 1000, 1000, 1000]);
}
