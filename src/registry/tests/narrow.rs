//! Which services are found to answer with too few instances.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::balance::pool::Ask;

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

async fn set(registry: &Registry, patch: &str) {
    registry.set_override(service("web"), serde_json::from_str(patch).unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_that_hold_too_few_for_the_one_cache_that_asks_are_found() {
    let (registry, _store) = start(policy());
    for i in 0..20 {
        let spec = spec(&format!(r#"{{"addresses":["10.0.0.{}"],"ttl":null}}"#, i + 1));
        registry.register(service("web"), id(&format!("web-{i}")), spec).await.unwrap();
    }

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
async fn a_busy_client_that_keeps_nothing_needs_no_more() {
    let (registry, _store) = start(policy());
    for i in 0..20 {
        let spec = spec(&format!(r#"{{"addresses":["10.0.0.{}"],"ttl":null}}"#, i + 1));
        registry.register(service("web"), id(&format!("web-{i}")), spec).await.unwrap();
    }

    ask(&registry, 1_000, 20).await;

    assert_eq!(needs(&registry), None);
}
