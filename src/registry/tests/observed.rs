//! What is found out about instances, told by checks.

use super::*;

fn checked(address: &str) -> InstanceSpec {
    spec(&format!(
        r#"{{"addresses":["{address}"],"port":80,"ttl":"10s","checks":[{{"kind":"tcp"}}]}}"#
    ))
}

/// That the check of a registration is in `state`.
fn found(written: &Written, state: Status) -> Observation {
    let InstanceView { instance, generation, .. } = &written.instance;
    let check = CheckView { state, ..written.instance.checks()[0].clone() };
    Observation { service: service("web"), id: instance.id.clone(), generation: *generation, check }
}

fn reasons(registry: &Registry) -> Vec<&'static str> {
    registry.views().service("web").unwrap().instances[0].reasons()
}

#[tokio::test(start_paused = true)]
async fn a_finding_is_a_revision_and_the_same_again_is_none() {
    let (registry, store) = start(policy());
    let web = registry.register(service("web"), id("web-1"), checked("10.0.0.1")).await.unwrap();
    assert_eq!(reasons(&registry), ["check tcp critical"]);

    registry.observe(vec![found(&web, Status::Passing)]).await.unwrap();
    let passing = (reasons(&registry), registry.views().revision());
    registry.observe(vec![found(&web, Status::Passing)]).await.unwrap();

    assert_eq!(passing, (vec![], web.revision.next()));
    assert_eq!(registry.views().revision(), web.revision.next());
    registry.observe(vec![found(&web, Status::Critical)]).await.unwrap();
    assert_eq!(reasons(&registry), ["check tcp critical"]);
    // A restart finds out again.
    assert_eq!(store.commits.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_out_about_an_earlier_registration_is_nothing() {
    let (registry, _) = start(policy());
    let first = registry.register(service("web"), id("web-1"), checked("10.0.0.1")).await.unwrap();
    registry.deregister(service("web"), id("web-1")).await.unwrap();
    registry.observe(vec![found(&first, Status::Passing)]).await.unwrap();
    registry.register(service("web"), id("web-1"), checked("10.0.0.1")).await.unwrap();

    registry.observe(vec![found(&first, Status::Passing)]).await.unwrap();

    assert_eq!(reasons(&registry), ["check tcp critical"]);
}
