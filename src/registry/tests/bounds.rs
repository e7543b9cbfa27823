//! What clients can make the registry hold: writes that wait, metadata in sum, names of services.

use super::*;
use crate::model::{Actor, Label};

fn client(name: &str) -> Actor {
    Actor::Client(Label::new(name).unwrap())
}

async fn add(registry: &Registry, service_name: &str, name: &str) -> Result<Revision, Refusal> {
    let written = registry.register(service(service_name), id(name), at("10.0.0.1")).await;
    written.map(|written| written.revision)
}

#[tokio::test(start_paused = true)]
async fn nobody_else_takes_away_what_protection_may_bring_back() {
    let defaults = Settings { protect: Share::new(0.5).unwrap(), ..Settings::default() };
    let declared = Arc::new(Declared { defaults, ..Declared::default() });
    let (registry, _store) = start(Policy { declared, ..policy() });
    let (own, other) = (registry.by(client("own")), registry.by(client("other")));
    for name in ["web-1", "web-2", "web-3"] {
        add(&own, "web", name).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Only one has ended.
    tokio::time::sleep(Duration::from_millis(9_500)).await;
    assert_eq!(ids(&registry, "web"), ["web-2", "web-3"]);

    other.deregister(service("web"), id("web-1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ids(&registry, "web"), ["web-1", "web-2", "web-3"]);
    assert_eq!(registry.views().service("web").unwrap().found.suspect, 3);
}
