//! Services as a whole: listed, set, forgotten.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use serde_json::{Value, json};

use support::server::Server;
use support::{SOON, eventually};

const WEB_1: &str = "/v1/services/web/instances/web-1";

fn plain(address: &str) -> Value {
    json!({ "addresses": [address], "ttl": null })
}

#[test]
fn services_are_listed_with_what_they_have() {
    let server = Server::start("[services.declared]");
    server.http.register("web", "web-1", &plain("10.0.0.1"));
    let revision = server.http.register("web", "web-2", &plain("10.0.0.2"));
    server.http.patch("/v1/services/web/instances/web-2", &json!({ "status": "critical" }));

    let list = server.http.get("/v1/services");

    let declared = list.body["services"][0]["revision"].clone();
    let body = json!({
        "revision": revision + 1,
        "services": [
            { "service": "declared", "revision": declared, "instances": 0, "usable": 0,
              "declared": true },
            { "service": "web", "revision": revision + 1, "instances": 2, "usable": 1,
              "declared": false },
        ],
    });
    assert_eq!((list.status, list.body), (200, body));
}

#[test]
fn settings_are_overridden_key_by_key_and_kept() {
    let mut server = Server::start("[defaults]\nmax_answers = 3\n[services.web]\nttl = \"9s\"");
    let effective = json!({
        "balance": "random", "answer": "auto", "ttl": "9s", "max_answers": 3,
        "srv_tiers": "active", "srv_weight_max": 65535, "txt": "none", "slow_start": "0s",
        "panic": 0, "panic_mode": "open", "protect": 0, "locality": "prefer",
        "hot_key_replicas": 1, "checks": [],
        "protect_for": "10m", "ejection": "on", "ejection_failures": 5, "ejection_base": "30s",
        "ejection_max": 0.3,
    });

    let set = server.http.put("/v1/services/web", &json!({ "balance": "random" }));

    let body = json!({
        "service": "web", "settings": effective, "revision": server.http.revision(),
    });
    assert_eq!((set.status, set.body), (200, body));
    server.restart();
    let read = server.http.get("/v1/services/web");
    let body = json!({
        "revision": read.body["revision"], "service": "web", "settings": effective,
        "overrides": { "balance": "random" }, "instances": [],
    });
    assert_eq!((read.status, read.body), (200, body));

    server.http.set("web", &json!({}));
    let removed = server.http.get("/v1/services/web").body;
    assert_eq!(
        (&removed["settings"]["balance"], &removed["overrides"]),
        (&json!("round_robin"), &json!({}))
    );
}

#[test]
fn settings_that_are_not_there_or_not_yet_are_refused_by_name() {
    let server = Server::start("");

    for (settings, kind, field) in [
        (json!({ "balence": "random" }), "unknown-field", "balence"),
        (json!({ "balance": "fair" }), "invalid", "balance"),
        (json!({ "max_answers": 0 }), "invalid", "max_answers"),
        (json!({ "ttl": "2h" }), "invalid", "ttl"),
        (json!({ "srv_weight_max": 65_536 }), "invalid", "srv_weight_max"),
        (json!({ "slow_start": "2h" }), "invalid", "slow_start"),
        (json!({ "panic": 1.5 }), "invalid", "panic"),
    ] {
        let reply = server.http.put("/v1/services/web", &settings);
        assert_eq!(reply.problem(), (400, kind, Some(field)), "{settings}: {reply:?}");
    }
    assert_eq!(server.http.get("/v1/services/web").status, 404);
}

#[test]
fn a_service_is_forgotten_when_it_is_empty_and_not_declared() {
    let server = Server::start("[services.declared]");
    server.http.register("web", "web-1", &plain("10.0.0.1"));
    let delete = |service: &str| server.http.delete(&format!("/v1/services/{service}"));

    assert_eq!(delete("declared").problem(), (409, "static-service", None));
    assert_eq!(delete("web").problem(), (409, "not-empty", None));
    server.http.delete(WEB_1);
    assert_eq!(server.dns.ask("web.service.local", "A").rcode, "NOERROR");
    assert_eq!(delete("web").status, 204);

    assert_eq!(server.dns.ask("web.service.local", "A").rcode, "NXDOMAIN");
    assert_eq!(server.http.get("/v1/services/web").problem(), (404, "unknown-service", None));
}

#[test]
fn an_undeclared_service_is_forgotten_in_time() {
    let server = Server::start("[registry]\nforget_after = \"1s\"");
    server.http.register("web", "web-1", &plain("10.0.0.1"));

    server.http.delete(WEB_1);

    assert_eq!(server.dns.ask("web.service.local", "A").rcode, "NOERROR");
    eventually(SOON, "the service is forgotten", || {
        (server.dns.ask("web.service.local", "A").rcode == "NXDOMAIN").then_some(())
    });
}
