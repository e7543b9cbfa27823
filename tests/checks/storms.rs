//! Many checks at once, and instances that come and go.

use super::endpoint::{Conduct, Endpoint, reply};
use super::support::server::MOMENT;
use super::support::{at, now};
use super::*;

#[test]
fn thousands_of_checks_are_no_storm() {
    let endpoint = Endpoint::start(Conduct::Late(reply("200 OK", ""), MOMENT / 60));
    let server = Server::start("[health]\nconcurrency = 24\n");
    let check = json!({ "kind": "http", "interval": "20s", "timeout": "10s" });
    let one = |i: usize| {
        let mut one = instance(endpoint.port(), json!([check]));
        let fields = json!({ "service": format!("s-{}", i / 50), "id": format!("i-{}", i % 50) });
        one.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        one
    };
    let all: Vec<Value> = (0..CHECKS).map(one).collect();
    server.http.batch(&all);

    let usable = || {
        let services = server.http.get("/v1/services").body["services"].take();
        services.as_array().unwrap().iter().map(|s| s["usable"].as_u64().unwrap()).sum::<u64>()
    };
    eventually(3 * SOON, "all were asked, and pass", || (usable() == CHECKS as u64).then_some(()));

    assert!(endpoint.most() <= 24, "{} at the same time", endpoint.most());
    assert_eq!(server.http.metric("signpost_health_checks", ""), Some(CHECKS as f64));
    assert_eq!(server.http.metric("signpost_health_failures_total", ""), Some(0.0));
    // Nobody was forgotten, and nobody is asked any more who is gone.
    for service in 0..CHECKS / 50 {
        let ids =
            (0..50).map(|i| json!({ "service": format!("s-{service}"), "id": format!("i-{i}") }));
        let gone = json!({ "deregister": ids.collect::<Vec<_>>() });
        assert_eq!(server.http.post("/v1/batch", Some(&gone)).status, 200);
    }
    eventually(SOON, "nothing is under way", || {
        let running = server.http.metric("signpost_health_running", "");
        (running == Some(0.0) && endpoint.open() == 0).then_some(())
    });
    let asked = endpoint.connections();
    at(now() + 5 * MOMENT);
    assert_eq!(endpoint.connections(), asked);
}

#[test]
fn a_flapping_server_is_left_out() {
    let turns = vec![reply("200 OK", ""), reply("503 No", "")];
    let endpoint = Endpoint::start(Conduct::Turns(turns));
    let server = Server::start("");
    let check = quick("http", json!({ "rise": 2, "fall": 3 }));
    server.http.register("web", "web-1", &instance(endpoint.port(), json!([check])));
    until(&server, "passing");
    let before = server.http.revision();

    // Never three failures in a row, and never two successes.
    eventually(SOON, "it is critical", || {
        (states(&server, "web-1")[0].0 == "critical").then_some(())
    });
    let asked = endpoint.connections();
    eventually(SOON, "it was asked often", || (endpoint.connections() > asked + 5).then_some(()));

    assert_eq!(server.http.revision(), before + 1);
    assert_eq!(states(&server, "web-1")[0].0, "critical");
}

#[test]
fn one_that_hangs_keeps_no_other_waiting_for_longer_than_its_timeout() {
    let hanging = Endpoint::start(Conduct::Hang(String::new()));
    let fine = Endpoint::replying("200 OK", "");
    let server = Server::start("[health]\nconcurrency = 1\n");
    for id in ["a", "b", "c"] {
        let checks = json!([quick("http", json!({ "timeout": "200ms" }))]);
        server.http.register("web", id, &instance(hanging.port(), checks));
    }
    server.http.register("web", "web-1", &instance(fine.port(), json!([quick("http", json!({}))])));

    until(&server, "passing");
    let asked = fine.connections();
    eventually(SOON, "it is asked again", || (fine.connections() > asked + 2).then_some(()));
}

const CHECKS: usize = 5_000;
