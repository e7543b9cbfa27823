//! Register, read, patch, renew, drain, deregister: each call of the side-port and what DNS says
//! after it.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use serde_json::{Value, json};

use support::dns::Dns;
use support::server::Server;

const WEB_1: &str = "/v1/services/web/instances/web-1";

fn full() -> Value {
    json!({
        "addresses": ["10.0.0.1", "2001:DB8:0::1"],
        "ports": [{ "name": "http", "port": 8080 }, { "port": 53, "protocol": "udp" }],
        "weight": 3,
        "tier": 1,
        "tags": ["Canary", "blue"],
        "metadata": { "version": "1.4" },
        "locality": { "region": "eu", "zone": "eu-1a" },
        "dependencies": ["db"],
        "ttl": "10s",
        "status": "warning",
    })
}

/// [`full`] as it is read back: canonical, and with every field.
fn full_read() -> Value {
    json!({
        "id": "web-1",
        "addresses": ["10.0.0.1", "2001:db8::1"],
        "ports": [
            { "name": "http", "port": 8080, "protocol": "tcp" },
            { "port": 53, "protocol": "udp" },
        ],
        "weight": 3,
        "tier": 1,
        "tags": ["blue", "canary"],
        "metadata": { "version": "1.4" },
        "locality": { "region": "eu", "zone": "eu-1a" },
        "dependencies": ["db"],
        "ttl": "10s",
        "admin": "enabled",
        "status": "warning",
        "usable": true,
        "reasons": [],
        "load": null,
        "expires_in_ms": null,
        "source": "api",
    })
}

/// What an instance with nothing but an address is read back as.
fn plain_read(id: &str, address: &str) -> Value {
    json!({
        "id": id,
        "addresses": [address],
        "ports": [],
        "weight": 1,
        "tier": 0,
        "tags": [],
        "metadata": {},
        "locality": {},
        "dependencies": [],
        "ttl": null,
        "admin": "enabled",
        "status": "passing",
        "usable": true,
        "reasons": [],
        "load": null,
        "expires_in_ms": null,
        "source": "api",
    })
}

fn plain(address: &str) -> Value {
    json!({ "addresses": [address], "ttl": null })
}

fn addresses(dns: &Dns, service: &str) -> Vec<String> {
    let reply = dns.ask(&format!("{service}.service.local"), "A");
    let mut data: Vec<String> = reply.data().into_iter().map(str::to_owned).collect();
    data.sort_unstable();
    data
}

#[test]
fn registering_answers_with_the_instance_as_it_is_kept() {
    let server = Server::start("");
    let before = server.http.revision();

    let mut reply = server.http.put(WEB_1, &full());

    let generation = reply.body["generation"].clone();
    for pointer in ["/expires_in_ms", "/instance/expires_in_ms"] {
        let left = reply.take_ms(pointer);
        assert!((9_000..=10_000).contains(&left), "a lease starts when it is applied: {left}");
    }
    let body = json!({
        "instance": full_read(),
        "revision": before + 1,
        "generation": generation,
        "expires_in_ms": null,
    });
    assert_eq!((reply.status, reply.body), (201, body));
    assert!(generation.is_u64());
    let mut read = server.http.get(WEB_1);
    assert!(read.take_ms("/expires_in_ms") <= 10_000);
    assert_eq!((read.status, read.body), (200, full_read()));
}

#[test]
fn replacing_replaces_all_fields_but_what_others_decide() {
    let server = Server::start("");
    let first = server.http.put(WEB_1, &full());
    assert_eq!(server.http.patch(WEB_1, &json!({ "admin": "draining" })).status, 200);
    let load = json!({ "load": { "connections": 17.0, "cpu": 0.5 } });
    assert_eq!(server.http.put(&format!("{WEB_1}/heartbeat"), &load).status, 200);

    let reply = server.http.put(WEB_1, &plain("10.0.0.2"));

    let mut expected = plain_read("web-1", "10.0.0.2");
    expected["admin"] = json!("draining");
    expected["usable"] = json!(false);
    expected["reasons"] = json!(["draining"]);
    expected["load"] = json!({ "connections": 17.0, "cpu": 0.5 });
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["instance"], expected);
    assert_eq!(reply.body["expires_in_ms"], Value::Null, "ttl null is no lease");
    assert_ne!(reply.body["generation"], first.body["generation"]);
}

#[test]
fn registering_the_same_again_only_renews() {
    let server = Server::start("");
    let first = server.http.put(WEB_1, &full());

    let again = server.http.put(WEB_1, &full());

    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.body["revision"], again.body["revision"]);
    assert_eq!(server.http.revision(), first.body["revision"].as_u64().unwrap());
}

#[test]
fn a_lease_is_30_s_unless_said() {
    let server = Server::start("");

    let reply = server.http.put(WEB_1, &json!({ "addresses": ["10.0.0.1"] }));

    assert_eq!(reply.body["instance"]["ttl"], "30s");
    let left = reply.body["expires_in_ms"].as_u64().unwrap();
    assert!((29_000..=30_000).contains(&left), "{left}");
}

#[test]
fn a_patch_changes_what_it_names() {
    let server = Server::start("");
    server.http.register("web", "web-1", &full());
    let before = server.http.revision();

    let patch = json!({
        "weight": 7, "tier": 0, "tags": ["green"], "status": "passing",
        "metadata": { "version": null, "build": "9" },
    });
    let mut reply = server.http.patch(WEB_1, &patch);

    assert!(reply.take_ms("/instance/expires_in_ms") <= 10_000);
    let mut expected = full_read();
    expected["weight"] = json!(7);
    expected["tier"] = json!(0);
    expected["tags"] = json!(["green"]);
    expected["status"] = json!("passing");
    expected["metadata"] = json!({ "build": "9" });
    let body = json!({ "instance": expected, "revision": before + 1 });
    assert_eq!((reply.status, reply.body), (200, body));
    let srv = server.dns.ask("green.tag.web.service.local", "SRV");
    assert_eq!(srv.only(), "0 256 8080 web-1.web.service.local.");
}

#[test]
fn deregistering_is_done_also_when_nothing_is_there() {
    let server = Server::start("");
    server.http.register("web", "web-1", &plain("10.0.0.1"));
    assert_eq!(addresses(&server.dns, "web"), ["10.0.0.1"]);

    for _ in 0..2 {
        let reply = server.http.delete(WEB_1);
        assert_eq!((reply.status, reply.body), (204, json!("")));
        assert_eq!(addresses(&server.dns, "web"), Vec::<String>::new());
    }

    assert_eq!(server.http.get(WEB_1).problem(), (404, "unknown-instance", None));
    assert_eq!(server.http.delete("/v1/services/no/instances/one").status, 204);
}

#[test]
fn a_heartbeat_renews_and_may_carry_status_and_load() {
    let server = Server::start("");
    let registered = server.http.put(WEB_1, &full());
    let generation = &registered.body["generation"];
    let path = format!("{WEB_1}/heartbeat");
    let revision = server.http.revision();

    let bare = server.http.call("PUT", &path, None).unwrap();
    assert_eq!(bare.status, 200);
    let left = bare.body["expires_in_ms"].as_u64().unwrap();
    assert_eq!(bare.body, json!({ "expires_in_ms": left }));
    assert!((9_900..=10_000).contains(&left), "{left}");

    let load = json!({
        "connections": 17.0, "capacity": 100.0, "cpu": 0.4, "qps": 120.0, "eps": 0.1,
        "latency_ms": 3.1,
    });
    let body = json!({ "generation": generation, "load": load });
    assert_eq!(server.http.put(&path, &body).status, 200);
    assert_eq!(server.http.revision(), revision, "renewals and load are no change");
    assert_eq!(server.http.get(WEB_1).body["load"], load);

    assert_eq!(server.http.put(&path, &json!({ "status": "critical" })).status, 200);
    assert_eq!(server.http.revision(), revision + 1, "a change of status is one");
    assert_eq!(addresses(&server.dns, "web"), Vec::<String>::new());
}

#[test]
fn a_heartbeat_of_somebody_else_is_refused() {
    let server = Server::start("");
    let path = format!("{WEB_1}/heartbeat");
    assert_eq!(
        server.http.call("PUT", &path, None).unwrap().problem(),
        (404, "unknown-instance", None)
    );
    let old = server.http.put(WEB_1, &plain("10.0.0.1")).body["generation"].clone();
    server.http.register("web", "web-1", &plain("10.0.0.2"));

    let reply = server.http.put(&path, &json!({ "generation": old }));

    assert_eq!(reply.problem(), (409, "owned", None));
}

#[test]
fn draining_says_when_no_cache_can_hold_it_any_more() {
    let server = Server::start("[dns]\nttl = \"20s\"");
    server.http.register("web", "web-1", &plain("10.0.0.1"));
    server.http.register("web", "web-2", &plain("10.0.0.2"));
    let drain = format!("{WEB_1}/drain");

    let reply = server.http.post(&drain, None);

    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["instance"]["admin"], "draining");
    assert_eq!(reply.body["instance"]["reasons"], json!(["draining"]));
    let safe = reply.body["safe_in_ms"].as_u64().unwrap();
    assert!((19_000..=21_000).contains(&safe), "the ttl of its records: {safe}");
    let safe_at = reply.body["safe_at"].as_str().unwrap();
    assert!(safe_at.starts_with("20") && safe_at.ends_with('Z'), "{safe_at}");
    assert_eq!(addresses(&server.dns, "web"), ["10.0.0.2"]);
    assert_eq!(server.dns.ask("web-1.web.service.local", "A").only(), "10.0.0.1");

    let back = server.http.delete(&drain);
    assert_eq!((back.status, &back.body["instance"]["admin"]), (200, &json!("enabled")));
    assert_eq!(addresses(&server.dns, "web"), ["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn what_the_file_declares_only_the_operator_moves() {
    let mut server = Server::start(
        "[[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80",
    );
    let read = server.http.get(WEB_1).body;
    assert_eq!((&read["source"], &read["usable"]), (&json!("file"), &json!(true)));

    for refused in [
        server.http.put(WEB_1, &plain("10.0.0.9")),
        server.http.delete(WEB_1),
        server.http.patch(WEB_1, &json!({ "weight": 2 })),
    ] {
        let (status, kind, _) = refused.problem();
        assert_eq!((status, kind), (409, "static-instance"));
    }
    assert_eq!(server.http.call("PUT", &format!("{WEB_1}/heartbeat"), None).unwrap().status, 200);
    assert_eq!(server.http.patch(WEB_1, &json!({ "admin": "disabled" })).status, 200);
    assert_eq!(addresses(&server.dns, "web"), Vec::<String>::new());
    server.restart();
    assert_eq!(server.http.get(WEB_1).body["admin"], "disabled", "what operators say is kept");
}

#[test]
fn a_batch_is_one_change_or_none() {
    let server = Server::start("");
    server.http.register("web", "old", &plain("10.0.0.1"));
    let revision = server.http.revision();
    let item = |service: &str, id: &str, weight: u32| {
        json!({
            "service": service, "id": id, "addresses": ["10.0.0.2"], "ttl": null,
            "weight": weight,
        })
    };

    let batch = json!({
        "deregister": [{ "service": "web", "id": "old" }],
        "register": [item("web", "new", 1), item("api", "a", 1)],
    });
    let reply = server.http.post("/v1/batch", Some(&batch));
    assert_eq!((reply.status, reply.body), (200, json!({ "revision": revision + 1 })));
    assert_eq!(addresses(&server.dns, "web"), ["10.0.0.2"]);

    let batch = json!({ "register": [item("x", "a", 1), item("x", "b", 1), item("x", "c", 0)] });
    let bad = server.http.post("/v1/batch", Some(&batch));
    assert_eq!(bad.problem(), (400, "invalid", Some("register[2].weight")));
    let batch = json!({ "register": [item("x", "a", 1), item("x", "a", 2)] });
    let twice = server.http.post("/v1/batch", Some(&batch));
    assert_eq!((twice.problem().0, twice.problem().1), (400, "invalid"));
    assert_eq!(server.http.revision(), revision + 1, "nothing of them was done");
    assert_eq!(server.dns.ask("x.service.local", "A").rcode, "NXDOMAIN");
}

#[test]
fn heartbeats_in_bulk_answer_in_order() {
    let server = Server::start("");
    let lease = json!({ "addresses": ["10.0.0.1"], "ttl": "20s" });
    server.http.register("web", "a", &lease);
    server.http.register("web", "b", &plain("10.0.0.2"));

    let bulk = json!([
        { "service": "web", "id": "b", "status": "critical" },
        { "service": "web", "id": "nobody" },
        { "service": "web", "id": "a", "load": { "connections": 1.0 } },
    ]);
    let mut reply = server.http.post("/v1/heartbeats", Some(&bulk));

    assert!((19_000..=20_000).contains(&reply.take_ms("/results/2/expires_in_ms")));
    let body = json!({ "results": [
        { "service": "web", "id": "b", "result": "ok", "expires_in_ms": null },
        { "service": "web", "id": "nobody", "result": "unknown-instance", "expires_in_ms": null },
        { "service": "web", "id": "a", "result": "ok", "expires_in_ms": null },
    ]});
    assert_eq!((reply.status, reply.body), (200, body));
    assert_eq!(addresses(&server.dns, "web"), ["10.0.0.1"]);
}

#[test]
fn names_are_folded_and_checked_with_a_reason() {
    let server = Server::start("[server]\nname = \"ns1\"");

    assert_eq!(server.http.put("/v1/services/WEB/instances/Web-1", &plain("10.0.0.1")).status, 201);
    assert_eq!(server.http.get(WEB_1).body["id"], "web-1");
    for (path, field) in [
        ("/v1/services/web/instances/-x", "id"),
        ("/v1/services/web/instances/a.b", "id"),
        ("/v1/services/web/instances/tag", "id"),
        ("/v1/services/web/instances/%C3%A4", "id"),
        ("/v1/services/we%20b/instances/a", "service"),
        ("/v1/services/ns1/instances/a", "service"),
    ] {
        let reply = server.http.put(path, &plain("10.0.0.1"));
        assert_eq!(reply.problem(), (400, "invalid", Some(field)), "{path}");
    }
}

#[test]
fn an_explanation_says_what_dns_would_say_and_why() {
    let server = Server::start("");
    server.http.register("web", "a", &plain("10.0.0.1"));
    server.http.register("web", "b", &plain("10.0.0.2"));
    server.http.patch("/v1/services/web/instances/b", &json!({ "status": "critical" }));

    let reply = server.http.get("/v1/resolve?name=web.service.local&type=A");

    let stages = |status: &str, answered: bool| {
        json!({
            "lease": true, "expires_in_ms": null, "status": status, "usable": answered,
            "health": if answered { json!([]) } else { json!(["critical"]) }, "panic": false, "tier": 0, "active": answered,
            "weight": { "static": 1, "balance": 1, "slow_start": 1, "locality": 1 },
            "chance": if answered { 1.0 } else { 0.0 }, "last_handed_out_ms": null,
        })
    };
    let body = json!({
        "rcode": "NOERROR", "aa": true, "tc": false, "ttl": 5,
        "answers": [{ "name": "web.service.local.", "type": "A", "ttl": 5, "data": "10.0.0.1" }],
        "additional": [],
        "service": "web", "balance": "round_robin", "answer": "all", "k": 1,
        "instances": [
            { "id": "a", "in": true, "reasons": [], "weight": 1,
              "stages": stages("passing", true) },
            { "id": "b", "in": false, "reasons": ["critical"], "weight": 1,
              "stages": stages("critical", false) },
        ],
    });
    assert_eq!((reply.status, reply.body), (200, body));
}

#[test]
fn two_thousand_registrations_are_each_seen_by_the_very_next_query() {
    let server = Server::start("");

    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (http, dns) = (server.http.apart(), server.dns);
            scope.spawn(move || {
                for round in 0..500 {
                    let (service, id) = (format!("s{worker}-{}", round % 7), format!("i-{round}"));
                    let address = format!("10.{worker}.{}.{}", round / 250, round % 250);
                    http.register(&service, &id, &plain(&address));

                    let own = dns.ask(&format!("{id}.{service}.service.local"), "A");
                    assert_eq!(own.only(), address, "{service}/{id}");
                    let srv = dns.ask(&format!("{id}.{service}.service.local"), "SRV");
                    assert_eq!(srv.told(), ("NOERROR", "qr aa", vec![]), "it has no port");
                    if round % 10 == 9 {
                        let path = format!("/v1/services/{service}/instances/{id}");
                        assert_eq!(http.delete(&path).status, 204);
                        let gone = dns.ask(&format!("{id}.{service}.service.local"), "A");
                        assert_eq!(gone.rcode, "NXDOMAIN", "{service}/{id}");
                    }
                }
            });
        }
    });

    assert_eq!(server.http.metric("signpost_registry_instances", ""), Some(1_800.0));
}
