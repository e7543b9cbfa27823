//! Which checks an instance has, and what they make of it.

use super::*;
use crate::model::{PortNumber, Weight};

fn checked(checks: &str) -> InstanceSpec {
    spec(&format!(r#"{{"addresses":["10.0.0.1"],"port":80,"ttl":"10s","checks":{checks}}}"#))
}

fn settings(checks: &str) -> SettingsPatch {
    serde_json::from_str(&format!(r#"{{"checks":{checks}}}"#)).unwrap()
}

/// What web-1 is checked by, each with its state.
fn checks(registry: &Registry) -> Vec<(String, Status)> {
    let view = registry.views().service("web").unwrap();
    let checks = view.instances[0].checks().iter();
    checks.map(|view| (view.check.name.to_string(), view.state)).collect()
}

fn reasons(registry: &Registry) -> Vec<&'static str> {
    registry.views().service("web").unwrap().instances[0].reasons()
}

/// Tells the registry that the check in this place is in `state`.
async fn observe(registry: &Registry, place: usize, state: Status) {
    let view = registry.views().service("web").unwrap().instances[0].clone();
    let since = registry.clock().now();
    let check = CheckView { state, since, basis: Basis::Known, ..view.checks()[place].clone() };
    let observation = Observation {
        service: service("web"),
        id: id("web-1"),
        generation: view.generation,
        check,
    };
    registry.observe(vec![observation]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_is_checked_is_left_out_from_the_first_moment_until_all_pass() {
    let (registry, _) = start(policy());
    let two = r#"[{"kind":"http"},{"kind":"tcp"},{"kind":"tcp","name":"x","initial":"passing"}]"#;

    let web = registry.register(service("web"), id("web-1"), checked(two)).await.unwrap();

    assert_eq!(web.instance.reasons(), ["check http critical", "check tcp critical"]);
    observe(&registry, 0, Status::Warning).await;
    assert_eq!(reasons(&registry), ["check tcp critical"]);
    observe(&registry, 1, Status::Passing).await;
    assert_eq!(reasons(&registry), [""; 0]);
    assert_eq!(registry.views().revision(), web.revision.next().next());
    observe(&registry, 1, Status::Passing).await;
    assert_eq!(registry.views().revision(), web.revision.next().next());
}

#[tokio::test(start_paused = true)]
async fn settings_give_checks_and_take_them_and_names_are_not_there_twice() {
    let (registry, _) = start(policy());
    let own = r#"[{"kind":"tcp","name":"own"},{"kind":"tcp","name":"both"}]"#;
    registry.register(service("web"), id("web-1"), checked(own)).await.unwrap();
    observe(&registry, 1, Status::Passing).await;

    let all = settings(r#"[{"kind":"http","name":"both"},{"kind":"http"}]"#);
    registry.set_override(service("web"), all).await.unwrap();

    let (passing, critical) = (Status::Passing, Status::Critical);
    let [own, both, http] = ["own", "both", "http"].map(str::to_owned);
    let first = [(own, critical), (both, passing)];
    let with = [&first[..], &[(http, critical)]].concat();
    assert_eq!(checks(&registry), with);
    registry.set_override(service("web"), settings("[]")).await.unwrap();
    assert_eq!(checks(&registry), first);
}

#[tokio::test(start_paused = true)]
async fn settings_take_nobody_out_who_is_answered() {
    let (registry, _) = start(policy());
    registry.register(service("web"), id("web-1"), checked("[]")).await.unwrap();
    let set = |checks: &str| registry.set_override(service("web"), settings(checks));

    set(r#"[{"kind":"http"},{"kind":"ttl","ttl":"5s","initial":"critical"}]"#).await.unwrap();
    assert_eq!(reasons(&registry), [""; 0]);
    observe(&registry, 0, Status::Critical).await;
    assert_eq!(reasons(&registry), ["check http critical"]);
    // Another check of one that is out says nothing until it is done.
    set(r#"[{"kind":"tcp"}]"#).await.unwrap();
    assert_eq!(reasons(&registry), ["check tcp critical"]);
    // Who is new waits, as ever.
    let spec = checked("[]");
    registry.register(service("web"), id("web-2"), spec).await.unwrap();
    let view = registry.views().service("web").unwrap();
    assert_eq!(view.instances[1].reasons(), ["check tcp critical"]);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_the_file_adds_takes_nobody_out_who_stays_where_it_is() {
    let file = |address: &str, checks: &str| {
        let json = format!(
            r#"{{"id":"web-1","addresses":["{address}"],"port":80,"weight":{},"checks":{checks}}}"#,
            checks.len()
        );
        Policy { declared: declared(&[&json]), ..policy() }
    };
    let (registry, _) = start(file("10.0.0.1", "[]"));

    registry.reload(file("10.0.0.1", r#"[{"kind":"tcp"}]"#), false).await.unwrap();
    assert_eq!(reasons(&registry), [""; 0]);
    // Nobody knows what is there.
    registry.reload(file("10.0.0.2", r#"[{"kind":"tcp"}]"#), false).await.unwrap();
    assert_eq!(reasons(&registry), ["check tcp critical"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_stays_when_only_the_times_of_a_check_change() {
    let (registry, _) = start(policy());
    let put = |spec: InstanceSpec| registry.register(service("web"), id("web-1"), spec);
    let view = || registry.views().service("web").unwrap().instances[0].clone();
    put(checked(r#"[{"kind":"tcp"}]"#)).await.unwrap();
    observe(&registry, 0, Status::Passing).await;
    view().checks()[0].latest.set(Millis(7), "connected");
    let before = view().checks()[0].clone();

    put(checked(r#"[{"kind":"tcp","interval":"1m","rise":9}]"#)).await.unwrap();

    let after = view().checks()[0].clone();
    assert_eq!((after.state, after.since), (Status::Passing, before.since));
    assert_eq!((after.latest.at(), &*after.latest.output()), (Some(Millis(7)), "connected"));
    // It is done anew by the new times, and what is under way by the old ones is nothing.
    assert!(!Arc::ptr_eq(&before.latest, &after.latest));
    assert_eq!(after.check.probe().unwrap().rise, 9);
    put(checked("[]")).await.unwrap();
    let set = |checks: &str| registry.set_override(service("web"), settings(checks));
    set(r#"[{"kind":"http"}]"#).await.unwrap();
    observe(&registry, 0, Status::Critical).await;
    set(r#"[{"kind":"http","fall":9,"initial":"passing"}]"#).await.unwrap();
    assert_eq!(reasons(&registry), ["check http critical"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_check_ends_where_another_is_asked() {
    let (registry, _) = start(policy());
    let tcp = r#"[{"kind":"tcp"}]"#;
    let put = |spec: InstanceSpec| registry.register(service("web"), id("web-1"), spec);
    put(checked(tcp)).await.unwrap();
    observe(&registry, 0, Status::Passing).await;
    let stale = registry.views().service("web").unwrap().instances[0].checks()[0].clone();
    let state = |registry: &Registry| checks(registry)[0].1;

    put(InstanceSpec { weight: Weight::new(7).unwrap(), ..checked(tcp) }).await.unwrap();
    assert_eq!(state(&registry), Status::Passing, "another weight");
    put(InstanceSpec { port: PortNumber::new(81).ok(), ..checked(tcp) }).await.unwrap();
    assert_eq!(state(&registry), Status::Critical, "another port");
    observe(&registry, 0, Status::Passing).await;
    put(checked(r#"[{"kind":"http","name":"tcp"}]"#)).await.unwrap();
    assert_eq!(state(&registry), Status::Critical, "another check");

    // What was found out there says nothing here.
    let view = registry.views().service("web").unwrap().instances[0].clone();
    let observation = Observation {
        service: service("web"),
        id: id("web-1"),
        generation: view.generation,
        check: stale,
    };
    registry.observe(vec![observation]).await.unwrap();
    assert_eq!(state(&registry), Status::Critical);
}

#[tokio::test(start_paused = true)]
async fn defaults_of_the_file_hold_for_what_was_stored() {
    let (registry, store) = start(policy());
    registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    let own =
        InstanceSpec { addresses: at("10.0.0.2").addresses, ..checked(r#"[{"kind":"tcp"}]"#) };
    registry.register(service("api"), id("api-1"), own).await.unwrap();
    registry.shut_down().await;
    let records = store.commits.lock().unwrap().clone().into_iter().flat_map(|c| c.changes);
    let instances = records.filter_map(|change| match change {
        Change::Put { service, record } => Some((service, record)),
        Change::Remove { .. }
        | Change::Override { .. }
        | Change::Operator { .. }
        | Change::Token { .. } => None,
    });
    let mut instances: Vec<_> = instances.collect();
    instances.sort_by(|(one, _), (other, _)| one.cmp(other));
    let defaults = Settings::default().patched(&settings(r#"[{"kind":"http"}]"#));
    let declared = Declared { defaults, ..Declared::default() };
    let policy = Policy { declared: Arc::new(declared), ..policy() };

    let image = Image { instances, ..Image::default() };
    let (registry, _engine) = Registry::new(image, policy, names(), store.start());

    assert_eq!(reasons(&registry), ["check http critical"]);
    let api = registry.views().service("api").unwrap().instances[0].reasons();
    assert_eq!(api, ["check http critical", "check tcp critical"]);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_noted_where_they_are_checked() {
    let (registry, _) = start(policy());
    let ttl =
        r#"[{"kind":"ttl","ttl":"5s"},{"kind":"ttl","name":"y","ttl":"5s","initial":"critical"}]"#;
    registry.register(service("web"), id("web-1"), checked(ttl)).await.unwrap();
    let heard = || {
        let view = registry.views().service("web").unwrap();
        let at: Vec<_> = view.instances[0].checks().iter().map(|c| c.latest.at()).collect();
        at
    };
    let registered = registry.clock().now();
    assert_eq!(heard(), [Some(registered), None]);

    tokio::time::sleep(Duration::from_secs(2)).await;
    registry.renew(vec![renewal(&registry, "web", "web-1")]).await.unwrap();

    let renewed = Some(registry.clock().now());
    assert_eq!((heard(), renewed > Some(registered)), (vec![renewed, renewed], true));
}
