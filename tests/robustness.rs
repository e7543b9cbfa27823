//! Requests and packets that no honest client sends: refused or ignored, and service goes on.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use support::dns::Query;
use support::server::Server;
use support::{SOON, eventually};

const WEB: &str =
    "[[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80\n";

#[test]
fn bad_bodies_are_refused_with_the_field() {
    let server = Server::start(WEB);
    let path = "/v1/services/web/instances/a";
    let revision = server.http.revision();

    for (body, kind, field) in [
        (json!([]), "invalid", Some("body")),
        (json!("text"), "invalid", Some("body")),
        (json!({}), "invalid", Some("addresses")),
        (json!({ "addresses": [] }), "invalid", Some("addresses")),
        (json!({ "addresses": "10.0.0.1" }), "invalid", Some("addresses")),
        (json!({ "addresses": ["10.0.0.1", "10.0.0.256"] }), "invalid", Some("addresses[1]")),
        (json!({ "addresses": ["0.0.0.0"] }), "invalid", Some("addresses[0]")),
        (json!({ "addresses": ["::"] }), "invalid", Some("addresses[0]")),
        (json!({ "addresses": ["224.0.0.1"] }), "invalid", Some("addresses[0]")),
        (json!({ "addresses": ["255.255.255.255"] }), "invalid", Some("addresses[0]")),
        (json!({ "addresses": ["::ffff:10.0.0.1"] }), "invalid", Some("addresses[0]")),
        (json!({ "addresses": ["169.254.1.1"] }), "invalid", Some("addresses[0]")),
        (json!({ "addresses": ["fe80::1"] }), "invalid", Some("addresses[0]")),
        (json!({ "addresses": ["010.0.0.1"] }), "invalid", Some("addresses[0]")),
        (json!({ "addresses": vec!["10.0.0.1"; 9] }), "invalid", Some("addresses")),
        (json!({ "addresses": ["10.0.0.1"], "weight": 0 }), "invalid", Some("weight")),
        (json!({ "addresses": ["10.0.0.1"], "weight": 65_536 }), "invalid", Some("weight")),
        (json!({ "addresses": ["10.0.0.1"], "weight": 1.5 }), "invalid", Some("weight")),
        (json!({ "addresses": ["10.0.0.1"], "tier": -1 }), "invalid", Some("tier")),
        (json!({ "addresses": ["10.0.0.1"], "port": 0 }), "invalid", Some("port")),
        (json!({ "addresses": ["10.0.0.1"], "port": 1, "ports": [] }), "invalid", Some("port")),
        (
            json!({ "addresses": ["10.0.0.1"], "ports": [{ "port": 1 }, { "port": 2 }] }),
            "invalid",
            Some("ports[1]"),
        ),
        (
            json!({ "addresses": ["10.0.0.1"], "ports": [{ "port": 1, "protocol": "icmp" }] }),
            "invalid",
            Some("ports[0].protocol"),
        ),
        (json!({ "addresses": ["10.0.0.1"], "ttl": "0s" }), "invalid", Some("ttl")),
        (json!({ "addresses": ["10.0.0.1"], "ttl": "25h" }), "invalid", Some("ttl")),
        (json!({ "addresses": ["10.0.0.1"], "ttl": 30 }), "invalid", Some("ttl")),
        (json!({ "addresses": ["10.0.0.1"], "tags": ["-a"] }), "invalid", Some("tags[0]")),
        (json!({ "addresses": ["10.0.0.1"], "admin": "off" }), "invalid", Some("admin")),
        (json!({ "addresses": ["10.0.0.1"], "status": "ok" }), "invalid", Some("status")),
        (json!({ "addresses": ["10.0.0.1"], "id": "b" }), "invalid", Some("id")),
        (json!({ "addresses": ["10.0.0.1"], "wieght": 1 }), "unknown-field", Some("wieght")),
        (
            json!({ "addresses": ["10.0.0.1"], "metadata": { "k": "v".repeat(513) } }),
            "invalid",
            Some("metadata"),
        ),
    ] {
        let reply = server.http.put(path, &body);
        let found = reply.problem();
        assert_eq!((found.0, found.1), (400, kind), "{body}: {reply:?}");
        let named = found.2.unwrap_or_default();
        assert!(named.starts_with(field.unwrap_or_default()), "{body}: {reply:?}");
        assert_eq!(found.2.is_some(), field.is_some(), "{body}: {reply:?}");
    }
    let load = json!({ "load": { "cpu": -1.0 } });
    let reply = server.http.put("/v1/services/web/instances/web-1/heartbeat", &load);
    assert_eq!(reply.problem(), (400, "invalid", Some("load.cpu")));
    assert_eq!(server.http.revision(), revision, "nothing of it was done");
    server.assert_well("after bad bodies");
}

#[test]
fn bad_calls_are_refused_with_the_reason() {
    let server = Server::start(WEB);
    let http = &server.http;

    for (method, path, status, kind, field) in [
        ("GET", "/", 404, "not-found", None),
        ("GET", "/v1", 404, "not-found", None),
        ("GET", "/v1/services/web/instances", 404, "not-found", None),
        ("GET", "/v1/services//instances/a", 400, "invalid", Some("service")),
        ("GET", "/v1/services/web/instances/%zz", 400, "invalid", Some("id")),
        ("GET", "/v1/services/..%2f..%2fetc", 400, "invalid", Some("service")),
        ("POST", "/v1/services", 405, "method-not-allowed", None),
        ("DELETE", "/metrics", 405, "method-not-allowed", None),
        ("BREW", "/v1/services/web", 405, "method-not-allowed", None),
        ("GET", "/v1/services?index=x", 400, "invalid", Some("index")),
        ("GET", "/v1/services?index=-1", 400, "invalid", Some("index")),
        ("GET", "/v1/services?index=1&index=2", 400, "invalid", Some("index")),
        ("GET", "/v1/services?wait=11m", 400, "invalid", Some("wait")),
        ("GET", "/v1/services?wait=soon", 400, "invalid", Some("wait")),
        ("GET", "/v1/services?pretty", 400, "invalid", Some("pretty")),
        ("GET", "/v1/watch?service=-", 400, "invalid", Some("service")),
        ("GET", "/v1/resolve", 400, "invalid", Some("name")),
        ("GET", "/v1/resolve?name=web.service.local&type=NOPE", 400, "invalid", Some("type")),
        ("GET", "/v1/resolve?name=web.service.local&client=me", 400, "invalid", Some("client")),
        ("PUT", "/v1/services/web/instances/a", 400, "invalid", Some("body")),
    ] {
        let reply = http.call(method, path, None).unwrap_or_else(|| panic!("{method} {path}"));
        assert_eq!(reply.problem(), (status, kind, field), "{method} {path}: {reply:?}");
    }
    // Not half closed, which hyper takes for the end of who waits for a reply.
    let mut stream = TcpStream::connect(http.address).unwrap();
    stream
        .write_all(b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut raw = String::new();
    stream.read_to_string(&mut raw).unwrap();
    assert!(
        raw.starts_with("HTTP/1.1 405 ") && raw.to_lowercase().contains("\r\nallow: get"),
        "{raw}"
    );
    server.assert_well("after bad calls");
}

#[test]
fn malformed_http_is_refused_or_cut() {
    let server = Server::start(WEB);
    let head =
        "PUT /v1/services/web/instances/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let json_head = format!("{head}Content-Type: application/json\r\n");
    let with = |rest: &str| format!("{json_head}{rest}").into_bytes();
    let long = "x".repeat(100_000);

    for request in [
        b"".to_vec(),
        b"\r\n\r\n".to_vec(),
        b"GET".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\xff\x00\x00".to_vec(),
        vec![0; 10_000],
        vec![0xff; 10_000],
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost : y\r\n\r\n".to_vec(),
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes(),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nA: {long}{long}{long}{long}{long}\r\n\r\n")
            .into_bytes(),
        format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(2_000)).into_bytes(),
        with("Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   "),
        with("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
        with("Content-Length: -1\r\n\r\n"),
        with("Content-Length: 99999999999999999999\r\n\r\n{}"),
        with("Content-Length: 100\r\n\r\n{"),
        with("Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        with("Transfer-Encoding: gzip\r\n\r\n{}"),
        with("Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
        [with("Content-Length: 8\r\n\r\n"), b"{\"a\":\"\xff\"".to_vec()].concat(),
        with("Content-Length: 1\r\n\r\n{"),
        with(&format!("Content-Length: 100000\r\n\r\n{}", "[".repeat(100_000))),
        with(&format!("Content-Length: 120000\r\n\r\n{}", "{\"a\":".repeat(24_000))),
        format!("{head}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}").into_bytes(),
    ] {
        let reply = server.http.raw(&request);

        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]);
        let refused = reply.starts_with("HTTP/1.1 4") || reply.starts_with("HTTP/1.1 5");
        // HTTP/2 has its own frames.
        let silent = reply.is_empty() || reply.starts_with('\0');
        assert!(refused || silent, "{shown}\n{reply}");
        assert!(!reply.contains(" 500 "), "{shown}\n{reply}");
    }
    server.assert_well("after malformed HTTP");
}

#[test]
fn a_body_that_is_too_large_gets_a_reply_that_the_client_can_read() {
    let server = Server::start("[limits]\nbody = \"64KiB\"\nbulk_items = 10\n");
    let large = json!({ "addresses": ["10.0.0.1"], "metadata": { "k": "x".repeat(4 << 20) } });

    let reply = server.http.put("/v1/services/web/instances/a", &large);
    assert_eq!((reply.problem().0, reply.problem().1), (413, "too-large"));
    let items = vec![json!({ "service": "web", "id": "a" }); 11];
    let reply = server.http.post("/v1/heartbeats", Some(&json!(items)));
    assert_eq!((reply.problem().0, reply.problem().1), (413, "too-large"));

    let body = json!({ "addresses": ["10.0.0.1"], "port": 80, "ttl": null });
    server.http.register("web", "web-1", &body);
    server.assert_well("after large bodies");
}

#[test]
fn limits_refuse_what_is_too_much_and_say_which() {
    let server = Server::start(
        "[limits]\nservices = 2\ninstances_per_service = 3\ninstances = 5\nallow = [\"10.0.0.0/8\"]",
    );
    let plain = json!({ "addresses": ["10.0.0.1"] });
    let put = |service: &str, id: &str| {
        server.http.put(&format!("/v1/services/{service}/instances/{id}"), &plain)
    };
    let refused = |service: &str, id: &str, limit: &str| {
        let reply = put(service, id);
        assert_eq!((reply.problem().0, reply.problem().1), (429, "limit"), "{reply:?}");
        assert!(reply.body["detail"].as_str().unwrap().contains(limit), "{reply:?}");
    };

    for id in ["1", "2", "3"] {
        assert_eq!(put("a", id).status, 201);
    }
    refused("a", "4", "instances_per_service = 3");
    assert_eq!(put("b", "1").status, 201);
    refused("c", "1", "services = 2");
    assert_eq!(put("b", "2").status, 201);
    refused("b", "3", "instances = 5");

    assert_eq!(put("a", "1").status, 200, "what is there may be replaced");
    let outside =
        server.http.put("/v1/services/a/instances/1", &json!({ "addresses": ["192.0.2.1"] }));
    assert_eq!(outside.problem(), (400, "invalid", Some("addresses[0]")));
}

#[test]
fn idle_connections_keep_nobody_out() {
    let server = Server::start(WEB);

    let idle: Vec<TcpStream> = (0..300)
        .map(|i| {
            TcpStream::connect(if i % 2 == 0 { server.dns.address } else { server.http.address })
                .unwrap()
        })
        .collect();

    server.assert_well("beside idle connections");
    drop(idle);
}

#[test]
fn an_address_in_use_is_named_and_ends_the_second_server() {
    let first = Server::start(WEB);
    let taken = first.dns.address;

    let (code, log) = Server::builder("").dns(&taken.to_string()).fail();

    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&taken.to_string()), "{log}");
    assert_eq!(first.dns.ask("web.service.local", "A").only(), "10.0.0.1");
}

#[test]
fn http_beyond_loopback_needs_a_word() {
    let config = "[dns]\nlisten = [\"{dns}\"]\n[http]\nlisten = [\"0.0.0.0:0\"]\n";

    let (code, log) = Server::builder(config).without_flags().fail();

    assert_ne!(code, Some(0));
    assert!(log.contains("allow_insecure"), "{log}");
}

#[test]
fn a_slow_or_silent_client_does_not_stop_another() {
    let mut server = Server::start(WEB);
    let mut slow: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(server.http.address).unwrap();
            stream
                .write_all(
                    b"PUT /v1/services/web/instances/x HTTP/1.1\r\nHost: localhost\r\nContent-Le",
                )
                .unwrap();
            stream
        })
        .collect();

    server.assert_well("beside slow clients");

    assert_eq!(server.terminate().code(), Some(0), "they do not hold up its end either");
    for stream in &mut slow {
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut rest = Vec::new();
        // A reset is an end too.
        drop(stream.read_to_end(&mut rest));
    }
}

#[test]
fn its_own_counters_add_up() {
    let server = Server::start(WEB);
    for _ in 0..10 {
        server.dns.ask("web.service.local", "A");
        server.dns.ask("nobody.service.local", "A");
    }
    server.dns.tcp(&Query::new("web.service.local", "A"));

    let count = |name: &str, label: &str| server.http.metric(name, label);
    eventually(SOON, "the counters have it", || {
        let answered = count("signpost_dns_responses_total", "rcode=\"NOERROR\"") == Some(11.0);
        let denied = count("signpost_dns_responses_total", "rcode=\"NXDOMAIN\"") == Some(10.0);
        (answered && denied).then_some(())
    });
}
