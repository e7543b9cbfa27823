//! Health, readiness, metrics, reload, resolve, and what all replies have in common.

use std::sync::atomic::Ordering;

use serde_json::json;
use signpost::http::ReloadError;

use crate::support::{PLAIN, Server, WEB_1};

#[test]
fn readiness_is_asked_for_each_time() {
    let server = Server::start();

    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    server.ready.store(false, Ordering::Relaxed);
    assert_eq!(server.get("/healthz").status, 200);
    let reply = server.get("/readyz");
    reply.assert_problem(503, "unavailable", None);
    assert_eq!(reply.headers["retry-after"], "1");
}

#[test]
fn metrics_count_requests_by_route_and_refusals_by_reason() {
    let server = Server::start();
    server.register("web", "web-1", PLAIN);
    server.get("/v1/services/any");
    server.call("BREW", "/some/path", "");

    let reply = server.get("/metrics");

    assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        r#"signpost_http_requests_total{route="/v1/services/{service}/instances/{id}",method="PUT",code="201"} 1"#,
        r#"signpost_http_requests_total{route="/v1/services/{service}",method="GET",code="404"} 1"#,
        r#"signpost_http_requests_total{route="other",method="other",code="404"} 1"#,
        r#"signpost_http_rejected_total{reason="unknown-service"} 1"#,
        r#"signpost_http_rejected_total{reason="not-found"} 1"#,
        "signpost_http_watchers 0",
    ] {
        assert!(reply.body.lines().any(|l| l == line), "{line}\n{}", reply.body);
    }
    let mut client = server.connect();
    client.write(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n",
    );
    let open = client.reply(false);
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.headers["content-type"], format);
    assert!(open.body.ends_with("# EOF\n"));
}

#[test]
fn a_reload_says_what_it_did_or_what_is_wrong() {
    let server = Server::start();

    let done = server.call("POST", "/v1/reload", "");
    let message = "registry.toml:3:11: services.web.balance: unknown variant";
    *server.reload.lock().unwrap() = Err(ReloadError::BadConfig {
        message: message.into(),
        place: Some("services.web.balance".into()),
    });
    let refused = server.call("POST", "/v1/reload", "");

    let expected = json!({"revision": 1, "changed": false, "needs_restart": ["dns.listen"]});
    assert_eq!((done.status, done.json()), (200, expected));
    refused.assert_problem(422, "bad-config", Some("services.web.balance"));
    assert_eq!(refused.json()["detail"], message);
}

#[test]
fn resolve_asks_what_was_asked() {
    let server = Server::start();

    let plain = server.get("/v1/resolve?name=web.service.local").json();
    let full = server.get("/v1/resolve?client=2001:db8::1&type=srv&name=_a._tcp%2Eweb").json();

    assert_eq!(plain["rcode"], "web.service.local A None");
    assert_eq!(
        full,
        json!({
            "rcode": "_a._tcp.web srv Some(2001:db8::1)", "aa": true, "tc": false, "ttl": 5,
            "answers": [], "additional": [], "service": null, "balance": null, "answer": null,
            "k": null, "instances": [],
        })
    );
}

#[test]
fn every_reply_is_neither_kept_nor_guessed_at() {
    let server = Server::start();
    server.register("web", "web-1", PLAIN);
    for (method, path) in [
        ("GET", "/v1/services"),
        ("GET", WEB_1),
        ("GET", "/nowhere"),
        ("POST", WEB_1),
        ("GET", "/metrics"),
        ("GET", "/healthz"),
        ("DELETE", WEB_1),
    ] {
        let reply = server.call(method, path, "");

        assert_eq!(reply.headers["cache-control"], "no-store", "{path}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(reply.headers.contains_key("content-type"), reply.status != 204, "{path}");
    }
}

#[test]
fn head_says_what_get_would() {
    let server = Server::start();
    let mut client = server.connect();

    let get = client.call("GET", "/v1/services", "");
    let head = client.call("HEAD", "/v1/services", "");
    let missing = client.call("HEAD", "/v1/services/web", "");

    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.headers["content-length"], get.body.len().to_string());
    assert_eq!(head.headers["content-type"], "application/json");
    assert_eq!(missing.status, 404);
    assert_eq!(client.call("GET", "/healthz", "").status, 200);
}

#[test]
fn a_profile_is_taken_for_as_long_as_asked() {
    let server = Server::start();

    for (query, taken) in [
        ("", "ProfileRequest { time: 10s, hz: 99 }"),
        ("?seconds=1&hz=1000", "ProfileRequest { time: 1s, hz: 1000 }"),
        ("?seconds=60", "ProfileRequest { time: 60s, hz: 99 }"),
    ] {
        let reply = server.get(&format!("/debug/pprof/profile{query}"));
        assert_eq!((reply.status, reply.body.as_str()), (200, taken));
        assert_eq!(reply.headers["content-type"], "application/octet-stream");
    }
}

#[test]
fn a_profile_that_cannot_be_taken_says_why() {
    let server = Server::start();

    for (query, field) in [
        ("?seconds=0", "seconds"),
        ("?seconds=61", "seconds"),
        ("?seconds=-1", "seconds"),
        ("?seconds=1.5", "seconds"),
        ("?hz=0", "hz"),
        ("?hz=1001", "hz"),
        ("?debug=1", "debug"),
    ] {
        let reply = server.get(&format!("/debug/pprof/profile{query}"));
        reply.assert_problem(400, "invalid", Some(field));
    }
    let busy = server.get("/debug/pprof/profile?hz=1");
    busy.assert_problem(429, "limit", None);
    assert_eq!(busy.json()["detail"], "another profile is being taken");
}
