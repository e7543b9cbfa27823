//! Leases that end together: a service that is protected keeps its instances, as suspect.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::time::Duration;

use serde_json::{Value, json};

use support::server::Server;
use support::watch::Watch;
use support::{SOON, at, eventually, now, with_noise};

const HALF: &str = "[defaults]\nprotect = 0.5\n";

fn register(server: &Server, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let body = json!({ "addresses": [format!("10.0.0.{number}")], "ttl": "1s" });
        server.http.register("web", &format!("web-{number}"), &body);
    }
}

fn addresses(server: &Server) -> Vec<String> {
    let reply = server.dns.ask("web.service.local", "A");
    let mut addresses: Vec<String> = reply.data().into_iter().map(str::to_owned).collect();
    addresses.sort_unstable();
    addresses
}

/// What is shown of a field of each instance.
fn shown(server: &Server, field: &str) -> Vec<Value> {
    let read = server.http.get("/v1/services/web").body;
    read["instances"].as_array().unwrap().iter().map(|own| own[field].clone()).collect()
}

fn wait_for_suspects(server: &Server, count: usize) {
    eventually(SOON, "they are suspect", || {
        let suspect = shown(server, "status").iter().filter(|status| *status == "suspect").count();
        (suspect == count).then_some(())
    });
}

#[test]
fn a_network_that_is_down_for_a_while_empties_nothing() {
    let server = Server::start(HALF);
    let mut watch = Watch::open(server.http.address, "/v1/watch", None);
    watch.event();
    register(&server, 1..=4);

    wait_for_suspects(&server, 4);

    assert_eq!(addresses(&server), [1, 2, 3, 4].map(|number| format!("10.0.0.{number}")));
    let own = server.http.get("/v1/services/web/instances/web-1").body;
    assert_eq!((&own["usable"], &own["reasons"]), (&json!(true), &json!(["suspect"])));
    let reason = "lease expired with many others of the service";
    assert_eq!(own["suspect"]["reason"], reason);
    let left = own["suspect"]["ends_in_ms"].as_u64().unwrap();
    assert!((500_000..=600_000).contains(&left), "{left}");
    let list = server.http.get("/v1/services").body;
    assert_eq!(
        (&list["services"][0]["usable"], &list["services"][0]["suspect"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(server.http.metric("signpost_registry_suspect_instances", ""), Some(4.0));
    assert!(server.http.metric("signpost_registry_protections_total", "") >= Some(1.0));
    watch.until(|event| event.data["instance"]["status"] == "suspect");

    // The network is back.
    let beats = [1, 2, 3, 4].map(|n| json!({ "service": "web", "id": format!("web-{n}") }));
    eventually(SOON, "a heartbeat of each clears them", || {
        assert_eq!(server.http.post("/v1/heartbeats", Some(&json!(beats))).status, 200);
        let read = server.http.get("/v1/services/web").body["instances"].clone();
        let clear = |own: &Value| own["status"] == "passing" && own["suspect"] == Value::Null;
        read.as_array().unwrap().iter().all(clear).then_some(())
    });
    watch.until(|event| event.data["instance"]["status"] == "passing");
    let log = server.log();
    let said = |text| assert!(log.contains(text), "{text}\n{log}");
    said("many leases ended together, instances are kept as suspect");
    said("no instance is suspect any more");
}

#[test]
fn suspects_are_drained_deregistered_and_given_up_like_others() {
    let server = Server::start("[defaults]\nprotect = 0.5\nprotect_for = \"3s\"\n");
    register(&server, 1..=4);
    wait_for_suspects(&server, 4);

    let path = |number: usize| format!("/v1/services/web/instances/web-{number}");
    assert_eq!(server.http.delete(&path(1)).status, 204);
    let drained = server.http.post(&format!("{}/drain", path(2)), None).body;

    assert_eq!(drained["instance"]["status"], "suspect");
    assert_eq!(drained["instance"]["reasons"], json!(["draining", "suspect"]));
    assert_eq!(addresses(&server), ["10.0.0.3", "10.0.0.4"]);
    eventually(SOON, "the protection is over", || addresses(&server).is_empty().then_some(()));
    assert_eq!(shown(&server, "id"), [""; 0]);
}

#[test]
fn what_is_suspect_outlives_the_process() {
    let mut server = Server::start(HALF);
    register(&server, 1..=3);
    wait_for_suspects(&server, 3);

    server.kill();
    server.start_again();

    assert_eq!(addresses(&server).len(), 3);
    // Their leases are fresh, and end together again.
    wait_for_suspects(&server, 3);
    assert_eq!(addresses(&server).len(), 3);
}

#[test]
fn a_reload_switches_protection_of_the_registry_on_and_off() {
    let server = Server::start("");
    server.write_config("[registry]\nprotect = 0.5\n");
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    register(&server, 1..=3);
    wait_for_suspects(&server, 3);
    let own = server.http.get("/v1/services/web/instances/web-1").body;
    assert_eq!(own["suspect"]["reason"], "lease expired with many others of the registry");

    server.write_config("");
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    register(&server, 4..=9);

    eventually(SOON, "all go", || shown(&server, "id").is_empty().then_some(()));
}

#[test]
fn shares_that_are_none_are_refused_with_their_place() {
    let server = Server::start(HALF);
    for (body, field) in [
        (json!({ "protect": 1.5 }), "protect"),
        (json!({ "protect": "on" }), "protect"),
        (json!({ "protect_for": "0s" }), "protect_for"),
        (json!({ "ejection_max": -0.1 }), "ejection_max"),
        (json!({ "ejection_base": "2h" }), "ejection_base"),
        (json!({ "ejection_failures": 0 }), "ejection_failures"),
        (json!({ "ejection": true }), "ejection"),
    ] {
        let reply = server.http.put("/v1/services/web", &body);
        assert_eq!((reply.status, &reply.body["field"]), (400, &json!(field)), "{body}");
    }
}

#[test]
fn a_stopped_server_suspects_nobody_and_keeps_its_suspects() {
    let server = Server::start("[defaults]\nprotect = 0.5\nprotect_for = \"2s\"\n");
    register(&server, 1..=3);
    wait_for_suspects(&server, 3);
    let body = json!({ "addresses": ["10.0.1.1"], "ttl": "1s" });
    server.http.register("api", "api-1", &body);

    // For longer than every ttl, and than the protection.
    server.signal("STOP");
    at(now() + Duration::from_secs(4));
    server.signal("CONT");

    assert_eq!(addresses(&server).len(), 3, "suspects could not renew either");
    assert_eq!(server.http.get("/v1/services/api/instances/api-1").body["status"], "passing");
    eventually(SOON, "then the protection is over", || addresses(&server).is_empty().then_some(()));
}

#[test]
fn thousands_of_leases_that_end_together_are_kept_in_time() {
    let server = Server::start(HALF);
    let item = |i: u32| {
        json!({
            "service": format!("s-{}", i % 20), "id": format!("i-{i}"), "ttl": "4s",
            "addresses": [format!("10.0.{}.{}", i / 250, i % 250)],
        })
    };
    let items: Vec<Value> = (0..5_000).map(item).collect();

    let ((), noise) = with_noise(|| {
        server.http.batch(&items);
        eventually(SOON, "all are suspect", || {
            let list = server.http.get("/v1/services").body;
            let services = list["services"].as_array().unwrap();
            let suspect = services.iter().filter_map(|own| own["suspect"].as_u64()).sum::<u64>();
            (suspect == 5_000).then_some(())
        });
    });

    // As for leases that end alone, with what a machine may add.
    let bound = Duration::from_millis(400) + noise;
    let lag = server.http.metric("signpost_registry_expiry_lag_milliseconds", "").unwrap();
    assert!(lag <= bound.as_secs_f64() * 1_000.0, "{lag} ms late");
    let heartbeats: Vec<Value> =
        items.iter().map(|own| json!({ "service": own["service"], "id": own["id"] })).collect();
    let renewed = server.http.post("/v1/heartbeats", Some(&json!(heartbeats)));
    assert_eq!(renewed.status, 200);
    eventually(SOON, "none is", || {
        let suspect = server.http.metric("signpost_registry_suspect_instances", "");
        (suspect == Some(0.0)).then_some(())
    });
}
