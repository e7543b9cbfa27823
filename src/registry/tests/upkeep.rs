//! What the engine keeps in order by itself: leases, deadlines, what the file and operators say.

use super::*;
use crate::model::OperatorState;

fn drain() -> InstancePatch {
    InstancePatch { admin: Some(Some(Admin::Draining)), ..InstancePatch::default() }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_was_overtaken_takes_nothing_away() {
    let (registry, _) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let early = renewal(&registry, "web", "web-1");
    tokio::time::sleep(Duration::from_secs(5)).await;
    registry.renew(vec![renewal(&registry, "web", "web-1")]).await.unwrap();

    let renewed = registry.renew(vec![early]).await.unwrap();

    assert_eq!(renewed, [Renewed::Until(Some(Duration::from_secs(10)))]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_of_a_stale_generation_is_no_revision() {
    let mut with_file = policy();
    with_file.declared = declared(&[r#"{"id":"web-1","addresses":["10.0.0.1"],"ttl":"1s"}"#]);
    let (registry, _) = start(with_file);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = registry.views().revision();
    let stale = Renewal { generation: Some(7), ..renewal(&registry, "web", "web-1") };

    let renewed = registry.renew(vec![stale]).await.unwrap();

    assert_eq!((renewed, registry.views().revision()), (vec![Renewed::Owned], before));
}

#[tokio::test(start_paused = true)]
async fn an_instance_outside_a_tightened_allow_list_can_still_be_drained() {
    let (registry, _) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let mut tight = policy();
    tight.limits.allow = vec!["192.0.2.0/24".parse().unwrap()];
    registry.reload(tight, false).await.unwrap();

    let drained = registry.patch(service("web"), id("web-1"), drain()).await.unwrap();

    assert_eq!(drained.instance.reasons(), ["draining"]);
}

#[tokio::test(start_paused = true)]
async fn owners_of_addresses_are_those_in_the_ranges_in_force() {
    let near = Policy { reverse: vec!["10.0.0.0/31".parse().unwrap()], ..policy() };
    let (registry, _) = start(near);
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    registry.register(service("web"), id("web-2"), at("10.0.0.2")).await.unwrap();
    let found = || {
        let of = |address: &str| registry.views().read_owners(address.parse().unwrap(), <[_]>::len);
        [of("10.0.0.1"), of("10.0.0.2")]
    };

    assert_eq!(found(), [1, 0]);
    registry.cover(vec!["10.0.0.0/8".parse().unwrap()]).await.unwrap();
    assert_eq!(found(), [1, 1]);
    let far = Policy { reverse: vec!["10.0.0.2/31".parse().unwrap()], ..policy() };
    registry.reload(far, false).await.unwrap();
    assert_eq!(found(), [0, 1]);
    registry.deregister(service("web"), id("web-2")).await.unwrap();
    assert_eq!(found(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_time_to_forget_holds_for_services_that_are_empty_already() {
    let (registry, _) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    registry.deregister(service("web"), id("web-1")).await.unwrap();

    let sooner = Policy { forget_after: Duration::from_secs(5), ..policy() };
    registry.reload(sooner, false).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;

    assert!(registry.views().service("web").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_longer_time_to_forget_holds_too() {
    let (registry, _) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    registry.deregister(service("web"), id("web-1")).await.unwrap();

    let later = Policy { forget_after: Duration::from_secs(900), ..policy() };
    registry.reload(later, false).await.unwrap();

    tokio::time::sleep(Duration::from_secs(899)).await;
    assert!(registry.views().service("web").is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(registry.views().service("web").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_null_takes_back_what_an_operator_said() {
    let mut with_file = policy();
    with_file.declared =
        declared(&[r#"{"id":"web-1","addresses":["10.0.0.1"],"status":"warning"}"#]);
    let (registry, _) = start(with_file);
    let sick = InstancePatch { status: Some(Some(Status::Critical)), ..drain() };
    registry.patch(service("web"), id("web-1"), sick).await.unwrap();

    let back = InstancePatch { admin: Some(None), status: Some(None), ..InstancePatch::default() };
    let written = registry.patch(service("web"), id("web-1"), back).await.unwrap();

    let instance = &written.instance.instance;
    assert_eq!((instance.admin, instance.status), (Admin::Enabled, Status::Warning));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_the_file_disables_is_safe_only_when_caches_are() {
    let mut with_file = policy();
    with_file.declared = declared(&[r#"{"id":"web-1","addresses":["10.0.0.1"]}"#]);
    let (registry, _) = start(with_file.clone());
    tokio::time::sleep(Duration::from_secs(9)).await;
    with_file.declared =
        declared(&[r#"{"id":"web-1","addresses":["10.0.0.1"],"admin":"disabled"}"#]);
    registry.reload(with_file, false).await.unwrap();

    let drained = registry.patch(service("web"), id("web-1"), drain()).await.unwrap();

    assert_eq!(drained.safe_in, Some(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn other_static_records_are_a_revision_without_an_event() {
    let (registry, _) = start(policy());
    let before = registry.views().revision();

    let reloaded = registry.reload(policy(), true).await.unwrap();

    assert_eq!(reloaded, Reloaded { revision: before.next(), changed: true });
    assert_eq!(registry.journal().after(before).map(|events| events.len()), Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_operators_said_ends_with_the_declaration_also_over_a_restart() {
    let said = OperatorState { admin: Some(Admin::Draining), status: None };
    let image = Image {
        operators: vec![(service("web"), id("web-1"), said), (service("web"), id("web-2"), said)],
        ..Image::default()
    };
    let store = TestStore::default();
    let mut with_file = policy();
    with_file.declared = declared(&[r#"{"id":"web-1","addresses":["10.0.0.1"]}"#]);
    let (registry, engine) = Registry::new(image, with_file.clone(), names(), store.start());
    tokio::spawn(engine.run());
    let both = [
        r#"{"id":"web-1","addresses":["10.0.0.1"]}"#,
        r#"{"id":"web-2","addresses":["10.0.0.2"]}"#,
    ];
    with_file.declared = declared(&both);

    registry.reload(with_file, false).await.unwrap();

    let view = registry.views().service("web").unwrap();
    let admin: Vec<_> = view.instances.iter().map(|i| i.instance.admin).collect();
    assert_eq!(admin, [Admin::Draining, Admin::Enabled]);
    let forgotten = Change::Operator {
        service: service("web"),
        id: id("web-2"),
        state: OperatorState::default(),
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(store.commits.lock().unwrap().iter().any(|c| c.changes.contains(&forgotten)));
}

#[tokio::test(start_paused = true)]
async fn revisions_that_nothing_stores_do_not_outrun_the_store() {
    let mut with_file = policy();
    with_file.declared = declared(&[r#"{"id":"web-1","addresses":["10.0.0.1"],"ttl":"1s"}"#]);
    let (registry, store) = start(with_file.clone());
    let mut other = with_file.clone();
    other.declared = declared(&[r#"{"id":"web-1","addresses":["10.0.0.2"],"ttl":"1s"}"#]);

    for _ in 0..3_000 {
        registry.reload(with_file.clone(), false).await.unwrap();
        registry.reload(other.clone(), false).await.unwrap();
    }

    let told = store.commits.lock().unwrap().last().map_or(0, |commit| commit.revision.0);
    let ahead = registry.views().revision().0 - told;
    assert!(ahead < 5_000, "{ahead} revisions ahead of the store");
}

#[tokio::test(start_paused = true)]
async fn leases_start_when_the_engine_does() {
    let instance: Instance = at("10.0.0.1").build(id("web-1"), None, Admin::Enabled).unwrap();
    let record = crate::model::Record { instance: Arc::new(instance), generation: 3, owner: None };
    let image = Image { instances: vec![(service("web"), record)], ..Image::default() };
    let (registry, engine) = Registry::new(image, policy(), names(), TestStore::default().start());
    tokio::time::sleep(Duration::from_millis(900)).await;
    tokio::spawn(engine.run());

    tokio::time::sleep(Duration::from_millis(9_900)).await;
    assert_eq!(ids(&registry, "web"), ["web-1"]);
    tokio::time::sleep(Duration::from_millis(200)).await;

    assert_eq!(ids(&registry, "web"), Vec::<String>::new());
}

#[test]
fn deadlines_of_what_is_gone_do_not_pile_up() {
    use crate::registry::op::Op;
    use crate::registry::state::State;

    let mut state = State::new(Image::default(), Duration::from_secs(600), Millis(0));
    let long = spec(r#"{"addresses":["10.0.0.1"],"ttl":"24h"}"#);
    let instance = Arc::new(long.build(id("web-1"), None, Admin::Enabled).unwrap());
    let kept = Arc::new(at("10.0.0.2").build(id("db-1"), None, Admin::Enabled).unwrap());
    let put = |name: &str, instance: &Arc<Instance>| Op::Put {
        service: service(name),
        instance: Arc::clone(instance),
        generation: 1,
        owner: None,
        registers: true,
    };
    state.apply(put("db", &kept), Millis(0));

    for now in (1..10_000).map(Millis) {
        state.apply(put("web", &instance), now);
        state.apply(Op::Remove { service: service("web"), id: id("web-1") }, now);
        state.prune_deadlines();
    }

    assert!(state.leases.len() < 3_000, "{} deadlines of two services", state.leases.len());
    assert_eq!(state.leases.next(), Some(Millis(10_000)), "the lease that is alive");
}

#[tokio::test(start_paused = true)]
async fn leases_end_also_while_the_store_cannot_write() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    store.full.store(true, Ordering::SeqCst);

    tokio::time::sleep(Duration::from_millis(10_100)).await;

    assert_eq!(ids(&registry, "web"), Vec::<String>::new());
    store.full.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(store.instances(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_a_full_store_lost_is_stored_when_it_can_write_again() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    store.full.store(true, Ordering::SeqCst);
    store.forgetful.store(true, Ordering::SeqCst);

    tokio::time::sleep(Duration::from_millis(10_100)).await;
    assert_eq!(store.instances(), ["web/web-1"]);
    store.full.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3)).await;

    assert_eq!(store.instances(), Vec::<String>::new());
}
