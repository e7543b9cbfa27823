//! Active checks from outside: real endpoints that work, fail, hang and lie, and what a server makes
//! of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

mod endpoint;
mod grpc;
mod kinds;
mod refusals;
mod storms;
#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};

use support::dns::Query;
use support::server::Server;
use support::{SOON, eventually};

/// An instance on loopback with these checks, which have to be quick.
fn instance(port: u16, checks: Value) -> Value {
    json!({ "addresses": ["127.0.0.1"], "port": port, "ttl": null, "checks": checks })
}

/// A check that needs one result each way, and as little time as checks may.
fn quick(kind: &str, more: Value) -> Value {
    let mut check = json!({
        "kind": kind, "interval": "1s", "timeout": "500ms", "jitter": "0s", "rise": 1, "fall": 1,
    });
    let fields = check.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    check
}

/// The checks of an instance, as the side-port shows it: each state with its output.
fn states(server: &Server, id: &str) -> Vec<(String, String)> {
    let reply = server.http.get(&format!("/v1/services/web/instances/{id}"));
    let checks = reply.body["checks"].as_array().cloned().unwrap_or_default();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    checks.iter().map(|check| (text(check, "state"), text(check, "output"))).collect()
}

/// Waits until the only check of web-1 is in `state`, and tells its output.
fn until(server: &Server, state: &str) -> String {
    eventually(SOON, &format!("the check of web-1 is {state}"), || {
        let checks = states(server, "web-1");
        // A check that was never done says nothing.
        let [(found, output)] = checks.as_slice() else { return None };
        (found == state && !output.is_empty()).then(|| output.clone())
    })
}

/// What is said of the usability of web-1.
fn reasons(server: &Server) -> Value {
    let reply = server.http.get("/v1/services/web/instances/web-1");
    assert_eq!(reply.body["usable"], reply.body["reasons"] == json!([]), "{reply:?}");
    reply.body["reasons"].clone()
}

/// How many addresses DNS has for web.
fn answered(server: &Server) -> usize {
    server.dns.query(&Query::new("web.service.local", "A")).answers.len()
}
