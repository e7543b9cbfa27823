//! HTTP/2 frames that no client sends: floods of headers and resets cost their sender a connection, and
//! the server neither memory nor anybody else's service.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::WEB;
use crate::raw::connect;
use crate::resident;
use crate::support::http2::{get, opening, reset};
use crate::support::server::Server;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Sends until the server cuts the connection or `most` bytes are sent; how many were.
fn flood(stream: &mut TcpStream, piece: &[u8], most: usize) -> usize {
    stream.set_nonblocking(true).unwrap();
    let (mut sent, mut scrap) = (0, vec![0; 64 * 1024]);
    while sent < most {
        match stream.read(&mut scrap) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        match stream.write(piece) {
            // A frame that is cut in two ends the flood as well: the rest is none.
            Ok(written) => sent += written,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
            }
            Err(_) => break,
        }
    }
    sent
}

/// A header that is in no table: its name and value as they are.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127);
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.bytes());
    }
    block
}

#[test]
fn floods_of_frames_end_their_own_connection() {
    let server = Server::start(WEB);
    let start = || {
        let mut stream = connect(server.http.address);
        stream.write_all(&opening(65_535)).unwrap();
        stream
    };
    let before = resident(&server);
    let most = 64 << 20;
    let block: Vec<u8> =
        (0..200).flat_map(|i| literal(&format!("a{i}"), &"v".repeat(60))).collect();

    // A head that never ends (CVE-2024-27316), of large and of empty frames.
    for payload in [&block[..], &[]] {
        let mut stream = start();
        stream.write_all(&frame(1, 1, 1, &block)).unwrap();
        let sent = flood(&mut stream, &frame(9, 0, 1, payload).repeat(16), most);
        assert!(sent < most, "it ends after {sent} bytes");
    }
    // Requests that are given up at once (CVE-2023-44487): many, and none is left.
    let mut stream = start();
    let resets: Vec<u8> = (0..50_000)
        .flat_map(|i| [get(2 * i + 1, "http", "/v1/services"), reset(2 * i + 1)].concat())
        .collect();
    stream.set_nonblocking(false).unwrap();
    drop(stream.write_all(&resets));
    // Settings, pings and empty data that ask for replies which nobody reads.
    for piece in
        [frame(4, 0, 0, &[]), frame(6, 0, 0, &[0; 8]), frame(8, 0, 0, &1_u32.to_be_bytes())]
    {
        let mut stream = connect(server.http.address);
        stream.write_all(&opening(0)).unwrap();
        stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        for _ in 0..200 {
            if stream.write_all(&piece.repeat(500)).is_err() {
                break;
            }
        }
    }
    // A head that unpacks to much more than it has (a bomb): one entry, referred to again and again.
    let mut stream = start();
    let entry = [&[0x40][..], &literal("bomb", &"v".repeat(126))[1..]].concat();
    let bomb = [entry, vec![0xbe; 16_000]].concat();
    stream.write_all(&frame(1, 5, 1, &bomb)).unwrap();
    let mut scrap = [0; 9];
    stream.read_exact(&mut scrap).unwrap();

    server.assert_well("after floods over HTTP/2");
    let after = resident(&server);
    assert!(after < before + 32 * 1024, "{before} KiB were resident, then {after} KiB");
}

#[test]
fn a_large_head_over_http2_is_told_so() {
    let server = Server::start(&format!("{WEB}\n[limits]\nheaders = \"1KiB\""));
    let mut stream = connect(server.http.address);
    stream.write_all(&opening(65_535)).unwrap();
    let mut block: Vec<u8> = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/v1/services"),
        (":authority", "localhost"),
    ]
    .into_iter()
    .flat_map(|(name, value)| literal(name, value))
    .collect();
    block.extend((0..20).flat_map(|i| literal(&format!("a{i}"), &"v".repeat(60))));
    stream.write_all(&frame(1, 5, 1, &block)).unwrap();

    // HEADERS, whose first field is the status, then DATA with the problem.
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&said).contains("urn:signpost:too-large") {
        let read = stream.read(&mut piece).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..read]);
    }
    assert!(String::from_utf8_lossy(&said).contains("\"status\":431"));
}
