//! Many changes of one service at a time.

use super::*;

const CLIENTS: u32 = 64;
const INSTANCES: u32 = 10_000;

/// Registers all instances, each client its share, one after the other.
async fn register_all(registry: &Registry, port: u16) {
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let registry = registry.clone();
        clients.spawn(async move {
            for number in (client..INSTANCES).step_by(CLIENTS as usize) {
                let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
                let json = format!(r#"{{"addresses":["{address}"],"port":{port}}}"#);
                let id = id(&format!("web-{number}"));
                registry.register(service("web"), id, spec(&json)).await.unwrap();
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_registers_anew_is_built_once_for_many_changes() {
    let (registry, _) = start(policy());
    let built = || registry.stats().views_built.load(Ordering::Relaxed);

    register_all(&registry, 80).await;
    let first = built();
    register_all(&registry, 81).await;

    assert!(first < u64::from(INSTANCES) / 10, "{first} views for the first time");
    assert!(built() - first < u64::from(INSTANCES) / 10, "{} views again", built() - first);
    let view = registry.views().service("web").unwrap();
    assert_eq!(view.usable(), INSTANCES as usize);
}
