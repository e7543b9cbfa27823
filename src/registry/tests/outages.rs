//! Whatever instances, clients and the network do: who is alive stays, and who left is gone.

use proptest::prelude::*;

use super::protect::{halves, name, renew, seen, sleep};
use super::*;

/// What may happen to one of eight instances, or to time.
#[derive(Debug, Clone)]
enum Step {
    Register(u8),
    Renew(u8),
    Report(u8),
    Deregister(u8),
    Sleep(f64),
    /// The clients cannot reach the server: many leases end.
    Outage,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..=8_u8).prop_map(Step::Register),
        6 => (1..=8_u8).prop_map(Step::Renew),
        1 => (1..=8_u8).prop_map(Step::Report),
        1 => (1..=8_u8).prop_map(Step::Deregister),
        4 => (0..40_u8).prop_map(|tenths| Step::Sleep(f64::from(tenths) / 10.0)),
        1 => Just(Step::Outage),
    ]
}

/// What must hold whatever happens: nobody is suspect who gave a sign of life within its ttl, nobody
/// is there who left, everybody is who is alive, and all that is counted and stored is so.
async fn hold(steps: Vec<Step>) {
    let (registry, store) = start(halves());
    registry.set_override(service("web"), SettingsPatch::default()).await.unwrap();
    let mut alive = BTreeMap::new();
    let mut left = std::collections::BTreeSet::new();
    for step in steps {
        let now = tokio::time::Instant::now();
        match step {
            Step::Register(number) => {
                let spec = at(&format!("10.0.0.{number}"));
                registry.register(service("web"), id(&name(number)), spec).await.unwrap();
                alive.insert(name(number), now);
                left.remove(&name(number));
            }
            Step::Renew(number) => {
                if renew(&registry, number).await != Renewed::Unknown {
                    alive.insert(name(number), now);
                }
            }
            Step::Report(number) => {
                let outcome =
                    Outcome { id: id(&name(number)), successes: 0, failures: 5, latency_ms: None };
                registry.report(service("web"), vec![outcome]).await.unwrap();
            }
            Step::Deregister(number) => {
                registry.deregister(service("web"), id(&name(number))).await.unwrap();
                alive.remove(&name(number));
                left.insert(name(number));
            }
            Step::Sleep(seconds) => sleep(seconds).await,
            Step::Outage => sleep(12.0).await,
        }
        // Until what has come due is done.
        sleep(0.11).await;
        let now = tokio::time::Instant::now();
        let seen: BTreeMap<String, bool> = seen(&registry).into_iter().collect();
        let fresh =
            |id: &String| alive.get(id).is_some_and(|at| now - *at < Duration::from_secs(10));
        // A lease starts a moment after it was asked for.
        let ends = |id: &String| {
            let age = alive.get(id).map_or(0, |at| (now - *at).as_millis());
            (10_000..10_010).contains(&age)
        };
        for (id, suspect) in &seen {
            assert!(fresh(id) != *suspect || ends(id), "{id} of {seen:?}");
            assert!(!left.contains(id), "{id} is back");
        }
        assert!(alive.keys().filter(|id| fresh(id)).all(|id| seen.contains_key(id)), "{seen:?}");
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let view = registry.views().service("web").unwrap();
        let stats = registry.stats();
        let suspects = seen.values().filter(|suspect| **suspect).count();
        assert_eq!((count(&stats.instances), view.found.suspect), (seen.len() as u64, suspects));
        assert_eq!(count(&stats.suspect), suspects as u64);
        let ejected =
            view.instances.iter().filter(|own| own.reasons().contains(&"ejected")).count();
        assert_eq!(count(&stats.ejected), ejected as u64);
        assert!(seen.is_empty() || view.usable() > 0, "the breaker never takes the last one");
    }
    sleep(1.0).await;
    let stored: Vec<String> =
        seen(&registry).into_iter().map(|(id, _)| format!("web/{id}")).collect();
    assert_eq!(store.instances(), stored);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_the_living_stay_and_those_who_left_are_gone(
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap().block_on(hold(steps));
    }
}
