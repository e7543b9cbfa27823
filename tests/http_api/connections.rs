//! Sockets: large bodies, limits, slow clients, shutdown.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use signpost::http::bind;
use signpost::model::Limits;

use crate::support::{PATIENCE, PLAIN, Server, Setup, WEB_1};

/// Sends `size` bytes of body to the last, and only then reads.
fn send_all_then_read(server: &Server, path: &str, size: usize, chunked: bool) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let method = if path.starts_with("/v1/b") { "POST" } else { "PUT" };
    let length = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {size}")
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![b' '; 1 << 16];
    for _ in 0..size / piece.len() {
        if chunked {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
        }
        stream.write_all(&piece).unwrap();
        if chunked {
            stream.write_all(b"\r\n").unwrap();
        }
    }
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_body_that_is_too_large_is_told_so_and_the_client_can_read_it() {
    let server = Server::start();
    for (path, size, chunked) in [
        (WEB_1, 10 << 20, false),
        (WEB_1, 10 << 20, true),
        ("/v1/batch", 9 << 20, false),
        ("/nowhere", 10 << 20, false),
    ] {
        let text = send_all_then_read(&server, path, size, chunked);

        let expected = if path == "/nowhere" { "HTTP/1.1 404 " } else { "HTTP/1.1 413 " };
        assert!(text.starts_with(expected), "{path} {text}");
        assert!(text.contains("application/problem+json"), "{text}");
        assert!(
            text.contains(if path == "/nowhere" { "not-found" } else { "too-large" }),
            "{text}"
        );
    }
}

#[test]
fn a_client_that_asks_first_is_not_made_to_send() {
    let server = Server::start();
    let mut client = server.connect();
    client.write(&format!(
        "PUT {WEB_1} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: 10000000\r\nExpect: 100-continue\r\n\r\n"
    ));

    client.reply(false).assert_problem(413, "too-large", None);
}

#[test]
fn a_reply_to_a_body_that_is_not_read_says_that_the_connection_ends() {
    let server = Server::start();
    for (path, status) in [("/v1/services/-/instances/a", 400), ("/nowhere", 404)] {
        let mut client = server.connect();
        // The body comes too late to be looked at.
        client.write(&format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"));

        let reply = client.reply(false);

        assert_eq!(reply.status, status);
        assert_eq!(reply.headers["connection"], "close", "{reply:?}");
        assert!(client.closed());
    }
}

#[test]
fn bodies_up_to_the_limit_are_read_and_the_limit_is_live() {
    let server = Server::start();
    let padded = |size: usize| format!("{PLAIN}{}", " ".repeat(size - PLAIN.len()));

    assert_eq!(server.call("PUT", WEB_1, &padded(1 << 20)).status, 201);
    server.call("PUT", WEB_1, &padded((1 << 20) + 1)).assert_problem(413, "too-large", None);
    server.limits.store(std::sync::Arc::new(Limits { body: 100, ..Limits::default() }));
    assert_eq!(server.call("PUT", WEB_1, &padded(100)).status, 200);
    server.call("PUT", WEB_1, &padded(101)).assert_problem(413, "too-large", None);
}

#[test]
fn a_body_in_pieces_is_one_body() {
    let server = Server::start();
    let mut client = server.connect();
    client.write(&format!(
        "PUT {WEB_1} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    ));
    for byte in PLAIN.bytes() {
        client.write(&format!("1\r\n{}\r\n", char::from(byte)));
    }
    client.write("0\r\n\r\n");

    assert_eq!(client.reply(false).status, 201);
    // The connection goes on, also after a refusal.
    client.call("PUT", WEB_1, "{").assert_problem(400, "invalid", Some("body"));
    assert_eq!(client.call("PUT", WEB_1, PLAIN).status, 200);
}

#[test]
fn requests_may_be_sent_ahead() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..50 {
        client.send("PUT", WEB_1, PLAIN);
    }

    let statuses: Vec<_> = (0..50).map(|_| client.reply(false).status).collect();

    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 200));
}

#[test]
fn a_new_connection_takes_the_place_of_the_one_that_was_idle_longest() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() });
    let mut first = server.connect();
    let mut second = server.connect();
    assert_eq!(second.call("GET", "/healthz", "").status, 200);
    assert_eq!(first.call("GET", "/healthz", "").status, 200);

    let mut third = server.connect();

    assert_eq!(third.call("GET", "/healthz", "").status, 200);
    assert!(second.closed());
    assert_eq!(first.call("GET", "/healthz", "").status, 200);
}

#[test]
fn who_comes_while_all_others_are_answered_is_told_so() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() });
    let mut watchers = [server.connect(), server.connect()];
    for watcher in &mut watchers {
        watcher.send("GET", "/v1/watch", "");
        assert_eq!(watcher.head().0, 200);
    }

    let mut third = server.connect();
    let mut text = String::new();
    third.stream.read_to_string(&mut text).unwrap();

    assert!(text.starts_with("HTTP/1.1 429 "), "{text}");
    assert!(text.contains("urn:signpost:limit"), "{text}");
    drop(watchers);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = server.connect();
        let sent = client.stream.get_mut().write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut status = [0; 12];
        if sent.is_ok() && client.stream.read_exact(&mut status).is_ok() && &status[9..] == b"200" {
            break;
        }
        assert!(Instant::now() < deadline, "the place is never free again");
    }
}

#[test]
fn a_client_that_never_finishes_its_request_is_cut() {
    let server = Server::start();
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.write("GET /v1/services HTTP/1.1\r\nHost:");
    let started = Instant::now();

    assert!(slow.closed());
    assert!(silent.closed());

    let took = started.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(16)).contains(&took), "{took:?}");
}

#[test]
fn shutdown_finishes_what_is_in_flight_and_closes_the_rest() {
    let mut server = Server::start();
    let mut idle = server.connect();
    assert_eq!(idle.call("GET", "/healthz", "").status, 200);
    let mut busy = server.connect();
    let (head, tail) = PLAIN.split_at(10);
    busy.write(&format!(
        "PUT {WEB_1} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        PLAIN.len()
    ));
    // The server is reading the body when it says this.
    assert_eq!(busy.head().0, 100);
    busy.write(head);

    server.begin_stop();
    assert!(idle.closed());
    busy.write(tail);

    assert_eq!(busy.reply(false).status, 201);
    assert!(busy.closed());
    server.stop();
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn an_address_has_one_listener() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _in_runtime = runtime.enter();

    let error = bind(server.address).unwrap_err().to_string();

    let address = server.address;
    assert!(error.contains(&format!("cannot listen for HTTP on {address}")), "{error}");
    assert!(error.contains("another process"), "{error}");
    let elsewhere = bind("192.0.2.1:80".parse().unwrap()).unwrap_err().to_string();
    assert!(elsewhere.contains("192.0.2.1:80"), "{elsewhere}");
}
