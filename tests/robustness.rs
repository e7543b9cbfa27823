//! Requests and packets that no honest client sends: refused or ignored, and service goes on.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::json;

use support::dns::{Query, receive, send};
use support::message::Message;
use support::server::{MOMENT, Server};
use support::{SOON, eventually};

const WEB: &str =
    "[[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80\n";

/// Asserts that a server still does what it is for, and that nothing panicked.
fn assert_well(server: &Server, what: &str) {
    assert_eq!(server.dns.ask("web.service.local", "A").only(), "10.0.0.1", "{what}");
    let tcp = server.dns.tcp(&Query::new("web.service.local", "A"));
    assert_eq!(tcp.only(), "10.0.0.1", "{what}");
    let body = json!({ "addresses": ["10.0.0.2"], "ttl": null });
    server.http.register("api", "a", &body);
    assert_eq!(server.http.delete("/v1/services/api/instances/a").status, 204, "{what}");
    assert_eq!(server.http.metric("signpost_panics_total", ""), Some(0.0), "{what}");
    assert!(!server.log().contains("panicked"), "{what}: {}", server.log());
}

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
    assert_well(&server, "after bad bodies");
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
    let raw = http.raw(b"POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(
        raw.starts_with("HTTP/1.1 405 ") && raw.to_lowercase().contains("\r\nallow: get"),
        "{raw}"
    );
    assert_well(&server, "after bad calls");
}

#[test]
fn malformed_http_is_refused_or_cut() {
    let server = Server::start(WEB);
    let head = "PUT /v1/services/web/instances/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
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
        b"GET / HTTP/1.1\r\nHost: x\r\nHost : y\r\n\r\n".to_vec(),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes(),
        format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}{long}{long}{long}{long}\r\n\r\n")
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
    assert_well(&server, "after malformed HTTP");
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
    assert_well(&server, "after large bodies");
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

/// A header with this second word, and counts; then the rest.
fn packet(bits: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let words = [&[0x1234, bits], &counts[..]].concat();
    let mut packet: Vec<u8> = words.into_iter().flat_map(u16::to_be_bytes).collect();
    packet.extend(rest);
    packet
}

const QUESTION: &[u8] = b"\x03web\x07service\x05local\x00\x00\x01\x00\x01";

/// The code of the reply, or none where there is silence; asserted for UDP and TCP.
fn told(server: &Server, packet: &[u8]) -> Option<u8> {
    let udp = server.dns.exchange(packet, MOMENT);
    let mut connection = server.dns.connect();
    connection.set_read_timeout(Some(MOMENT)).unwrap();
    send(&mut connection, packet);
    let tcp = receive(&mut connection);
    let code = |reply: Option<Vec<u8>>| {
        reply.map(|reply| {
            assert_eq!((&reply[..2], reply[2] >> 7), (&packet[..2], 1), "id and QR: {reply:?}");
            reply[3] & 15
        })
    };
    let (udp, tcp) = (code(udp), code(tcp));
    assert_eq!(udp, tcp, "the same over UDP and TCP: {packet:?}");
    udp
}

#[test]
fn each_malformed_query_gets_its_code_or_silence() {
    let server = Server::start(WEB);
    let opt = |rest: &[u8]| [QUESTION, b"\x00\x00\x29\x10\x00", rest].concat();
    let one = [1, 0, 0, 0];
    let with_opt = [1, 0, 0, 1];
    let (noerror, formerr, notimp, badvers) = (Some(0), Some(1), Some(4), Some(0));

    for (what, packet, expected) in [
        ("a query", packet(0, one, QUESTION), noerror),
        ("flags of a reply in a query", packet(0x07f0, one, QUESTION), noerror),
        ("a reply", packet(0x8000, one, QUESTION), None),
        ("a malformed reply", packet(0x8000, [9, 9, 9, 9], b"\xff"), None),
        ("no question", packet(0, [0; 4], b""), formerr),
        ("two questions", packet(0, [2, 0, 0, 0], &[QUESTION, QUESTION].concat()), formerr),
        ("a question that is not there", packet(0, one, b""), formerr),
        ("half a question", packet(0, one, &QUESTION[..7]), formerr),
        ("a pointer to itself", packet(0, one, b"\xc0\x0c\x00\x01\x00\x01"), formerr),
        ("a pointer ahead", packet(0, one, b"\xc0\x20\x00\x01\x00\x01"), formerr),
        ("a label of a kind that is not", packet(0, one, b"\x40web\x00\x00\x01\x00\x01"), formerr),
        ("IQUERY", packet(0x0800, one, QUESTION), notimp),
        ("STATUS", packet(0x1000, one, QUESTION), notimp),
        ("UPDATE", packet(0x2800, one, QUESTION), notimp),
        ("opcode 15 and nothing else", packet(0x7800, [0; 4], b""), notimp),
        ("EDNS", packet(0, with_opt, &opt(b"\x00\x00\x00\x00\x00\x00")), noerror),
        ("EDNS version 1", packet(0, with_opt, &opt(b"\x00\x01\x00\x00\x00\x00")), badvers),
        (
            "an unknown option",
            packet(0, with_opt, &opt(b"\0\0\0\0\0\x06\xff\x00\x00\x02ab")),
            noerror,
        ),
        (
            "an option that overruns",
            packet(0, with_opt, &opt(b"\0\0\0\0\0\x04\x00\x08\x00\x09")),
            formerr,
        ),
        (
            "two OPT",
            packet(
                0,
                [1, 0, 0, 2],
                &[&opt(b"\0\0\0\0\0\0")[..], b"\0\0\x29\x10\0\0\0\0\0\0\0"].concat(),
            ),
            formerr,
        ),
        (
            "OPT of another name",
            packet(0, with_opt, &[QUESTION, b"\x01a\x00\x00\x29\x10\x00\0\0\0\0\0\0"].concat()),
            formerr,
        ),
        ("trailing bytes", packet(0, one, &[QUESTION, &[0; 40]].concat()), noerror),
    ] {
        assert_eq!(told(&server, &packet), expected, "{what}");
    }
    let version = packet(0, with_opt, &opt(b"\x00\x01\x00\x00\x00\x00"));
    let reply = Message::parse(&server.dns.exchange(&version, SOON).unwrap());
    assert_eq!((reply.rcode.as_str(), reply.answers.len()), ("BADVERS", 0));
    for length in 0..12 {
        let short = packet(0, one, b"");
        assert_eq!(server.dns.exchange(&short[..length], Duration::from_millis(20)), None);
    }
    assert_well(&server, "after malformed queries");
}

/// A packet of one of four kinds: noise, a query cut short, a query with bytes changed, a query with
/// counts that lie.
fn hostile(rng: &mut StdRng, i: usize) -> Vec<u8> {
    let types = ["A", "AAAA", "SRV", "TXT", "SOA", "ANY", "AXFR", "TYPE65535"];
    let query = Query::new("_http._tcp.web.service.local", types[i % types.len()]);
    let query = query.subnet("10.1.2.0", 24).packet(rng.random());
    match i % 4 {
        0 => {
            let mut noise = vec![0; rng.random_range(0..600)];
            rng.fill_bytes(&mut noise);
            noise
        }
        1 => query[..rng.random_range(0..query.len())].to_vec(),
        2 => {
            let mut query = query;
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(2..query.len());
                query[at] = rng.random();
            }
            query
        }
        _ => {
            let mut query = query;
            rng.fill_bytes(&mut query[4..12]);
            query
        }
    }
}

#[test]
fn two_hundred_hostile_packets_hurt_nobody() {
    let server = Server::start(WEB);
    let mut rng = StdRng::seed_from_u64(20);
    let socket = server.dns.socket();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();

    for i in 0..200 {
        let packet = hostile(&mut rng, i);
        socket.send(&packet).unwrap();
        let mut reply = [0; 65_535];
        if let Ok(length) = socket.recv(&mut reply) {
            assert!(length >= 12 && reply[2] & 0x80 != 0, "a reply is a reply: {packet:?}");
        }
        let mut connection = server.dns.connect();
        match i % 3 {
            // As a message; as bytes whose first two are some length; cut in its middle.
            0 => send(&mut connection, &packet),
            1 => connection.write_all(&packet).unwrap(),
            _ => connection.write_all(&[&[0xff, 0xff], &packet[..]].concat()).unwrap(),
        }
        if i % 20 == 19 {
            assert_eq!(server.dns.ask("web.service.local", "A").only(), "10.0.0.1", "after {i}");
        }
    }
    assert_well(&server, "after hostile packets");
}

#[test]
fn tcp_takes_many_queries_at_once_and_in_pieces() {
    let server = Server::start(WEB);
    let query = Query::new("web.service.local", "A");
    let mut connection = server.dns.connect();
    let mut stream = Vec::new();
    for id in 0..50 {
        let packet = query.packet(id);
        stream.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
        stream.extend(packet);
    }

    connection.write_all(&stream).unwrap();
    let mut ids: Vec<u16> = (0..50)
        .map(|_| {
            let reply = receive(&mut connection).unwrap();
            assert_eq!(Message::parse(&reply).only(), "10.0.0.1");
            u16::from_be_bytes([reply[0], reply[1]])
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());

    connection.set_nodelay(true).unwrap();
    for byte in &stream[..stream.len() / 50] {
        connection.write_all(&[*byte]).unwrap();
    }
    assert!(receive(&mut connection).is_some());
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

    assert_well(&server, "beside idle connections");
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
                .write_all(b"PUT /v1/services/web/instances/x HTTP/1.1\r\nHost: x\r\nContent-Le")
                .unwrap();
            stream
        })
        .collect();

    assert_well(&server, "beside slow clients");

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
