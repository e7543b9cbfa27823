//! Attempts to make a check go where it must not, send what it must not, or never come back.

use super::endpoint::{Conduct, Endpoint, reply};
use super::support::server::MOMENT;
use super::support::{at, now};
use super::*;

/// What is said of a registration with these addresses and this check.
fn refused(server: &Server, address: &str, check: &Value) -> (u16, Option<String>) {
    let body = json!({ "addresses": [address], "port": 80, "checks": [check] });
    let reply = server.http.put("/v1/services/web/instances/web-1", &body);
    let (status, _, field) = reply.problem();
    (status, field.map(str::to_owned))
}

#[test]
fn a_registration_cannot_point_a_check_elsewhere() {
    let server = Server::start("");
    let tcp = json!({ "kind": "tcp" });
    let to = |address: &str| json!({ "kind": "tcp", "address": address });

    let own = |address| refused(&server, address, &tcp);
    for address in ["100.100.100.200", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "192.0.0.192"] {
        assert_eq!(own(address), (400, Some("checks[0].address".into())), "{address}");
    }
    for address in ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"] {
        assert_eq!(own(address), (400, Some("addresses[0]".into())), "{address}");
        let other = refused(&server, "127.0.0.1", &to(address));
        assert_eq!(other.0, 400, "{address}");
    }
    for nonsense in
        ["localhost", "127.1", "0x7f000001", "2130706433", "127.0.0.1:80", "0.0.0.0", "::"]
    {
        let other = refused(&server, "127.0.0.1", &to(nonsense));
        assert_eq!(other, (400, Some("checks[0].address".into())), "{nonsense}");
    }
    for port in [json!(0), json!(65_536), json!(-1), json!("80 80"), json!("nope"), json!(8.5)] {
        let other = refused(&server, "127.0.0.1", &json!({ "kind": "tcp", "port": port }));
        assert_eq!(other, (400, Some("checks[0].port".into())), "{port}");
    }
    for address in ["127.0.0.2", "10.0.0.1", "fd00:ec2::254"] {
        let other = refused(&server, "127.0.0.1", &to(address));
        assert_eq!(other, (400, Some("checks[0].address".into())), "{address}");
    }
    let setting = server.http.put("/v1/services/web", &json!({ "checks": [to("10.0.0.1")] }));
    assert_eq!(setting.problem(), (400, "invalid", Some("checks[0].address")));
    server.http.set("web", &json!({ "checks": [tcp] }));
    let body = json!({ "addresses": ["100.100.100.200"], "port": 80 });
    let reply = server.http.put("/v1/services/web/instances/web-1", &body);
    assert_eq!(reply.problem(), (400, "invalid", Some("addresses")));
    let reply = server.http.put("/v1/services/api/instances/api-1", &body);
    assert_eq!(reply.status, 201, "without a check it is an address like others");
}

#[test]
fn a_registration_cannot_write_the_request() {
    let server = Server::start("");
    for (field, value) in [
        ("path", json!("/a HTTP/1.1\r\nx: y")),
        ("path", json!("http://10.0.0.1/")),
        ("host", json!("a\r\nx: y")),
        ("headers", json!({ "x": "a\r\ny: b" })),
        ("headers", json!({ "x\r\ny": "b" })),
        ("headers", json!({ "Content-Length": "7" })),
        ("headers", json!({ "host": "a" })),
        ("method", json!("DELETE")),
        ("method", json!("GET / HTTP/1.1\r\nx: y\r\n\r\n")),
        ("args", json!(["/bin/sh"])),
        ("interval", json!("10ms")),
        ("timeout", json!("1h")),
        ("timeout", json!("10s")),
    ] {
        let check = json!({ "kind": "http", field: value });

        let (status, at) = refused(&server, "127.0.0.1", &check);

        assert_eq!(status, 400, "{check}");
        assert!(at.as_ref().is_some_and(|at| at.starts_with("checks[0]")), "{check}: {at:?}");
    }
    assert_eq!(server.http.get("/v1/services/web").status, 404);
}

#[test]
fn the_operator_may_let_checks_go_elsewhere_and_stop_it() {
    let endpoint = Endpoint::replying("200 OK", "");
    let allowing = "[health]\nallow = [\"127.0.0.0/8\"]\n";
    let server = Server::start(allowing);
    let check = quick("http", json!({ "address": "127.0.0.1" }));
    let mut web = instance(endpoint.port(), json!([check]));
    web["addresses"] = json!(["127.0.0.9"]);
    server.http.register("web", "web-1", &web);
    until(&server, "passing");

    server.write_config("");
    assert_eq!(server.http.post("/v1/reload", None).status, 200);

    let output = until(&server, "critical");
    assert!(output.starts_with("not asked: 127.0.0.1 is neither of this instance"), "{output}");
    let asked = endpoint.connections();
    at(now() + 5 * MOMENT);
    assert_eq!(endpoint.connections(), asked);
}

#[test]
fn redirects_are_not_followed() {
    let secret = Endpoint::replying("200 OK", "secret");
    let to = format!("http://{}/secret", secret.address);
    let away = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let endpoint = Endpoint::start(Conduct::Say(away));
    let server = Server::start("");
    let checks = json!([
        quick("http", json!({})),
        quick("http", json!({ "name": "moved", "expect": ["300-399"] })),
    ]);
    server.http.register("web", "web-1", &instance(endpoint.port(), checks));

    eventually(SOON, "a redirect is a status like others", || {
        let states = states(&server, "web-1");
        let said = |i: usize, state: &str| states[i] == (state.to_owned(), "302 Found".to_owned());
        (said(0, "critical") && said(1, "passing")).then_some(())
    });

    assert_eq!(secret.connections(), 0);
}

#[test]
fn what_never_ends_is_ended() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
    let cases = [
        ("silent", Conduct::Hang(String::new())),
        ("half a head", Conduct::Hang("HTTP/1.1 200 OK\r\nx: y".into())),
        ("half a body", Conduct::Hang(format!("{head}abc"))),
        ("slow", Conduct::Drip("HTTP/1.1 200 OK\r\nx: abcdefgh\r\n".into())),
        ("late", Conduct::Late(reply("200 OK", ""), 5 * MOMENT)),
    ];
    let endpoints = cases.map(|(name, conduct)| (name, Endpoint::start(conduct)));
    let fine = Endpoint::replying("200 OK", "");
    let server = Server::start("[health]\nconcurrency = 8\n");
    for (i, (_, endpoint)) in endpoints.iter().enumerate() {
        let checks = json!([quick("http", json!({ "timeout": "300ms" }))]);
        server.http.register("web", &format!("bad-{i}"), &instance(endpoint.port(), checks));
    }
    let checks = json!([quick("http", json!({}))]);
    server.http.register("web", "web-1", &instance(fine.port(), checks));

    until(&server, "passing");
    for (i, (name, endpoint)) in endpoints.iter().enumerate() {
        let output = eventually(SOON, &format!("{name} is given up"), || {
            Some(states(&server, &format!("bad-{i}"))[0].1.clone()).filter(|said| !said.is_empty())
        });
        assert_eq!(output, "no answer within 300ms", "{name}");
        let path = format!("/v1/services/web/instances/bad-{i}");
        assert_eq!(server.http.delete(&path).status, 204);
        eventually(SOON, &format!("{name} is closed"), || {
            // A server that sleeps does not see that the other side is gone.
            (endpoint.open() == 0).then_some(())
        });
    }
}

#[test]
fn what_is_endless_is_not_read() {
    let chunk = "x".repeat(8_192);
    let flood = |text: String| Endpoint::start(Conduct::Flood(text));
    let endless_head = flood(format!("x: {chunk}\r\n"));
    let endless_body = Endpoint::start(Conduct::Say(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n{}",
        chunk.repeat(1_000)
    )));
    let late = format!("{}needle", chunk.repeat(20));
    let late = Endpoint::start(Conduct::Say(reply("200 OK", &late)));
    let garbage = flood("\0\u{7f}\r\n\r\n".into());
    let many = "x: y\r\n".repeat(101);
    let many = Endpoint::start(Conduct::Say(format!("HTTP/1.1 200 OK\r\n{many}\r\n")));
    let informed = flood("HTTP/1.1 100 Continue\r\n\r\n".into());
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = Endpoint::start(Conduct::Say(format!("{chunked}{}", "1\r\nx\r\n".repeat(90_000))));
    let trailers = Endpoint::start(Conduct::Say(format!(
        "{chunked}0\r\n{}",
        format!("x: {chunk}\r\n").repeat(1_000)
    )));
    let server = Server::start("");
    let needle = json!({ "contains": "needle" });
    for (id, endpoint, more) in [
        ("head", &endless_head, json!({})),
        ("body", &endless_body, json!({})),
        ("late", &late, needle),
        ("garbage", &garbage, json!({})),
        ("many", &many, json!({})),
        ("informed", &informed, json!({})),
        // So small that reading them is work.
        ("chunks", &chunks, json!({ "interval": "30s", "timeout": "20s" })),
        ("trailers", &trailers, json!({})),
    ] {
        let checks = json!([quick("http", more)]);
        server.http.register("web", id, &instance(endpoint.port(), checks));
    }

    let said = |id: &str| {
        eventually(SOON, &format!("{id} was asked"), || {
            Some(states(&server, id).remove(0)).filter(|(_, output)| !output.is_empty())
        })
    };
    for id in ["body", "chunks"] {
        // A state is told a moment after its output.
        eventually(2 * SOON, &format!("{id} passes"), || {
            (states(&server, id).remove(0) == ("passing".into(), "200 OK".into())).then_some(())
        });
    }
    let missing = "200 OK, but the body does not contain the text";
    assert_eq!(said("late"), ("critical".into(), missing.into()));
    for id in ["head", "garbage", "many", "informed", "trailers"] {
        let (state, output) = said(id);
        assert_eq!(state, "critical", "{id}: {output}");
        // Nothing of what was sent is shown to anybody.
        assert!(!output.contains("xxx") && output.is_ascii(), "{id}: {output}");
    }
}

#[test]
fn what_never_ends_over_http2_is_ended() {
    // Frames of the connection, each with its length, kind and flags: RFC 9113 section 4.1.
    let settings = "\0\0\0\u{4}\0\0\0\0\0";
    let ping = "\0\0\u{8}\u{6}\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let unknown = format!("\0\u{10}\0\u{70}\0\0\0\0\0{}", "x".repeat(4_096));
    let floods = [
        ("settings", settings.repeat(100)),
        ("pings", format!("{settings}{}", ping.repeat(100))),
        ("frames that nobody knows", format!("{settings}{unknown}")),
        ("no frames", "x".repeat(4_096)),
    ];
    let endpoints = floods.map(|(name, text)| (name, Endpoint::start(Conduct::Flood(text))));
    let fine = Endpoint::replying("200 OK", "");
    let server = Server::start("");
    for (i, (_, endpoint)) in endpoints.iter().enumerate() {
        let checks = json!([quick("grpc", json!({}))]);
        server.http.register("web", &format!("bad-{i}"), &instance(endpoint.port(), checks));
    }
    let checks = json!([quick("http", json!({ "timeout": "900ms" }))]);
    server.http.register("web", "web-1", &instance(fine.port(), checks));

    until(&server, "passing");
    for (i, (name, endpoint)) in endpoints.iter().enumerate() {
        let id = format!("bad-{i}");
        let output = eventually(SOON, &format!("{name} end"), || {
            Some(states(&server, &id).remove(0).1).filter(|output| !output.is_empty())
        });
        let ended = output.starts_with("no answer") || output.starts_with("no HTTP/2");
        assert!(ended && !output.contains("xxx"), "{name}: {output}");
        assert_eq!(server.http.delete(&format!("/v1/services/web/instances/{id}")).status, 204);
        eventually(SOON, &format!("{name} are closed"), || (endpoint.open() == 0).then_some(()));
    }
    assert_eq!(server.http.metric("signpost_panics_total", ""), Some(0.0));
}
