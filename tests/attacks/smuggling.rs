//! Requests whose end two servers could see in different places, and others that no client sends: one
//! reply at most, and nothing behind it is taken for a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::WEB;
use crate::raw::{Raw, connect, rest, send};
use crate::support::server::{Guarded, Server, free_addresses};
use crate::support::{SOON, eventually, needs};

/// What would be run if it were taken for a request of its own.
const HIDDEN: &str = "PUT /v1/services/hidden/instances/a HTTP/1.1\r\nHost: localhost\r\n\
    Connection: close\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n\
    {\"addresses\":[\"10.6.6.6\"]}";

const BODY: &str = "{\"addresses\":[\"10.0.0.1\"]}";

/// Sends a registration with these headers and this body, and the hidden one behind it. The replies.
fn replies(server: &Server, headers: &str, body: &str) -> (usize, Raw) {
    let mut stream = connect(server.http.address);
    let head = "PUT /v1/services/api/instances/a HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\n";
    let request = format!("{head}{headers}\r\n{body}{HIDDEN}");
    // What is refused may be cut off before it is sent to the end.
    drop(stream.write_all(request.as_bytes()));
    let said = rest(&mut stream);
    let count = said.windows(9).filter(|part| part == b"HTTP/1.1 ").count();
    (count, Raw::parse(&said))
}

#[test]
fn a_body_whose_end_is_unclear_is_refused_and_nothing_follows_it() {
    let server = Server::start(&format!("{WEB}\n[limits]\nrequest_time = \"1s\""));
    let sized = BODY.len();
    let chunked = format!("{sized:x}\r\n{BODY}\r\n0\r\n\r\n");

    for (headers, body) in [
        ("Content-Length: 5\r\nContent-Length: 26\r\n", BODY),
        ("Content-Length: 26, 26\r\n", BODY),
        ("Content-Length: +26\r\n", BODY),
        ("Content-Length: -26\r\n", BODY),
        ("Content-Length: 0x1a\r\n", BODY),
        ("Content-Length: 2 6\r\n", BODY),
        ("Content-Length:\r\n", BODY),
        ("Content-Length: 26\r\n\tContent-Length: 0\r\n", BODY),
        ("Content-Length : 26\r\n", BODY),
        ("Content-Length: 26\0\r\n", BODY),
        ("Content-Length: 18446744073709551615\r\n", BODY),
        ("Content-Length: 18446744073709551616\r\n", BODY),
        ("Content-Length: 99999999999999999999999999\r\n", BODY),
        ("Transfer-Encoding: xchunked\r\n", &chunked),
        ("Transfer-Encoding: identity\r\n", &chunked),
        ("Transfer-Encoding: chunked, chunked\r\n", &chunked),
        ("Transfer-Encoding: gzip, chunked\r\n", &chunked),
        ("Transfer-Encoding: chunked, gzip\r\n", &chunked),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &chunked),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", &chunked),
        ("Transfer-Encoding: \x0bchunked\r\n", &chunked),
        ("Transfer-Encoding:\r\n chunked\r\n", &chunked),
        ("Transfer-Encoding\t: chunked\r\n", &chunked),
        ("Transfer-Encoding: chunked\rX: y\r\n", &chunked),
        ("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0x1a\r\n{}\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "10000000000000001\r\nx\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\nx\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "2\n{}\n0\n\n"),
        ("Transfer-Encoding: chunked\r\n", "2\r\n{}xx0\r\n\r\n"),
        (
            "Transfer-Encoding: chunked\r\n",
            &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "e".repeat(20_000)),
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            &format!("2\r\n{{}}\r\n0\r\n{}\r\n", "A: b\r\n".repeat(5_000)),
        ),
        ("A: b\r\n c\r\nContent-Length: 26\r\n", BODY),
        ("A(: b\r\nContent-Length: 26\r\n", BODY),
    ] {
        let (count, reply) = replies(&server, headers, body);

        assert_eq!(count, 1, "{headers:?} {reply:?}");
        // The last is a chunk whose end is not there yet.
        let status = match (headers, body) {
            (headers, _) if headers.contains("551615") => 431,
            (_, body) if body.starts_with("ffff") => 408,
            _ => 400,
        };
        assert_eq!(reply.status, status, "{headers:?} {reply:?}");
    }
    assert_eq!(server.http.get("/v1/services/api").status, 404, "nothing of it was registered");
    assert_eq!(server.http.get("/v1/services/hidden").status, 404);
    server.assert_well("after unclear bodies");
}

#[test]
fn of_two_lengths_the_chunks_count_and_the_connection_ends() {
    let server = Server::start(WEB);
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let hidden = HIDDEN.len() + 5;

    // RFC 9112 section 6.3: the chunks are what counts, and the connection must end.
    for (headers, body, status) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", chunked.as_str(), 201),
        ("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", &chunked, 200),
        (&format!("Content-Length: {hidden}\r\nTransfer-Encoding: chunked\r\n"), "0\r\n\r\n", 400),
        (&format!("Transfer-Encoding: chunked\r\nContent-Length: {hidden}\r\n"), "0\r\n\r\n", 400),
    ] {
        let (count, reply) = replies(&server, headers, body);

        assert_eq!((count, reply.status), (1, status), "{headers:?} {reply:?}");
    }
    assert_eq!(server.http.get("/v1/services/hidden").status, 404);
}

/// A front that passes what comes to it on to the side-port, over connections that it keeps.
fn behind(front: &str, server: &Server) -> Option<(Guarded, SocketAddr)> {
    let (to, folder) = (server.http.address, server.folder().to_path_buf());
    let (at, _) = free_addresses();
    let (file, command) = match front {
        "haproxy" => {
            let config = format!(
                "defaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 5s\n\
                 frontend f\n bind {at}\n default_backend b\n\
                 backend b\n http-reuse always\n server s {to}\n"
            );
            (config, vec!["haproxy", "-db", "-f"])
        }
        _ => {
            let config = format!(
                "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n\
                 events {{ }}\nhttp {{ access_log off; client_body_temp_path {folder}/body;\n\
                 proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;\n\
                 uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
                 upstream u {{ server {to}; keepalive 4; }}\n\
                 server {{ listen {at}; location / {{ proxy_pass http://u; proxy_http_version 1.1;\n\
                 proxy_set_header Connection ''; proxy_set_header Host localhost; }} }} }}\n",
                folder = folder.display(),
            );
            (config, vec!["nginx", "-e", "stderr", "-c"])
        }
    };
    let path = std::env::var("PATH").unwrap_or_default();
    if !needs::works(&[command[0], "-v"]) {
        return None;
    }
    let config = folder.join("front.conf");
    std::fs::write(&config, file).unwrap();
    let mut child = Command::new(command[0]);
    child.env("PATH", format!("{path}:/usr/sbin:/sbin")).args(&command[1..]).arg(&config);
    let child = Guarded(child.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    eventually(SOON, "the front listens", || TcpStream::connect(at).ok());
    Some((child, at))
}

#[test]
fn nothing_is_hidden_behind_a_front_that_keeps_its_connections() {
    for front in ["haproxy", "nginx"] {
        let server = Server::start(WEB);
        let Some((_front, at)) = behind(front, &server) else { continue };
        let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
        let length = HIDDEN.len() + 5;
        for (headers, body) in [
            ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n".to_owned(), chunked.clone()),
            (
                format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
                format!("0\r\n\r\n{HIDDEN}"),
            ),
            (
                format!("Content-Length: {length}\r\nTransfer-Encoding:\tchunked\r\n"),
                format!("0\r\n\r\n{HIDDEN}"),
            ),
            (
                format!("Content-Length: {length}\r\nTransfer-Encoding: chunked, identity\r\n"),
                format!("0\r\n\r\n{HIDDEN}"),
            ),
            (
                format!("Content-Length: 0\r\nContent-Length: {}\r\n", HIDDEN.len()),
                HIDDEN.to_owned(),
            ),
            (
                "Transfer-Encoding: chunked\r\n".to_owned(),
                format!("2;a=\"\n\"\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
            ),
        ] {
            let mut stream = connect(at);
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let head = "PUT /v1/services/api/instances/a HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\n";
            drop(stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()));
            let mut first = [0; 12];
            // Either of the two may refuse it, or cut it off; what matters is what is run.
            drop(stream.read(&mut first));
            let next =
                "GET /v1/services/web HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            let reply = send(at, next.as_bytes());
            assert_eq!(reply.status, 200, "{front} {headers:?}: who comes next gets an own reply");
            assert!(reply.body().contains("\"web-1\""), "{front} {headers:?} {reply:?}");
        }
        server.assert_well(front);
    }
}
