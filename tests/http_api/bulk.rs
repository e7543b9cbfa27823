//! `POST /v1/heartbeats` and `POST /v1/batch`.

use serde_json::json;

use crate::support::{PLAIN, Server, Setup, WEB_1};

#[test]
fn heartbeats_answer_each_in_order() {
    let server = Server::start();
    let generation = server.register("web", "a", PLAIN)["generation"].as_u64().unwrap();
    server.register("web", "b", r#"{"addresses":["10.0.0.1"],"ttl":null}"#);
    let body = json!([
        {"service": "WEB", "id": "b"},
        {"service": "web", "id": "nobody"},
        {"service": "web", "id": "a", "generation": generation, "load": {"cpu": 0.25}},
        {"service": "web", "id": "a", "generation": generation + 1},
    ]);

    let reply = server.call("POST", "/v1/heartbeats", &body.to_string());

    let mut json = reply.json();
    let expiry = json["results"][2]["expires_in_ms"].take();
    assert!((1..=30_000).contains(&expiry.as_u64().unwrap()), "{expiry}");
    assert_eq!(
        (reply.status, json),
        (
            200,
            json!({"results": [
                {"service": "web", "id": "b", "result": "ok", "expires_in_ms": null},
                {"service": "web", "id": "nobody", "result": "unknown-instance", "expires_in_ms": null},
                {"service": "web", "id": "a", "result": "ok", "expires_in_ms": null},
                {"service": "web", "id": "a", "result": "owned", "expires_in_ms": null},
            ]})
        )
    );
    let load = server.get("/v1/services/web/instances/a").json()["load"].clone();
    assert_eq!(load, json!({"cpu": 0.25}));
}

#[test]
fn no_heartbeats_are_fine() {
    let server = Server::start();

    let reply = server.call("POST", "/v1/heartbeats", "[]");

    assert_eq!((reply.status, reply.json()), (200, json!({"results": []})));
}

#[test]
fn a_batch_is_one_revision() {
    let server = Server::start();
    let before = server.register("web", "old", PLAIN)["revision"].as_u64().unwrap();
    let body = json!({
        "deregister": [{"service": "web", "id": "old"}, {"service": "none", "id": "absent"}],
        "register": [
            {"service": "web", "id": "new", "addresses": ["10.0.0.1"], "port": 80, "ttl": null},
            {"service": "api", "id": "a", "addresses": ["10.0.0.2"], "ports": [{"port": 1}],
             "weight": 2, "tier": 1, "tags": ["t"], "metadata": {"k": "v"}, "dependencies": ["web"],
             "locality": {"zone": "z"}, "ttl": "5s", "admin": "disabled", "status": "warning"},
        ],
    });

    let reply = server.call("POST", "/v1/batch", &body.to_string());

    assert_eq!((reply.status, reply.json()), (200, json!({"revision": before + 1})));
    let services = server.get("/v1/services").json();
    let of = |i: usize| {
        (services["services"][i]["service"].clone(), services["services"][i]["revision"].clone())
    };
    assert_eq!(of(0), (json!("api"), json!(before + 1)));
    assert_eq!(of(1), (json!("web"), json!(before + 1)));
    let mut a = server.get("/v1/services/api/instances/a").json();
    assert!(a["expires_in_ms"].take().as_u64().is_some());
    assert_eq!(
        a,
        json!({
            "id": "a", "addresses": ["10.0.0.2"], "ports": [{"port": 1, "protocol": "tcp"}],
            "weight": 2, "tier": 1, "tags": ["t"], "metadata": {"k": "v"}, "dependencies": ["web"],
            "locality": {"zone": "z"}, "ttl": "5s", "admin": "disabled", "status": "warning",
            "usable": false, "reasons": ["disabled"], "load": null, "expires_in_ms": null,
            "source": "api",
        })
    );
    assert_eq!(server.get("/v1/services/web/instances/new").json()["ttl"], json!(null));
    server.get("/v1/services/web/instances/old").assert_problem(404, "unknown-instance", None);
}

#[test]
fn a_batch_is_done_whole_or_not_at_all() {
    let declared = json!({"id": "fixed", "addresses": ["10.0.0.9"], "ttl": null});
    let server = Server::with(Setup::default().declare("db", &[declared]));
    server.register("web", "web-1", PLAIN);
    let ok = json!({"service": "web", "id": "x", "addresses": ["10.0.0.1"]});
    let with = |field: &str, value: serde_json::Value| {
        let mut item = json!({"service": "web", "id": "y", "addresses": ["10.0.0.1"]});
        item[field] = value;
        item
    };
    for (register, status, name, field) in [
        (with("weight", json!(0)), 400, "invalid", Some("register[1].weight")),
        (with("weigth", json!(1)), 400, "unknown-field", Some("register[1].weigth")),
        (with("addresses", json!([])), 400, "invalid", Some("register[1].addresses")),
        (with("addresses", json!(["x"])), 400, "invalid", Some("register[1].addresses[0]")),
        (
            with("ports", json!([{"port": 1, "c": 2}])),
            400,
            "unknown-field",
            Some("register[1].ports[0].c"),
        ),
        (with("id", json!("x")), 400, "invalid", Some("register[1].id")),
        (with("id", json!("key")), 400, "invalid", Some("register[1].id")),
        (with("id", json!("web-1")), 400, "invalid", Some("register[1].id")),
        (with("service", json!("ns1")), 400, "invalid", Some("register[1].service")),
        (with("service", json!("a b")), 400, "invalid", Some("register[1].service")),
        (
            json!({"id": "y", "addresses": ["10.0.0.1"]}),
            400,
            "invalid",
            Some("register[1].service"),
        ),
        (
            json!({"service": "db", "id": "fixed", "addresses": ["10.0.0.1"]}),
            409,
            "static-instance",
            None,
        ),
    ] {
        let body = json!({
            "deregister": [{"service": "web", "id": "web-1"}],
            "register": [ok.clone(), register],
        });

        server.call("POST", "/v1/batch", &body.to_string()).assert_problem(status, name, field);

        assert_eq!(server.get(WEB_1).status, 200);
        assert_eq!(server.get("/v1/services/web/instances/x").status, 404);
    }
}

#[test]
fn too_many_items_are_too_large() {
    let server = Server::start();
    let heartbeat = json!({"service": "web", "id": "web-1"});
    let item = json!({"service": "web", "id": "web-1"});

    let full = json!(vec![heartbeat.clone(); 10_000]).to_string();
    assert_eq!(server.call("POST", "/v1/heartbeats", &full).status, 200);
    let over = json!(vec![heartbeat; 10_001]).to_string();
    server.call("POST", "/v1/heartbeats", &over).assert_problem(413, "too-large", None);
    let over = json!({"deregister": vec![item; 10_001]}).to_string();
    server.call("POST", "/v1/batch", &over).assert_problem(413, "too-large", None);
}
