//! What a service does with instances that are new, that are too few, and that have too much to do,
//! seen from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use support::dig::{dig, dig_comments};
use support::server::Server;
use support::spread::{NAME, ask_a, assert_shares, count, register, web};
use support::{SOON, eventually};

/// Registers `i-4` beside `i-0` to `i-3`.
fn join(server: &Server) {
    let body = json!({ "addresses": ["10.0.0.4"], "ttl": null, "port": 80 });
    server.http.register("web", "i-4", &body);
}

/// The weights in force, by instance.
fn weights(server: &Server) -> Vec<u64> {
    let resolved = server.http.get(&format!("/v1/resolve?name={NAME}&type=A")).body;
    let instances = resolved["instances"].as_array().unwrap();
    instances.iter().map(|instance| instance["weight"].as_u64().unwrap()).collect()
}

#[test]
fn a_new_instance_gets_a_tenth_at_first_and_its_share_in_the_end() {
    for balance in ["round_robin", "random", "weighted_round_robin", "least_connections"] {
        // For six minutes a weight stays at a tenth.
        let slow = json!({ "balance": balance, "slow_start": "1h" });
        let server = web(&slow, &[1; 4]);
        join(&server);

        let firsts = || count((0..2_000).map(|_| ask_a(&server.dns)[0]));
        assert_shares(balance, &firsts(), 2_000, &[10, 10, 10, 10, 1]);
        let srv = dig(server.dns.address, "+short web.service.local SRV");
        let heavy = srv.iter().filter(|line| line.starts_with("0 65535 80 i-")).count();
        assert_eq!(heavy, 4, "{srv:?}");
        assert!(srv.contains(&"0 6554 80 i-4.web.service.local.".to_owned()), "{srv:?}");

        server.http.set("web", &json!({ "balance": balance, "slow_start": "1s" }));
        eventually(SOON, "the end of the slow start", || {
            let weights = weights(&server);
            (weights[4] == weights[0]).then_some(())
        });
        assert_shares(balance, &firsts(), 2_000, &[1; 5]);
        let srv = dig(server.dns.address, "+short web.service.local SRV");
        assert!(srv.iter().all(|line| line.starts_with("0 256 80 i-")), "{srv:?}");
    }
}

#[test]
fn two_choices_know_that_a_new_instance_is_small() {
    let settings =
        |slow: &str| json!({ "balance": "least_connections", "ttl": "0s", "slow_start": slow });
    let server = web(&settings("1h"), &[1; 4]);
    join(&server);
    let share = || count((0..2_000).map(|_| ask_a(&server.dns)[0])).get(&4).copied().unwrap_or(0);

    let new = share();
    server.http.set("web", &settings("0s"));
    let old = share();

    // A tenth of what each of the others gets, and as much as they.
    assert!((20..=100).contains(&new) && old >= 360, "{new}, {old}");
}

#[test]
fn a_weight_never_falls_on_its_way_and_is_no_revision() {
    let server = web(&json!({ "balance": "random", "slow_start": "4s" }), &[1; 4]);
    join(&server);
    let revision = server.http.revision();
    let mut seen = Vec::new();

    eventually(SOON, "the end of the slow start", || {
        let weights = weights(&server);
        seen.push(weights[4] * 1_000 / weights[0]);
        (weights[4] == weights[0]).then_some(())
    });

    assert!(seen.is_sorted() && seen[0] < 500, "{seen:?}");
    let steps: BTreeSet<u64> = seen.into_iter().collect();
    assert!((3..=21).contains(&steps.len()), "{steps:?}");
    assert_eq!(server.http.revision(), revision);
}

/// What dig says of extended errors.
fn told(server: &Server, line: &str) -> Vec<String> {
    dig_comments(server.dns.address, line, "EDE")
}

fn addresses(server: &Server) -> Vec<String> {
    let mut addresses = dig(server.dns.address, "+short web.service.local");
    addresses.sort();
    addresses
}

fn status(server: &Server, instances: &[usize], status: &str) {
    let beat = |i: &usize| json!({ "service": "web", "id": format!("i-{i}"), "status": status });
    let beats: Vec<Value> = instances.iter().map(beat).collect();
    assert_eq!(server.http.post("/v1/heartbeats", Some(&beats.into())).status, 200);
}

/// Whether the service is in panic, as each of those who tell has it.
fn in_panic(server: &Server) -> bool {
    let service = server.http.get("/v1/services/web").body["panic"].clone();
    let listed = server.http.get("/v1/services").body["services"][0]["panic"].clone();
    let counted = server.http.metric("signpost_services_in_panic", "").unwrap();
    assert_eq!((&listed, counted), (&service, f64::from(u8::from(service == json!(true)))));
    service == json!(true)
}

#[test]
fn a_panic_is_seen_by_everybody_and_hides_no_health() {
    let server = web(&json!({ "panic": 0.5 }), &[1; 4]);
    status(&server, &[0, 1], "critical");
    assert_eq!((in_panic(&server), addresses(&server)), (false, at(&[2, 3])));
    assert_eq!(told(&server, NAME), [""; 0]);

    status(&server, &[2], "critical");

    assert_eq!((in_panic(&server), addresses(&server)), (true, at(&[0, 1, 2, 3])));
    let said = ["; EDE: 0 (Other): (panic: open, 1 of 4 healthy by weight)"];
    for line in [NAME, "web.service.local SRV", "+tcp web.service.local", "i-9.web.service.local"] {
        let expected = if line.starts_with("i-9") { &[][..] } else { &said };
        assert_eq!(told(&server, line), expected, "{line}");
    }
    assert_eq!(told(&server, "+noedns web.service.local"), [""; 0]);
    let service = server.http.get("/v1/services/web").body;
    assert_eq!(service["instances"][0]["usable"], false);
    assert_eq!(service["instances"][0]["reasons"], json!(["critical"]));
    assert!(server.log().contains("service is in panic"), "{}", server.log());

    // Half is not yet the threshold and a twentieth.
    status(&server, &[2], "passing");
    assert_eq!((in_panic(&server), addresses(&server).len()), (true, 4));
    status(&server, &[1], "passing");
    assert_eq!((in_panic(&server), addresses(&server)), (false, at(&[1, 2, 3])));
    assert!(server.log().contains("service is out of panic"), "{}", server.log());
}

#[test]
fn a_closed_service_answers_nobody_and_says_why() {
    let server = web(&json!({ "panic": 0.5, "panic_mode": "closed" }), &[1; 4]);

    status(&server, &[0, 1, 2], "critical");

    assert_eq!((in_panic(&server), addresses(&server)), (true, at(&[])));
    let said = ["; EDE: 0 (Other): (panic: closed, 1 of 4 healthy by weight)"];
    assert_eq!(told(&server, NAME), said);
    let resolved = server.http.get(&format!("/v1/resolve?name={NAME}&type=A")).body;
    assert_eq!(resolved["instances"][3]["reasons"], json!(["panic: closed"]));
    assert_eq!(resolved["rcode"], "NOERROR");
}

#[test]
fn the_last_good_set_is_answered_less_who_left() {
    let server = web(&json!({ "panic": 0.5, "panic_mode": "last_good" }), &[1; 5]);
    status(&server, &[0], "critical");
    status(&server, &[1, 2], "critical");
    assert_eq!((in_panic(&server), addresses(&server)), (true, at(&[1, 2, 3, 4])));

    server.http.delete("/v1/services/web/instances/i-1");
    server.http.post("/v1/services/web/instances/i-3/drain", None);

    // Of i-2 and i-4 one is healthy, and of i-0, i-2 and i-4 a third.
    assert_eq!((in_panic(&server), addresses(&server)), (true, at(&[2, 4])));
}

fn at(instances: &[usize]) -> Vec<String> {
    instances.iter().map(|i| format!("10.0.0.{i}")).collect()
}

#[test]
fn an_overloaded_instance_is_out_until_it_has_room() {
    let server = web(&json!({}), &[1; 3]);
    let report = |i: usize, load: Value| {
        let path = format!("/v1/services/web/instances/i-{i}/heartbeat");
        assert_eq!(server.http.put(&path, &json!({ "load": load })).status, 200);
    };
    let soon = |expected: &[usize]| {
        eventually(SOON, &format!("{expected:?}"), || {
            (addresses(&server) == at(expected)).then_some(())
        });
    };
    let of_50 = |connections: u32| json!({ "connections": connections, "capacity": 50 });

    report(0, of_50(50));
    soon(&[1, 2]);
    let read = server.http.get("/v1/services/web/instances/i-0").body;
    assert_eq!((&read["usable"], &read["reasons"]), (&json!(false), &json!(["overloaded"])));
    report(1, json!({ "overloaded": true }));
    soon(&[2]);
    // Where all have too much to do, nothing is won by leaving any out.
    report(2, of_50(60));
    soon(&[0, 1, 2]);
    report(2, of_50(45));
    report(0, of_50(39));
    soon(&[0]);
    report(1, json!({ "overloaded": false }));
    soon(&[0, 1]);
    report(2, of_50(39));
    soon(&[0, 1, 2]);

    let refused = server
        .http
        .put("/v1/services/web/instances/i-0/heartbeat", &json!({ "load": { "overloaded": 1 } }));
    assert_eq!(refused.problem(), (400, "invalid", Some("load.overloaded")));
}

#[test]
fn guards_are_read_from_the_file_and_follow_a_reload() {
    let config =
        "[defaults]\nslow_start = \"30s\"\npanic = 0.25\n[services.web]\npanic_mode = \"closed\"";
    let server = Server::start(config);
    register(&server, &[1; 4]);
    let settings = || {
        let settings = server.http.get("/v1/services/web").body["settings"].clone();
        ["slow_start", "panic", "panic_mode"].map(|key| settings[key].clone())
    };
    assert_eq!(settings(), [json!("30s"), json!(0.25), json!("closed")]);
    status(&server, &[0, 1, 2, 3], "critical");
    assert_eq!((in_panic(&server), addresses(&server)), (true, at(&[])));

    server.write_config("[services.web]\npanic = 1");
    assert_eq!(server.http.post("/v1/reload", None).status, 200);

    assert_eq!(settings(), [json!("0s"), json!(1), json!("open")]);
    assert_eq!((in_panic(&server), addresses(&server)), (true, at(&[0, 1, 2, 3])));
    server.write_config("");
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(addresses(&server), at(&[]));
}
