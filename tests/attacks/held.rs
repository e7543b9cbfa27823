//! What clients make the server hold: connections that never end anything, and memory for what they send
//! by halves or do not take.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::WEB;
use crate::raw::{Raw, connect, rest, send};
use crate::support::http::Http;
use crate::support::http2::{begin, get, opening};
use crate::support::server::Server;
use crate::support::{SOON, eventually};

#[test]
fn requests_by_halves_keep_nobody_out() {
    let server = Server::start(&format!("{WEB}\n[limits]\nconnections = 20"));
    let halves = || {
        let mut stream = connect(server.http.address);
        let half = [opening(65_535), begin(1, "http", "/healthz")].concat();
        stream.write_all(&half).unwrap();
        // Behind a whole one the half one must not pass for one that is being answered.
        stream.write_all(&get(3, "http", "/healthz")).unwrap();
        assert!(crate::support::http2::next_is_ok(&mut stream));
        stream
    };

    let _crowd: Vec<TcpStream> = (0..40).map(|_| halves()).collect();

    assert_eq!(server.http.apart().get("/v1/services/web").status, 200);
    // By a connection of its own: an old one may have made room.
    server.http.apart().register("api", "a", &json!({ "addresses": ["10.0.0.2"] }));
}

/// A server whose service `large` is a reply of about 200 KiB, where 1 MiB may be on its way.
fn with_large_replies() -> Server {
    let server = Server::start(&format!("{WEB}\n[limits]\nin_flight = \"1MiB\""));
    let filler = |i| (format!("key-{i}"), Value::from("x".repeat(500)));
    let metadata: Value = (0..8).map(filler).collect();
    let register: Vec<Value> = (0..45)
        .map(|i| {
            let id = format!("i-{i}");
            json!({ "service": "large", "id": id, "addresses": ["10.0.0.1"], "ttl": null, "metadata": metadata })
        })
        .collect();
    let reply = server.http.post("/v1/batch", Some(&json!({ "register": register })));
    assert_eq!(reply.status, 200, "{reply:?}");
    server
}

fn refused(http: &Http) -> f64 {
    http.metric("signpost_limit_refusals_total", "limit=\"in_flight\"").unwrap()
}

const LARGE: &[u8] =
    b"GET /v1/services/large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn replies_that_nobody_takes_are_few_and_no_more_are_made() {
    let server = with_large_replies();
    let untaken = |streams: u32| {
        let mut stream = connect(server.http.address);
        let gets = (0..streams).flat_map(|i| get(2 * i + 1, "http", "/v1/services/large"));
        stream.write_all(&[opening(0), gets.collect()].concat()).unwrap();
        stream
    };

    // One connection has a share, and more than one reply of any size is over it.
    let one = untaken(20);
    eventually(SOON, "all but one are refused", || (refused(&server.http) == 19.0).then_some(()));
    assert_eq!(send(server.http.address, LARGE).status, 200);
    // Many have what there is, but for what is small.
    let many: Vec<TcpStream> = (0..10).map(|_| untaken(1)).collect();
    let full = eventually(SOON, "there is no room", || {
        let reply = send(server.http.address, LARGE);
        (reply.status == 503).then_some(reply)
    });
    assert_eq!(full.problem(), (503, "unavailable".to_owned(), None));
    assert_eq!(full.header("retry-after"), Some("1"));
    server.assert_well("beside untaken replies");
    // Nothing is left of those that go.
    drop((one, many));
    eventually(SOON, "there is room again", || {
        (send(server.http.address, LARGE).status == 200).then_some(())
    });
}

#[test]
fn bodies_by_halves_are_few() {
    let server = with_large_replies();
    let length = 300_000;
    let half = |missing: usize| {
        let mut stream = connect(server.http.address);
        let head = format!(
            "POST /v1/heartbeats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        let body = [b"[]".to_vec(), vec![b' '; length - 2 - missing]].concat();
        // Who is refused may be cut off before all is sent.
        drop(stream.write_all(&[head.into_bytes(), body].concat()));
        stream
    };

    let mut halves = Vec::new();
    let reply = eventually(SOON, "there is no room", || {
        halves.push(half(1));
        let reply = Raw::parse(&rest(&mut half(0)));
        (reply.status == 503).then_some(reply)
    });

    assert_eq!(reply.problem(), (503, "unavailable".to_owned(), None));
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(refused(&server.http) >= 1.0);
    server.assert_well("beside half bodies");
    drop(halves);
    eventually(SOON, "there is room again", || {
        (Raw::parse(&rest(&mut half(0))).status == 200).then_some(())
    });
}
