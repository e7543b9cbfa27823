//! What clients report of instances: those that fail are left out for a while.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use serde_json::{Value, json};

use support::server::Server;
use support::{SOON, eventually};

const REPORTS: &str = "/v1/services/web/reports";

fn web(config: &str, instances: usize) -> Server {
    let server = Server::start(config);
    for number in 1..=instances {
        let body = json!({ "addresses": [format!("10.0.0.{number}")], "ttl": null });
        server.http.register("web", &format!("web-{number}"), &body);
    }
    server
}

fn addresses(server: &Server) -> Vec<String> {
    let reply = server.dns.ask("web.service.local", "A");
    let mut addresses: Vec<String> = reply.data().into_iter().map(str::to_owned).collect();
    addresses.sort_unstable();
    addresses
}

fn report(server: &Server, body: &Value) -> Value {
    let reply = server.http.post(REPORTS, Some(body));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body
}

#[test]
fn an_instance_that_fails_is_left_out_and_comes_back() {
    let server = web("[defaults]\nejection_base = \"1s\"", 3);
    let mut watch = support::watch::Watch::open(server.http.address, "/v1/watch", None);
    watch.event();

    let results = report(
        &server,
        &json!([
            { "id": "web-1", "successes": 20, "failures": 0, "latency_ms": 2.5 },
            { "id": "web-2", "successes": 0, "failures": 5 },
            { "id": "nobody", "failures": 5 },
        ]),
    );

    let expected = json!({ "results": [
        { "id": "web-1", "result": "ok" },
        { "id": "web-2", "result": "ok" },
        { "id": "nobody", "result": "unknown-instance" },
    ] });
    assert_eq!(results, expected);
    let out = watch.event().data["instance"].clone();
    assert_eq!((&out["id"], &out["usable"]), (&json!("web-2"), &json!(false)));
    assert_eq!((&out["reasons"], &out["status"]), (&json!(["ejected"]), &json!("passing")));
    assert_eq!(out["ejected"]["cause"], "failures");
    assert!(out["ejected"]["ends_in_ms"].as_u64().unwrap() <= 1_000, "{out}");
    let back = watch.event().data["instance"].clone();
    assert_eq!((&back["usable"], &back["reasons"]), (&json!(true), &json!([])));
    assert_eq!(back.get("ejected"), None);
    assert_eq!(addresses(&server), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let metric = |name: &str, labels: &str| server.http.metric(name, labels);
    let ejections = metric("signpost_registry_ejections_total", "cause=\"failures\"");
    assert_eq!(ejections, Some(1.0));
    assert_eq!(metric("signpost_registry_outcomes_total", ""), Some(25.0));
    assert_eq!(metric("signpost_registry_ejected_instances", ""), Some(0.0));
    let log = server.log();
    assert!(log.contains("instance ejected") && log.contains("ejection over"), "{log}");
}

#[test]
fn dns_leaves_out_who_is_ejected_but_never_more_than_its_share() {
    let server = web("", 4);
    // The second of them is over the share of 0.3.
    report(&server, &json!([{ "id": "web-3", "failures": 5 }]));
    eventually(SOON, "it is left out", || (addresses(&server).len() == 3).then_some(()));
    report(&server, &json!([{ "id": "web-4", "failures": 500 }]));

    eventually(SOON, "the other is held", || {
        (server.http.metric("signpost_registry_ejections_held_total", "") == Some(1.0))
            .then_some(())
    });
    assert_eq!(addresses(&server), ["10.0.0.1", "10.0.0.2", "10.0.0.4"]);
    // By its own name it is found all the same.
    assert_eq!(server.dns.ask("web-3.web.service.local", "A").data(), ["10.0.0.3"]);
    let resolved = server.http.get("/v1/resolve?name=web.service.local&type=A").body;
    assert_eq!(resolved["instances"][2]["reasons"], json!(["ejected"]));

    server.http.set("web", &json!({ "ejection": "off" }));

    assert_eq!(addresses(&server).len(), 4);
}

#[test]
fn an_instance_that_fails_far_more_often_than_the_others_is_an_outlier() {
    let server = web("", 6);
    let items: Vec<Value> = (1..=6)
        .map(|number| {
            let failures = if number == 6 { 60 } else { 1 };
            json!({ "id": format!("web-{number}"), "successes": 200 - failures, "failures": failures })
        })
        .collect();

    report(&server, &json!(items));

    eventually(2 * SOON, "the interval of 10 s is over", || {
        (addresses(&server).len() == 5).then_some(())
    });
    let read = server.http.get("/v1/services/web/instances/web-6").body;
    assert_eq!(read["ejected"]["cause"], "success_rate");
}

#[test]
fn outcomes_can_be_read() {
    let server = web("", 2);
    report(
        &server,
        &json!([{ "id": "web-1", "successes": 9, "failures": 1, "latency_ms": 4 },
                { "id": "web-2", "failures": 3 }]),
    );

    let read = server.http.get(REPORTS).body;

    let expected = json!({ "service": "web", "interval_ms": 10_000, "instances": [
        { "id": "web-1", "successes": 9, "failures": 1, "latency_ms": 4.0,
          "failures_in_a_row": 0, "ejections": 0, "ejected_for_ms": null },
        { "id": "web-2", "successes": 0, "failures": 3, "latency_ms": null,
          "failures_in_a_row": 3, "ejections": 0, "ejected_for_ms": null },
    ] });
    assert_eq!(read, expected);
}

#[test]
fn what_is_not_as_described_is_refused_and_named() {
    let server = web("", 1);
    let long: Vec<Value> = (0..10_001).map(|_| json!({ "id": "web-1" })).collect();
    for (body, status, field) in [
        (json!([{ "id": "a" }, { "id": "a", "failures": -1 }]), 400, json!("[1].failures")),
        (json!([{ "id": "a", "successes": 1.5 }]), 400, json!("[0].successes")),
        (json!([{ "id": "a", "successes": 1_000_000_001 }]), 400, json!("[0].successes")),
        (json!([{ "id": "a", "latency_ms": -1 }]), 400, json!("[0].latency_ms")),
        (json!([{ "id": "-" }]), 400, json!("[0].id")),
        (json!([{ "successes": 1 }]), 400, json!("[0].id")),
        (json!([{ "id": "a", "errors": 1 }]), 400, json!("[0].errors")),
        (json!({ "id": "a" }), 400, json!("body")),
        (json!(long), 413, Value::Null),
    ] {
        let reply = server.http.post(REPORTS, Some(&body));
        let said = (reply.status, reply.body["field"].clone());
        assert_eq!(said, (status, field), "{} {}", reply.body, body.to_string().len());
    }
    let unknown = server.http.post("/v1/services/api/reports", Some(&json!([])));
    assert_eq!(unknown.body["type"], "urn:signpost:unknown-service");
    assert_eq!(server.http.delete(REPORTS).status, 405);
}
