//! Every example of the document, sent as it stands, and what comes back.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::document::Document;
use crate::support::authenticated::Authenticated;
use crate::support::http::{Http, Reply};
use crate::support::server::Server;
use crate::support::watch::Watch;

const REQUIRED: &str = "[auth]\nrequired = true\n";

/// All calls that end, in an order in which their examples work.
const ORDER: &[&str] = &[
    "registerInstance",
    "readInstance",
    "patchInstance",
    "renewInstance",
    "drainInstance",
    "undrainInstance",
    "listServices",
    "readService",
    "overrideSettings",
    "reportOutcomes",
    "readOutcomes",
    "resolve",
    "renewInstances",
    "batch",
    "createToken",
    "listTokens",
    "revokeToken",
    "reload",
    "snapshot",
    "healthz",
    "readyz",
    "metrics",
    "openapi",
    "docs",
    "deregisterInstance",
    "forgetService",
];

#[test]
fn every_example_works_and_is_answered_as_shown() {
    let guarded = Authenticated::start(REQUIRED);
    let mut document = Document::of(&guarded.server.http);
    let names: BTreeSet<String> = document
        .operations()
        .map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    let sent: BTreeSet<String> = ORDER.iter().map(|name| (*name).to_owned()).collect();
    // A profile is in builds for it alone, and takes its time.
    let others: Vec<&String> = names.difference(&sent).filter(|name| *name != "profile").collect();
    assert_eq!(others, ["watch"]);

    let mut token_id = String::new();
    for name in ORDER {
        if *name == "forgetService" {
            // What the example of a batch leaves behind.
            guarded.admin.delete("/v1/services/api/instances/api-3");
        }
        let (path, method, operation) = document.operation(name);
        let (method, operation) = (method.to_uppercase(), operation.clone());
        let path = example_path(path, &operation).replace("0123456789abcdef", &token_id);
        let content = operation["requestBody"]["content"].clone();
        let body = &content["application/json"]["example"];
        let reply = guarded.admin.call(&method, &path, Some(body).filter(|body| !body.is_null()));
        let reply = reply.unwrap_or_else(|| panic!("{name}: no reply"));

        assert!((200..300).contains(&reply.status), "{name}: {reply:?}");
        document.saw(&operation, &reply);
        for (media_type, content) in content.as_object().into_iter().flatten() {
            document.hold(&format!("{name}, {media_type}"), &content["schema"], body);
        }
        let shown = document.response(&operation, reply.status);
        let shown = &shown["content"]["application/json"];
        if shown["schema"].is_object() {
            document.hold(&format!("{name}, shown"), &shown["schema"], &shown["example"]);
        }
        // The document is no example of itself.
        if *name != "openapi" && !shown.is_null() {
            assert_alike(&shown["example"], &reply.body, name);
        }
        if *name == "createToken" {
            token_id = reply.body["id"].as_str().unwrap().to_owned();
        }
    }
    document.judge();
}

#[test]
fn the_example_of_a_watch_is_a_watch() {
    let server = Server::start("");
    let document = Document::of(&server.http);
    let (path, _, operation) = document.operation("watch");

    let event = Watch::open(server.http.address, &example_path(path, operation), None).event();

    let example = &document.response(operation, 200)["content"]["text/event-stream"]["example"];
    let (name, data) = (format!("event: {}\n", event.name), event.data);
    assert!(example.as_str().unwrap().starts_with(&name), "{example}");
    assert_alike(&json!({ "revision": 7 }), &data, "watch");
}

#[test]
fn refusals_are_as_described() {
    let guarded = Authenticated::start(&format!("{REQUIRED}{STATIC}"));
    let mut document = Document::of(&guarded.server.http);
    let instance = "/v1/services/api/instances/api-1";
    let heartbeat = "/v1/services/api/instances/api-1/heartbeat";
    let body = json!({ "addresses": ["10.0.0.31"], "port": 8080 });
    let shop = json!({ "name": "shop", "scopes": ["register"], "services": ["*"],
                       "networks": ["10.0.0.0/8"] });
    let shop = guarded.admin.post("/v1/tokens", Some(&shop)).body;
    let shop = guarded.server.http.with_token(shop["token"].as_str().unwrap());
    assert_eq!(guarded.admin.put(instance, &body).status, 201);
    let nobody = &guarded.server.http;
    let admin = &guarded.admin;
    let web = "/v1/services/web/instances/web-1";
    let large = json!({ "metadata": { "a": "x".repeat(1 << 20) } });

    let calls: &[(&str, &Http, &str, Option<Value>, u16)] = &[
        ("registerInstance", admin, instance, Some(json!({})), 400),
        ("registerInstance", admin, instance, Some(json!({ "x": 1 })), 400),
        ("registerInstance", nobody, instance, Some(body.clone()), 401),
        ("registerInstance", &shop, instance, Some(json!({ "addresses": ["192.0.2.1"] })), 403),
        ("registerInstance", &shop, instance, Some(body.clone()), 409),
        ("registerInstance", admin, instance, Some(large), 413),
        ("registerInstance", admin, web, Some(body), 409),
        ("readInstance", admin, "/v1/services/api/instances/api-9", None, 404),
        ("renewInstance", &shop, heartbeat, Some(json!({})), 409),
        ("readService", admin, "/v1/services/none", None, 404),
        ("readService", &shop, "/v1/services/api", None, 403),
        ("readService", admin, "/v1/services/api?wait=1h", None, 400),
        ("forgetService", admin, "/v1/services/api", None, 409),
        ("forgetService", admin, "/v1/services/web", None, 409),
        ("forgetService", admin, "/v1/services/none", None, 204),
        ("revokeToken", admin, "/v1/tokens/0123456789abcdef", None, 404),
        ("healthz", nobody, "/healthz?a=b", None, 400),
    ];
    for (name, client, path, body, status) in calls {
        let (_, method, operation) = document.operation(name);
        let (method, operation) = (method.to_uppercase(), operation.clone());
        let reply: Reply = client.call(&method, path, body.as_ref()).unwrap();
        assert_eq!(reply.status, *status, "{name} {path}: {reply:?}");
        document.saw(&operation, &reply);
    }
    // One that says more than most: checks, load, no lease, of the file.
    let renewed = json!({ "load": { "cpu": 0.5, "overloaded": true }, "status": "warning" });
    assert_eq!(admin.put(&format!("{web}/heartbeat"), &renewed).status, 200);
    let operation = document.operation("readService").2.clone();
    let reply = admin.get("/v1/services/web");
    assert!(reply.body["instances"][0]["checks"][0]["state"].is_string(), "{reply:?}");
    document.saw(&operation, &reply);
    let operation = document.operation("resolve").2.clone();
    for (name, kind) in [("web.service.local", "A"), ("x.example", "TXT"), ("service.local", "SOA")]
    {
        document.saw(&operation, &admin.get(&format!("/v1/resolve?name={name}&type={kind}")));
    }
    document.judge();
}

#[test]
fn each_path_has_the_methods_that_are_described() {
    let guarded = Authenticated::start(REQUIRED);
    let (http, token) = (&guarded.server.http, &guarded.root);
    let document = Document::of(http);
    let mut paths: std::collections::BTreeMap<&str, BTreeSet<String>> = Default::default();
    for (path, method, _) in document.operations() {
        let methods = paths.entry(path).or_default();
        methods.insert(method.to_uppercase());
        if method == "get" {
            methods.insert("HEAD".to_owned());
        }
    }

    for (path, methods) in paths {
        let path = path.replace(['{', '}'], "");
        let head = format!("Host: localhost\r\nAuthorization: Bearer {token}");
        let reply = http.raw(format!("BREW {path} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes());
        assert!(reply.starts_with("HTTP/1.1 405 "), "{path}: {reply}");
        let allow = reply.lines().find_map(|line| line.strip_prefix("allow: ")).unwrap();
        let allow: BTreeSet<String> = allow.split(',').map(|name| name.trim().to_owned()).collect();
        assert_eq!(allow, methods, "{path}");
    }
}

/// The path of an operation with the examples of its parameters.
fn example_path(path: &str, operation: &Value) -> String {
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let Some(example) = parameter["example"].as_str() else { continue };
        match parameter["in"].as_str().unwrap() {
            "path" => path = path.replace(&format!("{{{name}}}"), example),
            _ => query.push(format!("{name}={example}")),
        }
    }
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

/// Fails unless both have the same fields and kinds of values; null may stand for any.
fn assert_alike(shown: &Value, real: &Value, place: &str) {
    match (shown, real) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(shown), Value::Object(real)) => {
            let keys = |fields: &serde_json::Map<String, Value>| -> BTreeSet<String> {
                fields.keys().cloned().collect()
            };
            assert_eq!(keys(shown), keys(real), "{place}");
            shown.iter().for_each(|(key, value)| {
                assert_alike(value, &real[key], &format!("{place}.{key}"));
            });
        }
        (Value::Array(shown), Value::Array(real)) => {
            if let (Some(shown), Some(real)) = (shown.first(), real.first()) {
                assert_alike(shown, real, &format!("{place}[0]"));
            }
        }
        (shown, real) => {
            let alike = std::mem::discriminant(shown) == std::mem::discriminant(real);
            assert!(alike, "{place}: {shown} is shown for {real}");
        }
    }
}

/// A declared service whose instance has a check.
const STATIC: &str = r#"
[services.web]
[[services.web.instances]]
id = "web-1"
addresses = ["10.0.0.11"]
ports = [{ name = "http", port = 8080 }]
checks = [{ kind = "ttl", ttl = "10m" }]
"#;
