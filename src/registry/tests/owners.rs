//! Who owns an instance, and what nobody else can do to it.

use super::*;
use crate::model::{Actor, Label};

fn client(name: &str) -> Actor {
    Actor::Client(Label::new(name).unwrap())
}

fn owned_by(name: &str, instance: &str) -> Refusal {
    let owner = Label::new(name).unwrap();
    Refusal::OwnedBy { service: service("web"), id: id(instance), owner }
}

#[tokio::test(start_paused = true)]
async fn nobody_else_and_no_stale_generation_revives_what_is_suspect() {
    let protect = Share::new(0.5).unwrap();
    let defaults = Settings { protect, ..Settings::default() };
    let declared = Arc::new(Declared { defaults, ..Declared::default() });
    let (registry, _store) = start(Policy { declared, ..policy() });
    let (own, other) = (registry.by(client("own")), registry.by(client("other")));
    for number in 1..=4 {
        let spec = at(&format!("10.0.0.{number}"));
        own.register(service("web"), id(&format!("web-{number}")), spec).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs_f64(10.2)).await;
    let suspect = || registry.views().service("web").unwrap().found.suspect;
    assert_eq!(suspect(), 4);

    let renewal = renewal(&registry, "web", "web-1");
    let owner = Label::new("own").unwrap();
    assert_eq!(other.renew(vec![renewal.clone()]).await.unwrap(), [Renewed::OwnedBy(owner)]);
    let stale = Renewal { generation: Some(1), ..renewal.clone() };
    assert_eq!(own.renew(vec![stale]).await.unwrap(), [Renewed::Owned]);
    let taken = other.register(service("web"), id("web-1"), at("10.0.0.1")).await;
    assert_eq!(taken.unwrap_err(), owned_by("own", "web-1"));
    assert_eq!(suspect(), 4);
    assert!(matches!(own.renew(vec![renewal]).await.unwrap()[..], [Renewed::Until(_)]));

    assert_eq!(suspect(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_owns_is_stored_with_what_is_owned() {
    let (registry, store) = start(policy());
    let own = registry.by(client("own"));
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let first = own.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let again = own.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    own.register(service("web"), id("web-2"), at("10.0.0.2")).await.unwrap();

    let batch = vec![(service("web"), id("web-2")), (service("web"), id("web-1"))];
    let refused = registry.by(client("other")).batch(batch, Vec::new()).await;

    assert_eq!(first.instance.generation, again.instance.generation);
    assert_eq!(refused.unwrap_err(), owned_by("own", "web-2"));
    registry.shut_down().await;
    let commits = store.commits.lock().unwrap();
    let owners = commits.iter().flat_map(|commit| &commit.changes).map(|change| match change {
        Change::Put { record, .. } => record.owner.as_ref().map(Label::to_string),
        other => panic!("{other:?}"),
    });
    assert_eq!(owners.collect::<Vec<_>>(), [None, Some("own".into()), Some("own".into())]);
}
