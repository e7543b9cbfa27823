//! Each of `[limits]` that concerns requests: its status, what it says, and its counter.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::json;

use crate::WEB;
use crate::raw::{Raw, connect, dribble, rest, send};
use crate::support::authenticated::Authenticated;
use crate::support::http::Http;
use crate::support::needs;
use crate::support::server::Server;
use crate::support::{SOON, eventually};

/// How often something was refused for this limit.
fn refused(http: &Http, limit: &str) -> f64 {
    http.metric("signpost_limit_refusals_total", &format!("limit=\"{limit}\"")).unwrap()
}

fn limit(status: u16, kind: &str, field: Option<&str>) -> (u16, String, Option<String>) {
    (status, kind.to_owned(), field.map(str::to_owned))
}

#[test]
fn a_head_that_is_too_large_is_told_so() {
    let server = Server::start(&format!("{WEB}\n[limits]\nheaders = \"4KiB\""));
    let to = server.http.address;
    let head = |filler: &str| {
        format!("GET /v1/services HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{filler}\r\n")
    };
    let of = |size: usize| head(&format!("A: {}\r\n", "x".repeat(size)));

    assert_eq!(send(to, of(3_900).as_bytes()).status, 200);
    assert_eq!(send(to, head(&"A: bcdefgh\r\n".repeat(90)).as_bytes()).status, 200);
    let target = format!("/v1/services?a={}", "a".repeat(9_000));
    let long = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    for request in [of(4_096), of(60_000), long] {
        let reply = send(to, request.as_bytes());
        assert_eq!(reply.problem(), limit(431, "too-large", None), "{}", request.len());
    }
    // More than is read of a head at all, in bytes and in number: without a problem, but told.
    for request in [of(70_000), of(10 << 20), head(&"A: b\r\n".repeat(101))] {
        let reply = send(to, request.as_bytes());
        assert_eq!(reply.status, 431, "{} {reply:?}", request.len());
    }
    assert_eq!(refused(&server.http, "headers"), 6.0);
    server.assert_well("after large heads");
}

#[test]
fn metadata_over_its_limit_is_refused_by_field_and_not_for_now() {
    let server = Server::start("[limits]\nmetadata = \"1KiB\"");
    let body = json!({ "addresses": ["10.0.0.1"], "metadata": { "a": "x".repeat(512), "b": "x".repeat(512) } });
    let body = body.to_string();
    let request = format!(
        "PUT /v1/services/web/instances/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );

    let reply = send(server.http.address, request.as_bytes());

    assert_eq!(reply.problem(), limit(400, "limit", Some("metadata")));
    assert_eq!(reply.header("retry-after"), None, "no other time will do");
    assert_eq!(refused(&server.http, "metadata"), 1.0);
}

/// An address of this machine that is not loopback; `None`, and said, without any.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the system only says from where it would be.
    let address = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    match address.map(|address| address.ip()) {
        Ok(IpAddr::V4(own)) if !own.is_loopback() => Some(own),
        _ => {
            needs::skipped("this machine has no address but loopback");
            None
        }
    }
}

#[test]
fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let Some(own) = own_address() else { return };
    let config =
        "[limits]\nrequests_per_address = 20\n[http]\nallow_insecure = true\nhosts = [\"x\"]";
    let server = Server::builder(config).http_everywhere().start();
    let to = SocketAddr::from((own, server.http.address.port()));
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        send(to, request.as_bytes())
    };

    let replies: Vec<Raw> = (0..200).map(|_| get("/v1/services")).collect();

    let served = replies.iter().filter(|reply| reply.status == 200).count();
    assert!((20..200).contains(&served), "{served}");
    let over = replies.iter().find(|reply| reply.status != 200).unwrap();
    assert_eq!(over.problem(), limit(429, "limit", None));
    assert_eq!(over.header("retry-after"), Some("1"));
    // What is over it is told before its body is there.
    eventually(SOON, "a request without its body is over the limit", || {
        while get("/nowhere").status != 429 {}
        let mut stream = connect(to);
        let head =
            "PUT /v1/services/web/instances/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        (Raw::parse(&rest(&mut stream)).status == 429).then_some(())
    });
    // Probes are not counted, and neither is this machine.
    assert!((0..100).all(|_| get("/healthz").status == 200 && get("/readyz").status == 200));
    assert!((0..100).all(|_| server.http.get("/v1/services").status == 200));
    assert!(refused(&server.http, "requests_per_address") > 0.0);
}

#[test]
fn an_identity_that_asks_too_often_is_told_wherever_it_is() {
    let Authenticated { server, admin: root, .. } =
        Authenticated::start("limits.requests_per_identity = 10");

    let statuses: Vec<u16> = (0..100).map(|_| root.get("/v1/services").status).collect();

    assert!(statuses[..10].iter().all(|status| *status == 200), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!((0..100).all(|_| server.http.get("/v1/services").status == 200), "who is nobody");
    assert!(refused(&server.http, "requests_per_identity") > 0.0);
}

#[test]
fn a_body_that_dribbles_is_ended_in_time() {
    let server = Server::start(&format!("{WEB}\n[limits]\nrequest_time = \"1s\""));
    let (sized, chunked) = ("Content-Length: 1000", "Transfer-Encoding: chunked");
    for (call, framing, piece) in [
        ("PUT /v1/services/web/instances/a", sized, " "),
        ("PUT /v1/services/web/instances/a", chunked, "1\r\n \r\n"),
        ("POST /v1/batch", chunked, "1\r\n \r\n"),
        // A chunk that never ends, of which nothing is data.
        ("GET /v1/services", chunked, "0"),
    ] {
        let mut stream = connect(server.http.address);
        let head = format!(
            "{call} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();

        let reply = dribble(&mut stream, piece.as_bytes(), Duration::from_millis(50));

        assert_eq!(reply.problem(), limit(408, "limit", None), "{call} {framing}");
        assert_eq!(reply.header("connection"), Some("close"));
    }
    assert_eq!(refused(&server.http, "request_time"), 4.0);
    server.assert_well("after slow bodies");
}

#[test]
fn too_many_watchers_are_told_when_to_come_back() {
    let server = Server::start("[limits]\nwatchers = 1");
    let mut first = connect(server.http.address);
    let request = b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    first.write_all(request).unwrap();
    let mut head = [0; 12];
    std::io::Read::read_exact(&mut first, &mut head).unwrap();

    let second = send(server.http.address, request);

    assert_eq!(second.problem(), limit(429, "limit", None));
    assert_eq!(second.header("retry-after"), Some("10"));
    assert_eq!(refused(&server.http, "watchers"), 1.0);
}
