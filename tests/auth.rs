//! Tokens, what they are good for, and who owns what: the real server, as its users meet it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::authenticated::Authenticated;
use support::eventually;
use support::http::Reply;
use support::server::Server;

const REQUIRED: &str = "[auth]\nrequired = true\n";
const WEB_1: &str = "/v1/services/web/instances/web-1";

fn signpost(arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signpost"));
    command.args(arguments).env_remove("SIGNPOST_TOKEN_FILE").env_remove("SIGNPOST_TOKEN");
    command.envs(token.map(|token| ("SIGNPOST_TOKEN", token))).output().unwrap()
}

/// Where the configuration of `server` is.
fn config_of(server: &Server) -> String {
    server.folder().join("registry.toml").display().to_string()
}

fn shop(name: &str) -> Value {
    json!({ "name": name, "scopes": ["read", "register"], "services": ["web", "shop-*"],
            "networks": ["10.0.0.0/8"] })
}

fn at(address: &str) -> Value {
    json!({ "addresses": [address], "ttl": "30s" })
}

fn refused(reply: &Reply) -> (u16, &str, Option<&str>) {
    reply.problem()
}

#[test]
fn the_first_token_is_made_offline_and_others_with_it() {
    let guarded = Authenticated::start(REQUIRED);
    let anonymous = &guarded.server.http;

    assert!(guarded.root.starts_with("signpost_") && guarded.root.len() == 9 + 64);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(anonymous.get(path).status, 200, "{path}");
    }
    for path in ["/v1/services", "/v1/tokens", "/metrics", "/v1/watch", "/debug/pprof/profile"] {
        assert_eq!(refused(&anonymous.get(path)), (401, "unauthorized", None), "{path}");
    }
    assert_eq!(refused(&anonymous.put(WEB_1, &at("10.0.0.1"))).0, 401);
    let client = guarded.client(&shop("shop"));
    assert_eq!(client.put(WEB_1, &at("10.0.0.1")).status, 201);
    assert_eq!(client.get(WEB_1).status, 200);
    let metrics = guarded.admin.get("/metrics");
    assert!(metrics.body.as_str().unwrap().contains("signpost_"), "{metrics:?}");
}

#[test]
fn tokens_survive_a_restart_and_do_not_survive_a_revocation() {
    let mut guarded = Authenticated::start(REQUIRED);
    let made = guarded.made(&shop("shop"));
    let client = guarded.server.http.with_token(made["token"].as_str().unwrap());
    assert_eq!(client.put(WEB_1, &at("10.0.0.1")).status, 201);

    guarded.server.kill();
    guarded.server.start_again();

    assert_eq!(client.put(&format!("{WEB_1}/heartbeat"), &json!({})).status, 200);
    let other = guarded.client(&shop("other"));
    assert_eq!(refused(&other.put(WEB_1, &at("10.0.0.1"))), (409, "owned", None));
    let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(guarded.admin.delete(&path).status, 204);
    assert_eq!(refused(&client.get(WEB_1)).0, 401);
    assert_eq!(refused(&guarded.admin.delete(&path)), (404, "not-found", None));
    guarded.server.restart();
    assert_eq!(refused(&client.get(WEB_1)).0, 401);
    assert_eq!(guarded.admin.get(WEB_1).status, 200);
}

#[test]
fn a_token_that_does_not_hold_is_answered_alike_whatever_the_reason() {
    let guarded = Authenticated::start(REQUIRED);
    let reader = |ttl: &str| json!({ "name": "a", "scopes": ["read"], "ttl": ttl });
    let expired = guarded.client(&reader("1s"));
    let revoked = guarded.made(&reader("1h"));
    let path = format!("/v1/tokens/{}", revoked["id"].as_str().unwrap());
    assert_eq!(guarded.admin.delete(&path).status, 204);
    eventually(support::SOON, "the token is over", || {
        (expired.get("/v1/services").status == 401).then_some(())
    });
    let unknown = format!("signpost_{}", "0".repeat(64));
    let own = guarded.root.clone();
    let (revoked, upper) = (revoked["token"].as_str().unwrap(), own.to_uppercase());
    let mut replies = vec![expired.get("/v1/services")];
    for token in [revoked, &unknown, "", "x", &upper, &own[..72], &"x".repeat(5_000)] {
        replies.push(guarded.server.http.with_token(token).get("/v1/services"));
    }
    replies.push(guarded.server.http.get("/v1/services"));

    for reply in &replies {
        assert_eq!(reply, &replies[0]);
        assert_eq!(refused(reply), (401, "unauthorized", None));
    }
    for head in [
        "Authorization: Basic cm9vdDpyb290\r\n".to_owned(),
        format!("Authorization: {own}\r\n"),
        format!("Authorization: Bearer {own}\r\nAuthorization: Bearer {own}\r\n"),
        format!("X-Authorization: Bearer {own}\r\n"),
    ] {
        let request = format!("GET /v1/services HTTP/1.0\r\nHost: localhost\r\n{head}\r\n");
        let said = guarded.server.http.raw(request.as_bytes());
        assert!(said.starts_with("HTTP/1.0 401") && said.contains("www-authenticate: Bearer\r\n"));
    }
    let request = format!(
        "GET /v1/services HTTP/1.0\r\nHost: localhost\r\nauthorization: bearer {own}\r\n\r\n"
    );
    assert!(guarded.server.http.raw(request.as_bytes()).starts_with("HTTP/1.0 200"));
}

#[test]
fn a_token_writes_its_own_services_and_addresses_alone() {
    let guarded = Authenticated::start(REQUIRED);
    let client = guarded.client(&shop("shop"));
    let instance = |service: &str| format!("/v1/services/{service}/instances/a");

    for service in ["web", "WEB", "shop-cart", "w%65b"] {
        let status = client.put(&instance(service), &at("10.0.0.1")).status;
        assert!([200, 201].contains(&status), "{service} {status}");
    }
    assert_eq!(guarded.admin.put(&instance("db"), &at("192.0.2.1")).status, 201);
    for (method, path, body) in [
        ("PUT", instance("db"), Some(at("10.0.0.1"))),
        ("PUT", instance("D%42"), Some(at("10.0.0.1"))),
        ("PATCH", instance("db"), Some(json!({ "weight": 9 }))),
        ("DELETE", instance("db"), None),
        ("PUT", instance("db") + "/heartbeat", None),
        ("POST", instance("db") + "/drain", None),
        ("DELETE", instance("db") + "/drain", None),
        ("POST", "/v1/services/db/reports".into(), Some(json!([{ "id": "a", "failures": 9 }]))),
    ] {
        let reply = client.call(method, &path, body.as_ref()).unwrap();
        assert_eq!(refused(&reply), (403, "forbidden", Some("service")), "{method} {path}");
    }
    for (method, path, body) in [
        ("PUT", "/v1/services/web", Some(json!({ "ttl": "1h" }))),
        ("DELETE", "/v1/services/web", None),
        ("POST", "/v1/reload", None),
        ("GET", "/v1/tokens", None),
        ("POST", "/v1/tokens", Some(shop("x"))),
        ("DELETE", "/v1/tokens/0123456789abcdef", None),
    ] {
        let reply = client.call(method, path, body.as_ref()).unwrap();
        assert_eq!(refused(&reply), (403, "forbidden", None), "{method} {path}");
        assert!(reply.body["detail"].as_str().unwrap().contains("the scope admin"), "{reply:?}");
    }
    let mut addresses = at("10.0.0.1");
    addresses["addresses"] = json!(["10.0.0.1", "192.0.2.1"]);
    let reply = client.put(&instance("web"), &addresses);
    assert_eq!(refused(&reply), (403, "forbidden", Some("addresses[1]")));
    let batch = json!({ "register": [
        { "service": "web", "id": "b", "addresses": ["10.0.0.2"] },
        { "service": "db", "id": "b", "addresses": ["10.0.0.2"] }] });
    let reply = client.post("/v1/batch", Some(&batch));
    assert_eq!(refused(&reply), (403, "forbidden", Some("register[1].service")));
    assert_eq!(client.get("/v1/services/web/instances/b").status, 404);
    let beats = json!([{ "service": "db", "id": "a" }, { "service": "web", "id": "a" },
                       { "service": "web", "id": "none" }]);
    let reply = client.post("/v1/heartbeats", Some(&beats));
    let results: Vec<&str> = reply.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["forbidden", "ok", "unknown-instance"]);
    let reader = guarded.client(&json!({ "name": "reader", "scopes": ["read"] }));
    assert_eq!(reader.get("/v1/services").status, 200);
    assert_eq!(refused(&reader.put(&instance("web"), &at("10.0.0.1"))), (403, "forbidden", None));
}

#[test]
fn an_instance_stays_its_first_owners_until_it_is_gone() {
    let guarded = Authenticated::start(REQUIRED);
    let (own, other) = (guarded.client(&shop("own")), guarded.client(&shop("other")));
    let again = guarded.client(&shop("own"));
    assert_eq!(own.put(WEB_1, &at("10.0.0.1")).status, 201);

    for (method, path, body) in [
        ("PUT", WEB_1.to_owned(), Some(at("10.0.0.1"))),
        ("PUT", WEB_1.to_owned(), Some(at("10.0.0.2"))),
        ("PATCH", WEB_1.to_owned(), Some(json!({ "weight": 9 }))),
        ("DELETE", WEB_1.to_owned(), None),
        ("PUT", format!("{WEB_1}/heartbeat"), None),
        ("PUT", format!("{WEB_1}/heartbeat"), Some(json!({ "status": "critical" }))),
        ("POST", format!("{WEB_1}/drain"), None),
        ("DELETE", format!("{WEB_1}/drain"), None),
        (
            "POST",
            "/v1/batch".into(),
            Some(json!({ "deregister": [{ "service": "web", "id": "web-1" }] })),
        ),
    ] {
        let reply = other.call(method, &path, body.as_ref()).unwrap();
        assert_eq!(refused(&reply), (409, "owned", None), "{method} {path}");
    }
    let beat = json!([{ "service": "web", "id": "web-1", "status": "critical" }]);
    let reply = other.post("/v1/heartbeats", Some(&beat));
    assert_eq!(reply.body["results"][0]["result"], "owned");
    assert_eq!(own.get(WEB_1).body["status"], "passing");
    // Another token of the same name is the same owner.
    assert_eq!(again.patch(WEB_1, &json!({ "weight": 3 })).status, 200);
    // An admin may write it, and does not come to own it.
    assert_eq!(guarded.admin.put(WEB_1, &at("192.0.2.1")).status, 200);
    assert_eq!(refused(&other.put(WEB_1, &at("10.0.0.1"))), (409, "owned", None));
    assert_eq!(own.put(WEB_1, &at("10.0.0.3")).status, 200);
    assert_eq!(guarded.admin.delete(WEB_1).status, 204);
    assert_eq!(other.put(WEB_1, &at("10.0.0.1")).status, 201);
    assert_eq!(refused(&own.put(WEB_1, &at("10.0.0.1"))), (409, "owned", None));
}

#[test]
fn what_nobody_owned_becomes_the_first_clients() {
    let guarded = Authenticated::start("");
    let anyone = &guarded.server.http;
    let (own, other) = (guarded.client(&shop("own")), guarded.client(&shop("other")));
    assert_eq!(anyone.put(WEB_1, &at("10.0.0.1")).status, 201);

    // Without authentication a token still says whose it is.
    assert_eq!(own.put(WEB_1, &at("10.0.0.1")).status, 200);

    assert_eq!(refused(&other.put(WEB_1, &at("10.0.0.1"))), (409, "owned", None));
    assert_eq!(anyone.put(WEB_1, &at("10.0.0.9")).status, 200);
    assert_eq!(anyone.with_token("wrong").get(WEB_1).status, 401);
    // And nobody makes themselves one for when it is needed.
    for (method, body) in [("POST", Some(shop("x"))), ("GET", None)] {
        let reply = anyone.call(method, "/v1/tokens", body.as_ref()).unwrap();
        assert_eq!(refused(&reply), (401, "unauthorized", None), "{method}");
    }
}

#[test]
fn a_stale_generation_neither_renews_nor_revives() {
    let server = Server::start("");
    let put = |weight: u32| {
        let body = json!({ "addresses": ["10.0.0.1"], "ttl": "2s", "weight": weight });
        let reply = server.http.put(WEB_1, &body);
        reply.body["generation"].as_u64().unwrap()
    };
    let first = put(1);
    assert_eq!(put(1), first, "what changes nothing is the same registration");
    let second = put(2);
    let beat = |generation: u64| {
        server.http.put(&format!("{WEB_1}/heartbeat"), &json!({ "generation": generation }))
    };
    assert_eq!(refused(&beat(first)), (409, "owned", None));
    assert_eq!(beat(second).status, 200);
    let url = server.url();
    let renew = |generation: u64| {
        let number = generation.to_string();
        let words = ["heartbeat", "web", "web-1", "--server", &url, "--generation", &number];
        signpost(&words, None).status.code()
    };
    assert_eq!((renew(first), renew(second)), (Some(1), Some(0)));

    // It is gone in its time, whatever the stale one says meanwhile.
    let item =
        json!([{ "service": "web", "id": "web-1", "generation": first, "status": "warning" }]);
    let mut results = Vec::new();
    eventually(support::SOON, "the lease has ended", || {
        let reply = server.http.post("/v1/heartbeats", Some(&item));
        results.push(reply.body["results"][0]["result"].as_str().unwrap().to_owned());
        (server.http.get(WEB_1).status == 404).then_some(())
    });

    assert!(
        results.iter().all(|r| ["owned", "unknown-instance"].contains(&r.as_str())),
        "{results:?}"
    );
    assert_eq!(refused(&beat(first)), (404, "unknown-instance", None));
    assert_eq!(refused(&beat(second)), (404, "unknown-instance", None));
}

#[test]
fn readers_may_be_let_in_without_a_token() {
    let guarded = Authenticated::start("[auth]\nrequired = true\nanonymous_read = true\n");
    let anonymous = &guarded.server.http;
    let registrar =
        guarded.client(&json!({ "name": "a", "scopes": ["register"], "services": ["*"] }));

    for path in ["/v1/services", "/metrics", "/v1/resolve?name=web.service.local&type=A"] {
        assert_eq!(anonymous.get(path).status, 200, "{path}");
        assert_eq!(registrar.get(path).status, 200, "{path}");
        assert_eq!(refused(&anonymous.with_token("x").get(path)).0, 401, "{path}");
    }
    for path in ["/v1/tokens", "/debug/pprof/profile"] {
        assert_eq!(refused(&anonymous.get(path)).0, 401, "{path}");
    }
    assert_eq!(refused(&anonymous.put(WEB_1, &at("10.0.0.1"))).0, 401);
    assert_eq!(refused(&anonymous.post("/v1/reload", None)).0, 401);
    // One without networks registers nowhere.
    let reply = registrar.put(WEB_1, &at("10.0.0.1"));
    assert_eq!(refused(&reply), (403, "forbidden", Some("addresses[0]")));
}

#[test]
fn a_watch_ends_with_its_token() {
    let guarded = Authenticated::start(REQUIRED);
    let made = guarded.made(&json!({ "name": "w", "scopes": ["read"] }));
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    let mut stream = std::net::TcpStream::connect(guarded.server.http.address).unwrap();
    stream.set_read_timeout(Some(support::SOON)).unwrap();
    let head = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n");
    stream.write_all(format!("GET /v1/watch HTTP/1.0\r\n{head}\r\n").as_bytes()).unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(stream);
    while !said.ends_with("\n\n") || !said.contains("event: reset") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
    }
    guarded.admin.register("web", "seen", &at("10.0.0.1"));
    while !said.contains("\"seen\"") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
    }

    assert_eq!(guarded.admin.delete(&format!("/v1/tokens/{id}")).status, 204);
    guarded.admin.register("web", "unseen", &at("10.0.0.2"));

    lines.read_to_string(&mut said).unwrap();
    assert!(!said.contains("unseen"), "{said}");
}

#[test]
fn a_token_is_seen_by_nobody_but_who_made_it() {
    let mut guarded = Authenticated::start(REQUIRED);
    let made = guarded.made(&shop("shop"));
    let token = made["token"].as_str().unwrap().to_owned();
    let client = guarded.server.http.with_token(&token);
    assert_eq!(client.put(WEB_1, &at("10.0.0.1")).status, 201);
    let wrong = format!("{}x", &token[..72]);

    let mut seen = format!("{:?}", guarded.admin.get("/v1/tokens"));
    for reply in [
        client.put("/v1/services/db/instances/a", &at("10.0.0.1")),
        client.get("/v1/tokens"),
        client.get(&format!("/v1/{token}")),
        guarded.server.http.with_token(&wrong).get("/v1/services"),
        guarded.admin.get("/metrics"),
        guarded.admin.get(WEB_1),
        guarded.admin.get("/v1/services/web"),
    ] {
        seen += &format!("{reply:?}").replace(&format!("/v1/{token} does not exist"), "");
    }
    seen += &guarded.server.log();
    assert!(guarded.server.log().contains("token made"), "{}", guarded.server.log());
    assert_eq!(guarded.server.terminate().code(), Some(0));
    let file = guarded.server.folder().join("data/registry.redb");
    seen += &String::from_utf8_lossy(&std::fs::read(file).unwrap());

    for secret in [&token[9..], &wrong[9..], &guarded.root[9..]] {
        assert!(!seen.contains(secret));
    }
    assert!(seen.contains("shop-*"), "the tokens are there");
}

#[test]
fn tokens_are_made_listed_and_revoked_by_commands() {
    let guarded = Authenticated::start(REQUIRED);
    let url = guarded.server.url();
    let run = |words: &[&str], token: &str| {
        let output = signpost(&[words, &["--server", &url]].concat(), Some(token));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let root = guarded.root.as_str();
    let create = ["token", "create", "shop", "--scope", "register", "--service", "web"];

    let (code, token, said) = run(&[&create[..], &["--network", "10.0.0.0/8"]].concat(), root);
    let token = token.trim();
    assert_eq!((code, token.len()), (0, 73), "{said}");
    assert!(said.contains("of shop is made; it is not shown again"), "{said}");
    let register = ["register", "web", "web-1", "--address", "10.0.0.1", "--port", "80"];
    assert_eq!(run(&register, token).0, 0);
    let (code, listed, _) = run(&["token", "list"], root);
    assert_eq!((code, listed.lines().count()), (0, 3), "{listed}");
    let row = listed.lines().find(|line| line.contains("shop")).unwrap();
    let id = row.split_whitespace().next().unwrap();
    assert_eq!(run(&["token", "revoke", id], root).0, 0);
    assert_eq!(run(&["token", "revoke", id], root).0, 3);

    let (code, _, said) = run(&["heartbeat", "web", "web-1"], token);
    assert_eq!(code, 1);
    assert!(said.contains("SIGNPOST_TOKEN") && !said.contains(token), "{said}");
    let offline = signpost(
        &[
            "token",
            "create",
            "x",
            "--scope",
            "admin",
            "--offline",
            "--config",
            &config_of(&guarded.server),
        ],
        None,
    );
    let said = String::from_utf8(offline.stderr).unwrap();
    assert_eq!(offline.status.code(), Some(1));
    assert!(said.contains("is in use by another signpost"), "{said}");
}

#[test]
fn a_backup_keeps_owners_and_holds_no_token() {
    let mut guarded = Authenticated::start(REQUIRED);
    let client = guarded.client(&shop("shop"));
    assert_eq!(client.put(WEB_1, &at("10.0.0.1")).status, 201);
    let file = guarded.server.folder().join("backup.jsonl").display().to_string();
    let save = |token| {
        let server = guarded.server.url();
        signpost(&["snapshot", "save", &file, "--server", &server], Some(token))
    };
    assert_eq!(refused(&client.get("/v1/snapshot")), (403, "forbidden", None));
    let saved = save(&guarded.root);
    assert!(saved.status.success(), "{saved:?}");
    let other = guarded.client(&shop("other"));
    assert_eq!(guarded.admin.delete(WEB_1).status, 204);
    assert_eq!(other.put(WEB_1, &at("10.0.0.2")).status, 201);

    assert_eq!(guarded.server.terminate().code(), Some(0));
    let config = config_of(&guarded.server);
    let restore = ["snapshot", "restore", &file, "--replace", "--config", &config];
    let restored = signpost(&restore, None);
    assert!(restored.status.success(), "{restored:?}");
    guarded.server.start_again();

    // Made after the backup, and good all the same; what it took meanwhile is the first owner's.
    assert_eq!(refused(&other.put(WEB_1, &at("10.0.0.2"))), (409, "owned", None));
    assert_eq!(client.put(WEB_1, &at("10.0.0.1")).status, 200);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("sha256"));
}

#[test]
fn beyond_loopback_somebody_has_to_say_who_they_are() {
    let config = "[dns]\nlisten = [\"{dns}\"]\n[http]\nlisten = [\"0.0.0.0:{port}\"]\n";
    let (code, log) = Server::builder(&config.replace("{port}", "0")).without_flags().fail();
    assert_eq!(code, Some(1));
    assert!(log.contains("auth.required = true"), "{log}");

    let server = Server::builder("[auth]\nrequired = true\n").http_everywhere().start();

    assert_eq!(refused(&server.http.get("/v1/services")).0, 401);
    assert!(server.log().contains("tokens cross the network in clear"), "{}", server.log());
}

#[test]
fn what_authentication_there_is_changes_by_a_restart_alone() {
    let server = Server::start("");
    server.write_config(REQUIRED);

    let reply = server.http.post("/v1/reload", None);

    assert_eq!(reply.body["needs_restart"], json!(["auth.required"]));
    assert_eq!(server.http.get("/v1/services").status, 200);
}
