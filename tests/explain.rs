//! What is said of an answer before it is given, held to the answers that are given then.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use support::dns::Query;
use support::server::Server;
use support::spread::{NAME, ask, ask_a, ask_srv, count, plausible, register, web};
use support::{SOON, at, eventually, now};

/// What is explained of each instance, by id.
fn explained(server: &Server, question: &str) -> BTreeMap<String, Value> {
    let reply = server.http.get(&format!("/v1/resolve?name={question}"));
    assert_eq!(reply.status, 200, "{reply:?}");
    let instances = reply.body["instances"].as_array().unwrap().iter();
    instances.map(|own| (own["id"].as_str().unwrap().to_owned(), own.clone())).collect()
}

/// The chances of `i-0` and so on to be first.
fn chances(server: &Server, question: &str) -> Vec<f64> {
    let explained = explained(server, question);
    explained.values().map(|own| own["stages"]["chance"].as_f64().unwrap()).collect()
}

/// Asserts that who was first in answers had the chances that were said.
fn assert_chances(what: &str, chances: &[f64], firsts: &BTreeMap<usize, usize>) {
    let draws = firsts.values().sum();
    assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{what}: {chances:?}");
    for (i, chance) in chances.iter().enumerate() {
        let found = firsts.get(&i).copied().unwrap_or(0);
        let as_said = plausible(found, draws, *chance);
        assert!(as_said, "{what}: i-{i} has {found} of {draws}: {firsts:?} and not {chances:?}");
    }
}

const QUERIES: usize = 3_000;

#[test]
fn the_chances_that_are_shown_are_those_that_queries_see() {
    for (settings, weights) in [
        (json!({ "balance": "round_robin" }), &[1, 1, 1, 1, 1][..]),
        (json!({ "balance": "round_robin", "max_answers": 2 }), &[3, 1, 1, 1, 1]),
        (json!({ "balance": "random" }), &[5, 3, 1, 1]),
        (json!({ "balance": "random", "answer": "single" }), &[5, 3, 1, 1]),
        (json!({ "balance": "random", "answer": "all" }), &[5, 3, 1, 1]),
        (json!({ "balance": "random", "ttl": "0s" }), &[5, 3, 1, 1]),
        (json!({ "balance": "weighted_round_robin" }), &[3, 1, 1]),
        (json!({ "balance": "weighted_round_robin", "max_answers": 2 }), &[5, 3, 2, 1, 1]),
        (json!({ "balance": "weighted_round_robin", "ttl": "0s" }), &[5, 3, 2, 1, 1]),
        (json!({ "balance": "weighted_round_robin", "answer": "sticky_subset" }), &[2, 2, 1, 1]),
        (json!({ "balance": "least_connections" }), &[3, 2, 1]),
        (json!({ "balance": "round_robin", "answer": "single" }), &[3, 1, 1]),
        (json!({ "balance": "round_robin", "answer": "sticky_subset", "max_answers": 2 }), &[1; 5]),
        (json!({ "balance": "least_connections", "answer": "sticky_subset" }), &[3, 2, 1]),
        (json!({ "balance": "consistent_hash" }), &[3, 2, 1]),
        (json!({ "balance": "consistent_hash", "answer": "all" }), &[3, 2, 1]),
        (json!({ "balance": "consistent_hash", "answer": "ordered" }), &[3, 2, 1]),
        (json!({ "balance": "consistent_hash", "answer": "subset" }), &[3, 2, 1]),
        (json!({ "balance": "consistent_hash", "answer": "sticky_subset" }), &[3, 2, 1]),
    ] {
        let server = web(&settings, weights);

        let said = chances(&server, &format!("{NAME}&type=A"));
        let firsts = count((0..QUERIES).map(|_| ask_a(&server.dns)[0]));
        assert_chances(&settings.to_string(), &said, &firsts);
        let said = chances(&server, &format!("{NAME}&type=AAAA"));
        let aaaa = Query::new(NAME, "AAAA");
        let firsts = count((0..QUERIES).map(|_| ask(&server.dns, &aaaa)[0]));
        assert_chances(&settings.to_string(), &said, &firsts);
    }
}

#[test]
fn what_is_true_of_one_moment_is_near_the_truth_of_the_next() {
    // Two choices look at what was handed out since the last report, which every answer moves.
    let settings = json!({ "balance": "least_connections", "ttl": "0s", "answer": "single" });
    let server = web(&settings, &[1; 4]);
    for (i, connections) in [0, 40, 80, 120].iter().enumerate() {
        let load = json!({ "load": { "connections": connections, "capacity": 1_000 } });
        let path = format!("/v1/services/web/instances/i-{i}/heartbeat");
        assert_eq!(server.http.put(&path, &load).status, 200);
    }

    let said = chances(&server, &format!("{NAME}&type=A"));
    let firsts = count((0..30).map(|_| ask_a(&server.dns)[0]));

    // Of two the better one: a half, a third, a sixth and never.
    for (chance, expected) in said.iter().zip([1.0 / 2.0, 1.0 / 3.0, 1.0 / 6.0, 0.0]) {
        assert!((chance - expected).abs() < 0.06, "{said:?}");
    }
    assert_chances("two choices", &said, &firsts);
    // An order begins with the best of all.
    let ordered = json!({ "balance": "least_connections", "ttl": "0s", "answer": "ordered" });
    server.http.set("web", &ordered);
    let said = chances(&server, &format!("{NAME}&type=A"));
    assert_eq!(said, [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn chances_are_those_of_the_name_the_place_and_the_moment() {
    let server = Server::start(
        "[[localities]]\nnetworks = [\"10.1.0.0/16\"]\nregion = \"r\"\nzone = \"a\"\n",
    );
    server.http.set("web", &json!({ "balance": "random", "slow_start": "1h" }));
    let one = |i: usize, more: Value| {
        let mut one = json!({
            "service": "web", "id": format!("i-{i}"), "ttl": null, "port": 80,
            "addresses": [format!("10.0.0.{i}")],
        });
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one
    };
    let near = json!({ "locality": { "region": "r", "zone": "a" }, "tags": ["x"] });
    let far = json!({ "locality": { "region": "r", "zone": "b" }, "weight": 2 });
    server.http.batch(&[
        one(0, near.clone()),
        one(1, near.clone()),
        one(2, far.clone()),
        one(3, far),
        one(4, json!({ "tier": 1, "tags": ["x"] })),
    ]);
    // A new one of the first zone.
    server.http.batch(&[one(5, near)]);

    let firsts = |query: &Query| count((0..QUERIES).map(|_| ask(&server.dns, query)[0]));
    let said = chances(&server, &format!("{NAME}&type=A"));
    assert_chances("whole", &said, &firsts(&Query::new(NAME, "A")));
    assert_eq!(said[4], 0.0, "of another tier");
    assert!((said[5] - 0.1 / 6.1).abs() < 1e-9, "{said:?}");
    let tagged = "x.tag.web.service.local";
    let said = chances(&server, &format!("{tagged}&type=A"));
    assert_chances("tagged", &said, &firsts(&Query::new(tagged, "A")));
    assert_eq!(said[2], 0.0);
    let there = Query::new(NAME, "A").subnet("10.1.7.0", 24);
    let said = chances(&server, &format!("{NAME}&type=A&client=10.1.7.9"));
    assert_chances("near", &said, &firsts(&there));
    assert!(said[0] > 0.3, "{said:?}");
    // Those that sort SRV by weight.
    let said = chances(&server, &format!("{NAME}&type=SRV"));
    assert!((said[2] - 2.0 / 6.1).abs() < 0.001, "{said:?}");
    assert_eq!(ask_srv(&server.dns, &Query::new(NAME, "SRV")).len(), 5);
}

/// When each of `i-0` and so on was last handed out, in milliseconds before now.
fn last(server: &Server, question: &str) -> Vec<Option<u64>> {
    let explained = explained(server, question);
    explained.values().map(|own| own["stages"]["last_handed_out_ms"].as_u64()).collect()
}

#[test]
fn who_was_handed_out_last_is_remembered_of_queries_and_not_of_looks() {
    let server = web(&json!({ "balance": "round_robin" }), &[1; 3]);
    let question = format!("{NAME}&type=A");
    assert_eq!(
        (last(&server, &question), last(&server, &question)),
        (vec![None; 3], vec![None; 3])
    );

    let first = ask_a(&server.dns)[0];
    let after = last(&server, &question);
    let known: Vec<bool> = after.iter().map(Option::is_some).collect();
    assert_eq!(known, [0, 1, 2].map(|i| i == first));

    // Looks move nothing: time goes on.
    at(now() + Duration::from_millis(400));
    assert!(last(&server, &question)[first] >= Some(after[first].unwrap() + 400));
    let rest: Vec<usize> = (0..2).map(|_| ask_a(&server.dns)[0]).collect();
    let after = last(&server, &question);
    assert!(rest.iter().all(|i| after[*i] < after[first]), "{first} {rest:?} {after:?}");
    // By TCP, too, and with all of EDNS, where another part of the server answers.
    let query = Query::new(NAME, "A").subnet("10.9.9.0", 24);
    let data = server.dns.tcp(&query).data().remove(0).to_owned();
    let again: usize = data.rsplit('.').next().unwrap().parse().unwrap();
    assert_eq!(again, first, "it is its turn");
    let after = last(&server, &question);
    assert!(rest.iter().all(|i| after[*i] > after[again]), "{again} {after:?}");
}

/// What `signpost resolve` prints.
fn resolved(server: &Server) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signpost"));
    let output = command.args(["resolve", NAME]).env("SIGNPOST_SERVER", server.url()).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// What is told of the stages of an instance.
fn stages(server: &Server, id: &str, fields: &[&str]) -> Value {
    let explained = explained(server, &format!("{NAME}&type=A"));
    // One that was gone for a moment.
    let Some(own) = explained.get(id) else { return Value::Null };
    let field = |field: &&str| match *field {
        "in" | "reasons" => own[*field].clone(),
        stage => own["stages"][stage].clone(),
    };
    fields.iter().map(field).collect::<Vec<_>>().into()
}

#[test]
fn each_stage_says_what_it_made_of_an_instance() {
    // As many as there are: none is out by chance.
    let server = web(&json!({ "balance": "random", "max_answers": 10 }), &[1; 10]);
    let way = ["in", "reasons", "status", "usable", "health", "panic", "active"];
    let fine = json!([true, [], "passing", true, [], false, true]);
    assert_eq!(stages(&server, "i-0", &way), fine);

    let drain = server.http.post("/v1/services/web/instances/i-1/drain", None);
    assert_eq!(drain.status, 200);
    let failures = json!([{ "id": "i-2", "failures": 9 }]);
    assert_eq!(server.http.post("/v1/services/web/reports", Some(&failures)).status, 200);
    let full = json!({ "load": { "overloaded": true } });
    let beat = |i: usize, body: &Value| {
        let path = format!("/v1/services/web/instances/i-{i}/heartbeat");
        assert_eq!(server.http.put(&path, body).status, 200);
    };
    beat(3, &full);
    beat(4, &json!({ "status": "critical" }));
    // Nobody listens there.
    let check = json!({ "kind": "tcp", "port": 9, "timeout": "10ms" });
    let body = json!({ "addresses": ["127.0.0.9"], "ttl": null, "port": 80, "checks": [check] });
    server.http.register("web", "i-5", &body);
    let body = json!({ "addresses": ["10.0.0.6"], "ttl": null, "port": 80, "tier": 7 });
    server.http.register("web", "i-6", &body);

    let out = |status: &str, reason: &str| {
        json!([false, [reason], status, false, [reason], false, false])
    };
    eventually(SOON, "the overloaded one is out", || {
        (stages(&server, "i-3", &["in"]) == json!([false])).then_some(())
    });
    assert_eq!(stages(&server, "i-1", &way), out("passing", "draining"));
    assert_eq!(stages(&server, "i-2", &way), out("passing", "ejected"));
    assert_eq!(stages(&server, "i-3", &way), out("passing", "overloaded"));
    assert_eq!(stages(&server, "i-4", &way), out("critical", "critical"));
    assert_eq!(stages(&server, "i-5", &way), out("passing", "check tcp critical"));
    let tier = json!([false, ["not in the active tier"], "passing", true, [], false, false]);
    assert_eq!(stages(&server, "i-6", &way), tier);

    // In a panic health counts for nothing, and is told all the same.
    server.http.set("web", &json!({ "balance": "random", "max_answers": 10, "panic": 1 }));
    let though =
        |status: &str, reason: &str| json!([true, [], status, false, [reason], true, true]);
    assert_eq!(stages(&server, "i-2", &way), though("passing", "ejected"));
    assert_eq!(stages(&server, "i-4", &way), though("critical", "critical"));
    assert_eq!(stages(&server, "i-1", &way), out("passing", "draining"));
    let table = resolved(&server);
    assert!(table.contains("though ejected"), "{table}");
}

#[test]
fn a_lease_that_is_over_and_protected_is_told_as_suspect() {
    let server = Server::start("[defaults]\nprotect = 0.5\n");
    register(&server, &[1]);
    let body = |i: usize| json!({ "addresses": [format!("10.0.0.{i}")], "ttl": "1s", "port": 80 });
    for i in 1..=4 {
        server.http.register("web", &format!("i-{i}"), &body(i));
    }
    let way = ["in", "reasons", "lease", "status", "usable", "health"];

    let expected = json!([true, [], true, "suspect", true, []]);
    eventually(SOON, "they are suspect", || {
        (stages(&server, "i-1", &way) == expected).then_some(())
    });
    let ends = stages(&server, "i-1", &["expires_in_ms"])[0].as_u64().unwrap();
    assert!(ends > 500_000, "{ends}");
    assert_eq!(stages(&server, "i-0", &["status", "expires_in_ms"]), json!(["passing", null]));
    let table = resolved(&server);
    assert_eq!(table.matches("suspect").count(), 4, "{table}");
}
