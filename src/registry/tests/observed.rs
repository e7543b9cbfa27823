//! What is found out about instances.

use super::*;

fn overloaded(written: &Written, overloaded: bool) -> Observation {
    Observation {
        service: service("web"),
        id: written.instance.instance.id.clone(),
        generation: written.instance.generation,
        finding: Finding::Overloaded(overloaded),
    }
}

fn reasons(registry: &Registry) -> Vec<&'static str> {
    registry.views().service("web").unwrap().instances[0].reasons()
}

#[tokio::test(start_paused = true)]
async fn a_finding_is_a_revision_and_the_same_again_is_none() {
    let (registry, store) = start(policy());
    let web = registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();

    registry.observe(vec![overloaded(&web, true)]).await.unwrap();
    let found = (reasons(&registry), registry.views().revision());
    registry.observe(vec![overloaded(&web, true)]).await.unwrap();

    assert_eq!(found, (vec!["overloaded"], web.revision.next()));
    assert_eq!(registry.views().revision(), web.revision.next());
    registry.observe(vec![overloaded(&web, false)]).await.unwrap();
    assert_eq!(reasons(&registry), [""; 0]);
    // A restart finds out again.
    assert_eq!(store.commits.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_out_about_an_earlier_registration_is_nothing() {
    let (registry, _) = start(policy());
    let first = registry.register(service("web"), id("web-1"), at("10.0.0.1")).await.unwrap();
    registry.deregister(service("web"), id("web-1")).await.unwrap();
    registry.observe(vec![overloaded(&first, true)]).await.unwrap();
    registry.register(service("web"), id("web-1"), at("10.0.0.2")).await.unwrap();

    registry.observe(vec![overloaded(&first, true)]).await.unwrap();

    assert_eq!(reasons(&registry), [""; 0]);
}
