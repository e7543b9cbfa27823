//! Services: list, read, wait, override, forget.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signpost::model::Limits;

use crate::support::{PATIENCE, PLAIN, Server, Setup, WEB_1};

#[test]
fn the_list_is_sorted_and_counts() {
    let declared = json!({"id": "d", "addresses": ["10.0.0.9"], "ttl": null});
    let server = Server::with(Setup::default().declare("db", &[declared]));
    server.register("web", "web-2", PLAIN);
    server.register("web", "web-1", PLAIN);
    let revision = server.register("api", "api-1", PLAIN)["revision"].clone();
    let drained = server.call("POST", &format!("{WEB_1}/drain"), "").json()["revision"].clone();

    let list = server.get("/v1/services");

    let services = list.json()["services"].as_array().unwrap().clone();
    let db_revision = services[1]["revision"].clone();
    assert_eq!(
        list.json(),
        json!({"revision": drained, "services": [
            {"service": "api", "revision": revision, "instances": 1, "usable": 1, "declared": false},
            {"service": "db", "revision": db_revision, "instances": 1, "usable": 1, "declared": true},
            {"service": "web", "revision": drained, "instances": 2, "usable": 1, "declared": false},
        ]})
    );
}

#[test]
fn a_service_is_read_with_everything_about_it() {
    let server = Server::start();
    server.register("web", "b", PLAIN);
    let revision = server.register("web", "a", PLAIN)["revision"].clone();

    let service = server.get("/v1/services/web").json();

    let ids: Vec<_> = service["instances"].as_array().unwrap().iter().map(|i| &i["id"]).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(service["revision"], revision);
    assert_eq!(service["service"], "web");
    assert_eq!(service["overrides"], json!({}));
    assert_eq!(
        service["settings"],
        json!({
            "balance": "round_robin", "answer": "auto", "ttl": "5s", "max_answers": 8,
            "srv_tiers": "active", "srv_weight_max": 65535, "txt": "none",
            "slow_start": "0s", "panic": 0, "panic_mode": "open", "protect": 0, "locality": "prefer",
            "hot_key_replicas": 1, "checks": [],
            "protect_for": "10m", "ejection": "on", "ejection_failures": 5, "ejection_base": "30s",
            "ejection_max": 0.3,
        })
    );
    server.get("/v1/services/other").assert_problem(404, "unknown-service", None);
}

#[test]
fn an_override_declares_a_service_until_it_is_forgotten() {
    let server = Server::start();
    let path = "/v1/services/web";

    let set = server.call("PUT", path, r#"{"balance":"random","ttl":"1s","txt":["a"]}"#);

    let (status, set) = (set.status, set.json());
    assert_eq!((status, &set["service"]), (200, &json!("web")));
    assert_eq!(set["settings"]["balance"], "random");
    assert_eq!(set["settings"]["txt"], json!(["a"]));
    let read = server.get(path).json();
    assert_eq!(read["revision"], set["revision"]);
    assert_eq!(read["overrides"], json!({"balance": "random", "ttl": "1s", "txt": ["a"]}));
    assert_eq!(server.get("/v1/services").json()["services"][0]["declared"], true);

    let replaced = server.call("PUT", path, r#"{"max_answers":3}"#).json();
    assert_eq!(replaced["settings"]["balance"], "round_robin");
    server.call("PUT", path, "{}");
    assert_eq!(server.get(path).json()["overrides"], json!({}));

    server.register("web", "web-1", PLAIN);
    server.call("DELETE", path, "").assert_problem(409, "not-empty", None);
    server.call("DELETE", WEB_1, "");
    for _ in 0..2 {
        assert_eq!(server.call("DELETE", path, "").status, 204);
    }
    server.get(path).assert_problem(404, "unknown-service", None);
}

#[test]
fn the_file_s_services_cannot_be_forgotten() {
    let server = Server::with(Setup::default().declare("web", &[]));

    server.call("DELETE", "/v1/services/web", "").assert_problem(409, "static-service", None);
}

#[test]
fn the_server_s_own_name_is_taken() {
    let server = Server::start();

    let instance = server.call("PUT", "/v1/services/ns1/instances/a", PLAIN);
    let service = server.call("PUT", "/v1/services/ns1", "{}");

    for reply in [instance, service] {
        reply.assert_problem(400, "invalid", Some("service"));
    }
}

#[test]
fn a_read_waits_for_its_service_and_for_nothing_else() {
    let server = Server::start();
    let index = server.register("web", "web-1", PLAIN)["revision"].as_u64().unwrap();
    let mut waiting = server.connect();
    waiting.send("GET", &format!("/v1/services/web?index={index}&wait=1m"), "");

    // None of these concerns the service.
    server.register("api", "api-1", PLAIN);
    server.call("PUT", &format!("{WEB_1}/heartbeat"), r#"{"load":{"cpu":0.5}}"#);
    server.call("PUT", WEB_1, PLAIN);
    let patched = server.call("PATCH", WEB_1, r#"{"weight":2}"#).json()["revision"].clone();

    let reply = waiting.reply(false);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["revision"], patched);
    assert_eq!(reply.json()["instances"][0]["weight"], 2);
}

#[test]
fn the_list_waits_for_any_change() {
    let server = Server::start();
    let index = server.get("/v1/services").json()["revision"].as_u64().unwrap();
    let mut waiting = server.connect();
    waiting.send("GET", &format!("/v1/services?wait=1m&index={index}"), "");

    let revision = server.register("web", "web-1", PLAIN)["revision"].clone();

    let reply = waiting.reply(false);
    assert_eq!(reply.json()["revision"], revision);
    assert_eq!(reply.json()["services"][0]["service"], "web");
}

#[test]
fn a_wait_ends_with_the_expiry_of_a_lease() {
    let server = Server::start();
    let body = r#"{"addresses":["10.0.0.1"],"ttl":"1s"}"#;
    let index = server.register("web", "web-1", body)["revision"].clone();

    let reply = server.get(&format!("/v1/services/web?index={index}&wait=1m"));

    assert_eq!(reply.json()["instances"], json!([]));
}

#[test]
fn without_an_index_or_behind_it_nothing_waits() {
    let server = Server::start();
    let index = server.register("web", "web-1", PLAIN)["revision"].as_u64().unwrap() - 1;
    let started = Instant::now();

    for query in ["wait=10m", "index=0&wait=10m", &format!("index={index}&wait=10m")] {
        assert_eq!(server.get(&format!("/v1/services/web?{query}")).status, 200);
        assert_eq!(server.get(&format!("/v1/services?{query}")).status, 200);
    }

    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_wait_that_is_over_says_what_there_is() {
    let server = Server::start();
    let index = server.register("web", "web-1", PLAIN)["revision"].as_u64().unwrap();
    let started = Instant::now();

    let reply = server.get(&format!("/v1/services/web?index={index}&wait=200ms"));

    assert_eq!((reply.status, &reply.json()["revision"]), (200, &json!(index)));
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[test]
fn an_unknown_service_is_waited_for_and_then_unknown() {
    let server = Server::start();
    server.get("/v1/services/web?index=1&wait=100ms").assert_problem(404, "unknown-service", None);
    let mut waiting = server.connect();
    waiting.send("GET", "/v1/services/web?index=1&wait=1m", "");

    server.register("web", "web-1", PLAIN);

    assert_eq!(waiting.reply(false).json()["service"], "web");
}

#[test]
fn only_so_many_may_wait() {
    let limits = Limits { watchers: 1, ..Limits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() });
    let mut watching = server.connect();
    watching.send("GET", "/v1/watch", "");
    assert_eq!(watching.head().0, 200);

    let wait = server.get("/v1/services?index=999999&wait=1m");
    let watch = server.get("/v1/watch");

    for reply in [wait, watch] {
        reply.assert_problem(429, "limit", None);
        assert!(reply.json()["detail"].as_str().unwrap().contains("watchers"));
    }
    assert_eq!(server.get("/v1/services").status, 200);

    // A client that goes away makes room.
    drop(watching);
    let deadline = Instant::now() + PATIENCE;
    while server.get("/v1/services?index=999999&wait=1ms").status != 200 {
        assert!(Instant::now() < deadline, "the place is never free again");
    }
}

#[test]
fn shutdown_ends_waits_with_what_there_is() {
    let mut server = Server::start();
    let index = server.register("web", "web-1", PLAIN)["revision"].as_u64().unwrap();
    let mut waiting = server.connect();
    waiting.send("GET", &format!("/v1/services/web?index={index}&wait=10m"), "");
    // The wait is under way when the gauge says so.
    let deadline = Instant::now() + PATIENCE;
    while !server.get("/metrics").body.contains("signpost_http_watchers 1") {
        assert!(Instant::now() < deadline, "the wait never begins");
    }

    server.stop();

    let reply = waiting.reply(false);
    assert_eq!((reply.status, &reply.json()["revision"]), (200, &Value::from(index)));
    assert!(waiting.closed());
}
