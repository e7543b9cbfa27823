//! Which services are found to answer with too few instances.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::balance::pool::Ask;
use crate::model::{Balance, Settings};
use crate::registry::narrow::COUNTED;

/// Asks for the addresses of `web`, as its only resolver, once in so many milliseconds.
async fn ask(registry: &Registry, times: usize, every: u64) {
    let (mut rng, mut out) = (SmallRng::seed_from_u64(1), Vec::new());
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(every)).await;
        let view = registry.views().service("web").unwrap();
        let ask = Ask { client: 7, now: registry.clock().now(), fit: 100, peek: false };
        view.whole().built(Family::V4).unwrap().pool.pick(&ask, &mut rng, &mut out);
    }
}

fn needs(registry: &Registry) -> Option<usize> {
    registry.stats().narrow.needs().get("web").copied()
}

/// Twenty instances, of which one reports how busy it is.
async fn fleet(registry: &Registry) {
    for i in 0..20 {
        let spec = spec(&format!(r#"{{"addresses":["10.0.0.{}"],"ttl":null}}"#, i + 1));
        registry.register(service("web"), id(&format!("web-{i}")), spec).await.unwrap();
    }
    report(registry).await;
}

async fn report(registry: &Registry) {
    let load = Load { cpu: Some(0.8), ..Load::default() };
    let renewal = Renewal { load: Some(load), ..renewal(registry, "web", "web-0") };
    registry.renew(vec![renewal]).await.unwrap();
}

async fn set(registry: &Registry, patch: &str) {
    registry.set_override(service("web"), serde_json::from_str(patch).unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_that_hold_too_few_for_the_one_cache_that_asks_are_found() {
    let (registry, _store) = start(policy());
    fleet(&registry).await;

    // It asks as soon as its answer has run out: very many wait for it.
    ask(&registry, 10, 5_005).await;
    assert_eq!(needs(&registry), Some(20));

    // A change of the pool forgets nothing of the traffic; more answers end it.
    set(&registry, r#"{"max_answers":9}"#).await;
    ask(&registry, 1, 5_005).await;
    assert_eq!(needs(&registry), Some(20));
    set(&registry, r#"{"max_answers":20}"#).await;
    assert_eq!(needs(&registry), None);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_reports_nothing_is_not_counted() {
    let (registry, _store) = start(policy());
    fleet(&registry).await;
    let counts = |registry: &Registry| {
        registry.views().service("web").unwrap().whole().built(Family::V4).unwrap().pool.counts()
    };
    ask(&registry, 1, 1_000).await;
    assert!(counts(&registry));

    // Until its report is stale.
    ask(&registry, 1, 94_000).await;
    assert!(counts(&registry));
    ask(&registry, 1, 3_000).await;
    assert!(!counts(&registry));
}

#[tokio::test(start_paused = true)]
async fn a_busy_client_that_keeps_nothing_needs_no_more() {
    let (registry, _store) = start(policy());
    fleet(&registry).await;

    ask(&registry, 1_000, 20).await;

    assert_eq!(needs(&registry), None);
}

#[tokio::test(start_paused = true)]
async fn no_more_services_are_counted_than_there_are_tables_for() {
    let defaults = Settings { balance: Balance::Random, ..Settings::default() };
    let declared = Arc::new(Declared { defaults, ..Declared::default() });
    let (registry, _store) = start(Policy { declared, ..policy() });
    let name = |i: usize| service(&format!("web-{i}"));
    let services = COUNTED + 10;
    let own = |weight: u8| {
        spec(&format!(r#"{{"addresses":["10.0.0.{weight}"],"weight":{weight},"ttl":null}}"#))
    };
    let both = |i| [("a", 1), ("b", 3)].map(|(own_id, weight)| (name(i), id(own_id), own(weight)));
    let specs = (0..services).flat_map(both);
    registry.batch(Vec::new(), specs.collect()).await.unwrap();
    let load = Some(Load { cpu: Some(0.8), ..Load::default() });
    let renewals =
        (0..services).map(|i| Renewal { load, ..renewal(&registry, &format!("web-{i}"), "a") });
    registry.renew(renewals.collect()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;

    let counts = |i: &usize| {
        let view = registry.views().service(name(*i).as_str()).unwrap();
        view.whole().built(Family::V4).unwrap().pool.counts()
    };
    let built = registry.stats().views_built.load(Ordering::Relaxed);
    assert_eq!((0..services).filter(counts).count(), COUNTED);

    // One goes, and another has its table. Those without are not built again and again.
    registry.deregister(name(0), id("a")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!((0..services).filter(counts).count(), COUNTED);
    let built = registry.stats().views_built.load(Ordering::Relaxed) - built;
    assert!(built < 10, "{built}");
}
