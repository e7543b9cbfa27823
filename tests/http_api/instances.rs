//! Register, read, patch, deregister, renew, drain.

use serde_json::{Value, json};
use signpost::model::{CommitError, Limits};

use crate::support::{PLAIN, Server, Setup, WEB_1};

/// `expires_in_ms` is between nothing and `ttl_ms`; taken out, since it differs each time.
#[track_caller]
fn take_expiry(json: &mut Value, ttl_ms: u64) {
    let expiry = json.as_object_mut().unwrap().remove("expires_in_ms").unwrap();
    let expiry = expiry.as_u64().unwrap();
    assert!((1..=ttl_ms).contains(&expiry), "{expiry}");
}

#[test]
fn registering_creates_then_replaces_then_only_renews() {
    let server = Server::start();
    let body = json!({
        "addresses": ["2001:DB8::11", "10.0.0.11"],
        "ports": [{"name": "HTTP", "port": 8080}, {"name": "dns", "port": 53, "protocol": "udp"}],
        "weight": 3, "tier": 1, "tags": ["b", "a", "b"], "metadata": {"version": "1"},
        "locality": {"region": "eu", "zone": "eu-1a"}, "dependencies": ["db"], "ttl": "10s",
        "id": "web-1",
    });

    let reply = server.call("PUT", WEB_1, &body.to_string());

    let mut created = reply.json();
    assert_eq!(reply.status, 201);
    assert_eq!(reply.headers["location"], WEB_1);
    take_expiry(&mut created, 10_000);
    take_expiry(&mut created["instance"], 10_000);
    let revision = created["revision"].as_u64().unwrap();
    assert!(revision > 100);
    let generation = created["generation"].as_u64().unwrap();
    assert_eq!(
        created,
        json!({
            "instance": {
                "id": "web-1",
                "addresses": ["2001:db8::11", "10.0.0.11"],
                "ports": [
                    {"name": "http", "port": 8080, "protocol": "tcp"},
                    {"name": "dns", "port": 53, "protocol": "udp"},
                ],
                "weight": 3, "tier": 1, "tags": ["a", "b"], "metadata": {"version": "1"},
                "locality": {"region": "eu", "zone": "eu-1a"}, "dependencies": ["db"], "ttl": "10s",
                "admin": "enabled", "status": "passing", "usable": true, "reasons": [],
                "load": null, "source": "api",
            },
            "revision": revision,
            "generation": generation,
        })
    );

    let again = server.call("PUT", WEB_1, &body.to_string());
    assert_eq!((again.status, &again.json()["revision"]), (200, &json!(revision)));
    assert_eq!(again.json()["generation"], generation);
    assert_eq!(again.headers.get("location"), None);

    let replaced = server.call("PUT", WEB_1, PLAIN);
    assert_eq!(replaced.status, 200);
    let replaced = replaced.json();
    assert!(replaced["revision"].as_u64().unwrap() > revision);
    assert!(replaced["generation"].as_u64().unwrap() > generation);
    assert_eq!(replaced["instance"]["ttl"], "30s");
    assert_eq!(replaced["instance"]["tags"], json!([]));
    assert_eq!(replaced["instance"]["ports"], json!([{"port": 8080, "protocol": "tcp"}]));
}

#[test]
fn who_registers_what_static_records_hide_is_told_so() {
    let server = Server::start();

    let hidden = server.register("hidden", "a", PLAIN);
    let plain = server.register("web", "web-1", PLAIN);

    assert_eq!(hidden["warning"], "a.hidden is hidden");
    assert_eq!(plain.get("warning"), None);
}

#[test]
fn without_a_lease_nothing_expires() {
    let server = Server::start();

    let reply = server.register("web", "web-1", r#"{"addresses":["10.0.0.1"],"ttl":null}"#);

    assert_eq!(reply["expires_in_ms"], Value::Null);
    assert_eq!(reply["instance"]["ttl"], Value::Null);
    assert_eq!(reply["instance"]["expires_in_ms"], Value::Null);
    let heartbeat = server.call("PUT", &format!("{WEB_1}/heartbeat"), "");
    assert_eq!((heartbeat.status, heartbeat.json()), (200, json!({"expires_in_ms": null})));
}

#[test]
fn names_are_folded_and_may_be_percent_encoded() {
    let server = Server::start();
    server.register("WEB", "Web%2D1", PLAIN);

    let reply = server.get("/v1/services/web/instances/web-1");

    assert_eq!((reply.status, &reply.json()["id"]), (200, &json!("web-1")));
}

#[test]
fn reading_what_is_not_there_is_a_404() {
    let server = Server::start();

    server.get(WEB_1).assert_problem(404, "unknown-instance", None);
    server.register("web", "web-2", PLAIN);
    server.get(WEB_1).assert_problem(404, "unknown-instance", None);
}

#[test]
fn a_patch_merges_and_counts_a_revision() {
    let server = Server::start();
    let body = r#"{"addresses":["10.0.0.1"],"weight":3,"metadata":{"a":"1","b":"2"}}"#;
    let before = server.register("web", "web-1", body)["revision"].as_u64().unwrap();
    let patch =
        r#"{"weight":null,"tier":2,"tags":["x"],"metadata":{"a":null,"c":"3"},"status":"warning"}"#;

    let reply = server.call("PATCH", WEB_1, patch);

    let json = reply.json();
    assert_eq!(reply.status, 200);
    assert!(json["revision"].as_u64().unwrap() > before);
    let instance = &json["instance"];
    assert_eq!(instance["weight"], 1);
    assert_eq!(instance["tier"], 2);
    assert_eq!(instance["tags"], json!(["x"]));
    assert_eq!(instance["metadata"], json!({"b": "2", "c": "3"}));
    assert_eq!(instance["status"], "warning");
    assert_eq!(json.as_object().unwrap().len(), 2);
    let nothing = server.call("PATCH", WEB_1, "{}").json();
    assert_eq!(nothing["revision"], json["revision"]);
    server.call("PATCH", WEB_1, r#"{"addresses":["10.0.0.2"]}"#).assert_problem(
        400,
        "unknown-field",
        Some("addresses"),
    );
    server.call("PATCH", "/v1/services/web/instances/other", "{}").assert_problem(
        404,
        "unknown-instance",
        None,
    );
}

#[test]
fn a_merge_patch_has_a_media_type_of_its_own() {
    let server = Server::start();
    server.register("web", "web-1", PLAIN);
    let mut client = server.connect();
    let send = |method: &str, kind: &str| {
        format!(
            "{method} {WEB_1} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: \
             12\r\n\r\n{{\"weight\":7}}"
        )
    };

    client.write(&send("PATCH", "application/merge-patch+json"));
    assert_eq!(client.reply(false).json()["instance"]["weight"], 7);
    client.write(&send("PATCH", "APPLICATION/JSON; charset=utf-8"));
    assert_eq!(client.reply(false).status, 200);
    client.write(&send("PUT", "application/merge-patch+json"));
    client.reply(false).assert_problem(415, "media-type", None);
}

#[test]
fn deregistering_is_done_once_and_always() {
    let server = Server::start();
    server.register("web", "web-1", PLAIN);

    for _ in 0..2 {
        let reply = server.call("DELETE", WEB_1, "");
        assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    }
    server.get(WEB_1).assert_problem(404, "unknown-instance", None);
    assert_eq!(server.call("DELETE", "/v1/services/none/instances/x", "").status, 204);
}

#[test]
fn a_heartbeat_renews_reports_load_and_changes_status() {
    let server = Server::start();
    let generation = server.register("web", "web-1", PLAIN)["generation"].as_u64().unwrap();
    let path = format!("{WEB_1}/heartbeat");

    let plain = server.call("PUT", &path, "");
    let body = json!({"generation": generation, "status": "critical",
        "load": {"connections": 17, "capacity": 100, "cpu": 0.4, "qps": 120.0, "eps": 0.1,
                 "latency_ms": 3.5}});
    let full = server.call("PUT", &path, &body.to_string());

    for reply in [plain, full] {
        let mut json = reply.json();
        assert_eq!(reply.status, 200);
        take_expiry(&mut json, 30_000);
        assert_eq!(json, json!({}));
    }
    let instance = server.get(WEB_1).json();
    assert_eq!(instance["status"], "critical");
    assert_eq!(instance["usable"], false);
    assert_eq!(instance["reasons"], json!(["critical"]));
    assert_eq!(instance["load"]["connections"], 17.0);
    assert_eq!(instance["load"]["latency_ms"], 3.5);
    let stale = json!({"generation": generation + 1}).to_string();
    server.call("PUT", &path, &stale).assert_problem(409, "owned", None);
    let unknown = server.call("PUT", "/v1/services/web/instances/x/heartbeat", "");
    unknown.assert_problem(404, "unknown-instance", None);
    assert!(unknown.json()["detail"].as_str().unwrap().contains("register again"));
}

#[test]
fn draining_says_when_it_is_safe_to_stop() {
    let server = Server::start();
    server.register("web", "web-1", PLAIN);
    let path = format!("{WEB_1}/drain");

    let drained = server.call("POST", &path, "");
    let back = server.call("DELETE", &path, "");

    let (status, drained) = (drained.status, drained.json());
    assert_eq!((status, &drained["instance"]["admin"]), (200, &json!("draining")));
    assert_eq!(drained["instance"]["reasons"], json!(["draining"]));
    let safe_in = drained["safe_in_ms"].as_u64().unwrap();
    assert!((4_000..=5_000).contains(&safe_in), "{safe_in}");
    let safe_at = drained["safe_at"].as_str().unwrap();
    assert!(
        safe_at.len() == 24 && safe_at.starts_with("20") && safe_at.ends_with('Z'),
        "{safe_at}"
    );
    let (status, back) = (back.status, back.json());
    assert_eq!((status, &back["instance"]["admin"]), (200, &json!("enabled")));
    assert_eq!((&back["safe_at"], &back["safe_in_ms"]), (&Value::Null, &Value::Null));
    assert!(back["revision"].as_u64() > drained["revision"].as_u64());
    server.call("POST", "/v1/services/web/instances/x/drain", "").assert_problem(
        404,
        "unknown-instance",
        None,
    );
}

#[test]
fn admin_and_load_survive_a_registration_and_status_does_not() {
    let server = Server::start();
    server.register("web", "web-1", PLAIN);
    server.call("POST", &format!("{WEB_1}/drain"), "");
    let body = r#"{"load":{"cpu":0.5},"status":"warning"}"#;
    assert_eq!(server.call("PUT", &format!("{WEB_1}/heartbeat"), body).status, 200);

    let reply = server.register("web", "web-1", r#"{"addresses":["10.0.0.2"]}"#);

    assert_eq!(reply["instance"]["admin"], "draining");
    assert_eq!(reply["instance"]["load"], json!({"cpu": 0.5}));
    assert_eq!(reply["instance"]["status"], "passing");
}

#[test]
fn a_declared_instance_can_be_renewed_drained_and_patched_by_operators_only() {
    let declared = json!({"id": "web-1", "addresses": ["10.0.0.1"], "ttl": "60s"});
    let server = Server::with(Setup::default().declare("web", &[declared]));

    assert_eq!(server.get(WEB_1).json()["source"], "file");
    assert_eq!(server.call("PUT", &format!("{WEB_1}/heartbeat"), "").status, 200);
    assert_eq!(server.call("POST", &format!("{WEB_1}/drain"), "").status, 200);
    assert_eq!(server.call("DELETE", &format!("{WEB_1}/drain"), "").status, 200);
    let patched = server.call("PATCH", WEB_1, r#"{"admin":"disabled","status":"warning"}"#).json();
    assert_eq!(patched["instance"]["reasons"], json!(["disabled"]));
    for (method, body) in [("PUT", PLAIN), ("DELETE", ""), ("PATCH", r#"{"weight":2}"#)] {
        server.call(method, WEB_1, body).assert_problem(409, "static-instance", None);
    }
}

#[test]
fn limits_refuse_with_429() {
    let limits = Limits { instances: 2, instances_per_service: 1, ..Limits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() });
    server.register("a", "x", PLAIN);

    let of_service = server.call("PUT", "/v1/services/a/instances/y", PLAIN);
    server.register("b", "x", PLAIN);
    let of_all = server.call("PUT", "/v1/services/c/instances/x", PLAIN);

    for reply in [of_service, of_all] {
        reply.assert_problem(429, "limit", None);
        assert!(reply.headers.contains_key("retry-after"));
    }
}

#[test]
fn a_store_that_cannot_write_refuses_writes_and_nothing_else() {
    let server = Server::start();
    server.register("web", "web-1", PLAIN);
    let other = "/v1/services/web/instances/web-2";

    *server.store.lock().unwrap() = Some(CommitError::Full("no space left on device".into()));
    let full = server.call("PUT", other, PLAIN);
    full.assert_problem(507, "storage-full", None);
    assert!(full.json()["detail"].as_str().unwrap().contains("no space left on device"));
    assert_eq!(server.get(WEB_1).status, 200);
    assert_eq!(server.call("PUT", &format!("{WEB_1}/heartbeat"), "").status, 200);
    assert_eq!(server.call("PUT", WEB_1, PLAIN).status, 200);
    server.get(other).assert_problem(404, "unknown-instance", None);
}

#[test]
fn a_store_that_is_away_is_worth_another_try() {
    let server = Server::start();
    *server.store.lock().unwrap() = Some(CommitError::Unavailable("it is gone".into()));

    let reply = server.call("PUT", WEB_1, PLAIN);

    reply.assert_problem(503, "unavailable", None);
    assert_eq!(reply.headers["retry-after"], "1");
}
