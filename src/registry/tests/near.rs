//! Near and far beside what else moves weights: slow start and panic.

use super::*;
use crate::model::{Locality, SrvTiers};

fn eu() -> Locality {
    serde_json::from_str(r#"{"region":"eu"}"#).unwrap()
}

async fn register(registry: &Registry, i: &str, region: &str) {
    let fields = format!(r#""ttl":null,"locality":{{"region":"{region}"}}"#);
    let spec = spec(&format!(r#"{{"addresses":["10.0.0.1"],{fields}}}"#));
    registry.register(service("web"), id(i), spec).await.unwrap();
}

async fn started(settings: &str) -> Registry {
    let (registry, _) = start(policy());
    registry.set_override(service("web"), serde_json::from_str(settings).unwrap()).await.unwrap();
    for i in ["a", "b", "c"] {
        register(&registry, i, "us").await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    registry
}

/// What part of the clients in eu goes to the instance at the end, in hundredths.
fn part_of_last(registry: &Registry) -> u64 {
    let view = registry.views().service("web").unwrap();
    let seen = view.seen_from(view.whole(), &eu());
    let weighed = view.weighed(seen, SrvTiers::Active, |_| true).unwrap();
    let sum: u64 = weighed.iter().map(|(weight, _)| u64::from(*weight)).sum();
    u64::from(weighed.last().unwrap().0) * 100 / sum
}

#[tokio::test(start_paused = true)]
async fn clients_come_to_the_first_instance_near_them_as_it_grows() {
    for balance in ["round_robin", "random", "weighted_round_robin", "least_connections"] {
        let registry = started(&format!(r#"{{"slow_start":"10s","balance":"{balance}"}}"#)).await;

        register(&registry, "d", "eu").await;

        let mut parts = Vec::new();
        for _ in 0..12 {
            parts.push(part_of_last(&registry));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(parts.is_sorted(), "{balance}: {parts:?}");
        // 1.4 of a tenth, of about a half, and of more than enough.
        assert!(parts[0] == 13 || parts[0] == 14, "{balance}: {parts:?}");
        assert!((60..=70).contains(&parts[5]), "{balance}: {parts:?}");
        assert_eq!(parts[8..], [100; 4], "{balance}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_panic_nobody_is_near() {
    let registry = started(r#"{"panic":0.5}"#).await;
    register(&registry, "d", "eu").await;
    let critical =
        |i: &str, status| Renewal { status: Some(status), ..renewal(&registry, "web", i) };
    let near = || registry.views().service("web").unwrap().whole().goes_by_locality();
    assert!(near());

    let all = ["a", "b", "c"].map(|i| critical(i, Status::Critical));
    registry.renew(all.into()).await.unwrap();
    assert!(!near());

    let all = ["a", "b", "c"].map(|i| critical(i, Status::Passing));
    registry.renew(all.into()).await.unwrap();
    assert!(near());
}
