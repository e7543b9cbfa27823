//! Everything that is not as described, and that each is told so.

use serde_json::json;

use crate::support::{PLAIN, Server, WEB_1};

#[test]
fn bodies_name_the_field_at_fault() {
    let server = Server::start();
    let with = |field: &str, value: serde_json::Value| {
        let mut body = json!({"addresses": ["10.0.0.1"]});
        body[field] = value;
        body.to_string()
    };
    let many_tags: Vec<_> = (0..65).map(|i| format!("t{i}")).collect();
    let deep = "[".repeat(200);
    for (body, name, field) in [
        ("{", "invalid", "body"),
        ("", "invalid", "body"),
        ("nonsense", "invalid", "body"),
        ("[]", "invalid", "body"),
        ("null", "invalid", "body"),
        ("7", "invalid", "body"),
        (r#"{"addresses":["10.0.0.1"]} x"#, "invalid", "body"),
        (r#"{"addresses":["10.0.0.1"]}{}"#, "invalid", "body"),
        ("{}", "invalid", "addresses"),
        (r#"[null,["10.0.0.1"],null,null,1,0,[],{},{},[],"5s",null,null]"#, "invalid", "body"),
        (r#"{"addresses":["10.0.0.1"],"weight":1,"weight":2}"#, "invalid", "weight"),
        (r#"{"addresses":["10.0.0.1"],"addresses":["10.0.0.2"]}"#, "invalid", "addresses"),
        (&format!(r#"{{"addresses":{deep}"#), "invalid", "addresses[0]"),
        (&with("addresses", json!("10.0.0.1")), "invalid", "addresses"),
        (&with("addresses", json!([])), "invalid", "addresses"),
        (&with("addresses", json!(["0.0.0.0"])), "invalid", "addresses[0]"),
        (&with("addresses", json!(["10.0.0.1", "::ffff:1.2.3.4"])), "invalid", "addresses[1]"),
        (&with("addresses", json!(["10.0.0.1", 5])), "invalid", "addresses[1]"),
        (&with("weight", json!(0)), "invalid", "weight"),
        (&with("weight", json!(65536)), "invalid", "weight"),
        (&with("weight", json!(1.5)), "invalid", "weight"),
        (&with("weight", json!("1")), "invalid", "weight"),
        (&with("weight", json!(null)), "invalid", "weight"),
        (&with("weight", json!(u64::MAX)), "invalid", "weight"),
        (&with("tier", json!(-1)), "invalid", "tier"),
        (&with("weigth", json!(1)), "unknown-field", "weigth"),
        (&with("service", json!("web")), "unknown-field", "service"),
        (&with("id", json!("other")), "invalid", "id"),
        (&with("port", json!(0)), "invalid", "port"),
        (&with("ports", json!([{"port": 80, "colour": 1}])), "unknown-field", "ports[0].colour"),
        (&with("ports", json!([{"name": "http"}])), "invalid", "ports[0].port"),
        (&with("ports", json!([{"port": 1}, {"port": 2}])), "invalid", "ports[1]"),
        (&with("ports", json!([{"port": 1, "protocol": "icmp"}])), "invalid", "ports[0].protocol"),
        (&with("ports", json!([{"port": 1, "name": "a b"}])), "invalid", "ports[0].name"),
        (&with("ports", json!([["http", 80, "tcp"]])), "invalid", "ports[0]"),
        (&with("locality", json!([])), "invalid", "locality"),
        (&with("locality", json!({"rack": "r"})), "unknown-field", "locality.rack"),
        (&with("tags", json!(["ok", "-"])), "invalid", "tags[1]"),
        (&with("tags", json!(many_tags)), "invalid", "tags"),
        (&with("metadata", json!({"k": 1})), "invalid", "metadata.k"),
        (&with("metadata", json!({"": "v"})), "invalid", "metadata"),
        (&with("metadata", json!({"k": "v".repeat(513)})), "invalid", "metadata"),
        (&with("ttl", json!("500ms")), "invalid", "ttl"),
        (&with("ttl", json!("25h")), "invalid", "ttl"),
        (&with("ttl", json!(30)), "invalid", "ttl"),
        (&with("admin", json!("off")), "invalid", "admin"),
        (&with("status", json!("Passing")), "invalid", "status"),
        (&with("status", json!({"passing": null})), "invalid", "status"),
        (
            &with("ports", json!([{"port": 1, "protocol": {"udp": null}}])),
            "invalid",
            "ports[0].protocol",
        ),
    ] {
        let reply = server.call("PUT", WEB_1, body);

        assert_eq!(reply.problem(), (400, name.into(), Some(field.into())), "{body}");
    }
    server.get(WEB_1).assert_problem(404, "unknown-instance", None);
}

#[test]
fn bodies_of_the_other_calls_name_the_field_too() {
    let server = Server::start();
    let heartbeat = &format!("{WEB_1}/heartbeat");
    for (method, path, body, name, field) in [
        ("PUT", &**heartbeat, r#"{"load":{"cpus":1}}"#, "unknown-field", "load.cpus"),
        ("PUT", heartbeat, r#"{"load":{"cpu":-0.1}}"#, "invalid", "load.cpu"),
        ("PUT", heartbeat, r#"{"load":{"cpu":1e999}}"#, "invalid", "load.cpu"),
        ("PUT", heartbeat, r#"{"load":{"cpu":NaN}}"#, "invalid", "load.cpu"),
        ("PUT", heartbeat, r#"{"load":[1]}"#, "invalid", "load"),
        ("PUT", heartbeat, r#"{"load":[]}"#, "invalid", "load"),
        ("PUT", heartbeat, r#"{"generation":-1}"#, "invalid", "generation"),
        ("PUT", heartbeat, r#"{"generation":"1"}"#, "invalid", "generation"),
        ("PUT", heartbeat, "[]", "invalid", "body"),
        ("PUT", "/v1/services/web", r#"{"balance":"fair"}"#, "invalid", "balance"),
        ("PUT", "/v1/services/web", r#"{"ttl":"2h"}"#, "invalid", "ttl"),
        ("PUT", "/v1/services/web", r#"{"max_answers":0}"#, "invalid", "max_answers"),
        ("PUT", "/v1/services/web", r#"{"slow_start":"30"}"#, "invalid", "slow_start"),
        ("PUT", "/v1/services/web", r#"{"panic":"half"}"#, "invalid", "panic"),
        ("PUT", "/v1/services/web", r#"{"txt":"some"}"#, "invalid", "txt"),
        ("PUT", "/v1/services/web", r#"{"tttl":"5s"}"#, "unknown-field", "tttl"),
        ("PUT", "/v1/services/web", "[]", "invalid", "body"),
        ("PUT", "/v1/services/web", "", "invalid", "body"),
        ("PATCH", WEB_1, "[]", "invalid", "body"),
        ("PATCH", WEB_1, r#"{"ttl":"5s"}"#, "unknown-field", "ttl"),
        ("POST", "/v1/heartbeats", "{}", "invalid", "body"),
        ("POST", "/v1/heartbeats", "", "invalid", "body"),
        ("POST", "/v1/heartbeats", r#"[{"service":"web"}]"#, "invalid", "[0].id"),
        (
            "POST",
            "/v1/heartbeats",
            r#"[{"service":"web","id":"a"},{"service":"web","id":"a","load":{"cpu":-1}}]"#,
            "invalid",
            "[1].load.cpu",
        ),
        ("POST", "/v1/heartbeats", r#"[{"service":"w","id":"a","x":1}]"#, "unknown-field", "[0].x"),
        ("POST", "/v1/heartbeats", r#"[["web","a"]]"#, "invalid", "[0]"),
        ("POST", "/v1/batch", "[]", "invalid", "body"),
        ("POST", "/v1/batch", r#"{"delete":[]}"#, "unknown-field", "delete"),
        ("POST", "/v1/batch", r#"{"deregister":[["web","a"]]}"#, "invalid", "deregister[0]"),
        (
            "POST",
            "/v1/batch",
            r#"{"deregister":[{"service":"w","id":"a"},{"service":"w","id":"A"}]}"#,
            "invalid",
            "deregister[1].id",
        ),
    ] {
        let reply = server.call(method, path, body);

        assert_eq!(
            reply.problem(),
            (400, name.into(), Some(field.into())),
            "{method} {path} {body}"
        );
    }
}

#[test]
fn paths_name_the_segment_at_fault() {
    let server = Server::start();
    for (path, status, name, field) in [
        ("/v1/services/a.b", 400, "invalid", Some("service")),
        ("/v1/services/-a", 400, "invalid", Some("service")),
        ("/v1/services/%00", 400, "invalid", Some("service")),
        ("/v1/services/a%2Fb", 400, "invalid", Some("service")),
        ("/v1/services/%zz", 400, "invalid", Some("service")),
        ("/v1/services/%", 400, "invalid", Some("service")),
        ("/v1/services/%ff", 400, "invalid", Some("service")),
        ("/v1/services/..", 400, "invalid", Some("service")),
        ("/v1/services/.", 400, "invalid", Some("service")),
        ("/v1/services/%C3%A9", 400, "invalid", Some("service")),
        (&format!("/v1/services/{}", "a".repeat(63)), 400, "invalid", Some("service")),
        ("/v1/services/web/instances/tag", 400, "invalid", Some("id")),
        ("/v1/services/web/instances/a%20b", 400, "invalid", Some("id")),
        ("/v1/services/we_b!/instances/x", 400, "invalid", Some("service")),
        ("/v1/services/", 404, "not-found", None),
        ("/v1/services//instances/x", 400, "invalid", Some("service")),
        ("/v1/services/web/instances/", 404, "not-found", None),
        ("/v1/services/web/instances", 404, "not-found", None),
        ("/v1/services/web/instances/x/y", 404, "not-found", None),
        ("/v1/../v1/services", 404, "not-found", None),
        ("//v1/services", 404, "not-found", None),
        ("/", 404, "not-found", None),
        ("/v2/services", 404, "not-found", None),
        ("/V1/services", 404, "not-found", None),
        ("/v1/services;x", 404, "not-found", None),
        ("/%76%31/services", 404, "not-found", None),
    ] {
        let reply = server.get(path);

        assert_eq!(reply.problem(), (status, name.into(), field.map(str::to_owned)), "{path}");
    }
}

#[test]
fn queries_name_the_parameter_at_fault() {
    let server = Server::start();
    for (method, path, field) in [
        ("GET", "/v1/services?foo=1", "foo"),
        ("GET", "/v1/services?index=1&index=2", "index"),
        ("GET", "/v1/services?index=x", "index"),
        ("GET", "/v1/services?index=-1", "index"),
        ("GET", "/v1/services?index=99999999999999999999", "index"),
        ("GET", "/v1/services?index", "index"),
        ("GET", "/v1/services?wait=10", "wait"),
        ("GET", "/v1/services?wait=11m", "wait"),
        ("GET", "/v1/services?wait=%", "wait"),
        ("GET", "/v1/services/web?service=web", "service"),
        ("GET", "/v1/services/web/instances/a?index=1", "index"),
        ("PUT", "/v1/services/web/instances/a?ttl=5s", "ttl"),
        ("DELETE", "/v1/services/web/instances/a?force=1", "force"),
        ("POST", "/v1/services/web/instances/a/drain?x", "x"),
        ("GET", "/v1/watch?service=a.b", "service"),
        ("GET", "/v1/watch?index=1", "index"),
        ("GET", "/v1/resolve", "name"),
        ("GET", "/v1/resolve?name=", "name"),
        ("GET", "/v1/resolve?name=web&client=localhost", "client"),
        ("GET", "/v1/resolve?name=web&type=NONSENSE", "type"),
        ("GET", "/healthz?verbose", "verbose"),
        ("GET", "/metrics?name=x", "name"),
        ("POST", "/v1/reload?now=1", "now"),
    ] {
        let body = if method == "PUT" { PLAIN } else { "" };

        let reply = server.call(method, path, body);

        assert_eq!(reply.problem(), (400, "invalid".into(), Some(field.into())), "{method} {path}");
    }
}

#[test]
fn a_body_where_none_is_taken_is_refused() {
    let server = Server::start();
    for (method, path) in [
        ("GET", "/v1/services"),
        ("GET", WEB_1),
        ("DELETE", WEB_1),
        ("DELETE", "/v1/services/web"),
        ("POST", "/v1/services/web/instances/web-1/drain"),
        ("POST", "/v1/reload"),
        ("GET", "/healthz"),
    ] {
        let reply = server.call(method, path, "{}");

        assert_eq!(reply.problem(), (400, "invalid".into(), Some("body".into())), "{path}");
    }
}

#[test]
fn wrong_methods_are_told_the_right_ones() {
    let server = Server::start();
    for (method, path, allow) in [
        ("POST", WEB_1, "GET,HEAD,PUT,PATCH,DELETE"),
        ("OPTIONS", WEB_1, "GET,HEAD,PUT,PATCH,DELETE"),
        ("BREW", WEB_1, "GET,HEAD,PUT,PATCH,DELETE"),
        ("GET", "/v1/services/web/instances/web-1/heartbeat", "PUT"),
        ("PUT", "/v1/services/web/instances/web-1/drain", "POST,DELETE"),
        ("DELETE", "/v1/services", "GET,HEAD"),
        ("POST", "/v1/services/web", "GET,HEAD,PUT,DELETE"),
        ("GET", "/v1/heartbeats", "POST"),
        ("GET", "/v1/batch", "POST"),
        ("POST", "/v1/watch", "GET,HEAD"),
        ("GET", "/v1/reload", "POST"),
        ("POST", "/healthz", "GET,HEAD"),
    ] {
        let reply = server.call(method, path, "");

        reply.assert_problem(405, "method-not-allowed", None);
        assert_eq!(reply.headers["allow"], allow, "{method} {path}");
    }
}

#[test]
fn only_json_is_read() {
    let server = Server::start();
    for (headers, status) in [
        ("Content-Type: application/json\r\n", 201),
        ("Content-Type: application/json;charset=UTF-8\r\n", 200),
        ("Content-Type: Application/JSON ; x=y\r\n", 200),
        ("", 415),
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Content-Type: application/jsonx\r\n", 415),
        ("Content-Type: application/merge-patch+json\r\n", 415),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", 415),
    ] {
        let mut client = server.connect();
        let length = PLAIN.len();
        client.write(&format!(
            "PUT {WEB_1} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{PLAIN}"
        ));

        let reply = client.reply(false);

        assert_eq!(reply.status, status, "{headers:?}");
        if status == 415 {
            reply.assert_problem(415, "media-type", None);
        }
    }
}

#[test]
fn what_is_no_http_ends_only_its_own_connection() {
    let server = Server::start();
    for text in [
        "\r\n\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET /v1/services HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "GET /v1/services HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /\0 HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://other/v1/services HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense nonsense nonsense",
    ] {
        let mut client = server.connect();
        client.write(text);
        client.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        // Whatever it says, it says it and closes.
        let mut said = Vec::new();
        let read = std::io::Read::read_to_end(&mut client.stream, &mut said);
        assert!(read.is_ok(), "{text:?}: {read:?}");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn details_speak_of_fields_and_not_of_our_types() {
    let server = Server::start();
    for (body, detail) in [
        (
            "[]",
            "body: invalid length 0, expected an object with the fields of an instance at line 1 column 2",
        ),
        (
            r#"{"addresses":["10.0.0.1"],"weight":0}"#,
            "weight: 0 is out of range, 1-65535 is allowed",
        ),
    ] {
        let reply = server.call("PUT", WEB_1, body);

        assert_eq!(reply.json()["detail"], detail);
    }
}
