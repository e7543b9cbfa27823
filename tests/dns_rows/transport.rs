//! Rows 65-77: transports.
//!
//! | row | why it has no test here |
//! |---|---|
//! | 70 an idle connection is closed | it takes that long: `src/dns/tcp.rs`, in virtual time |
//! | 71 half a message has a deadline | the same |
//! | 72 the longest idle is evicted | `src/dns/tcp.rs`; that others get in: `tests/robustness.rs` |
//! | 74 a reply leaves from the address asked | `tests/source_address.rs` |
//! | 75, 76 other people's clients, GET, HTTP/2 | `tests/encrypted/` |
//! | 77 DNS over QUIC | `tests/quic.rs`, `src/dns/quic` |

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::row::{lines, rows};
use crate::served::{ONE, Served, server};
use crate::support::outcome::receive;
use crate::support::packet::ask;
use crate::via::{Via, next_id, post};

rows! {
    row_65_tcp_is_served_on_the_same_port: [
        ask("one.service.local", "A").gets_over(Via::DATAGRAM, ONE).over(Via::CONNECTED, ONE),
    ];
}

/// A query behind its length.
fn frame(id: u16) -> Vec<u8> {
    let message = ask("one.service.local", "A").bytes(id);
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), &message[..]].concat()
}

fn connect(server: &Served) -> TcpStream {
    let connection = server.dns.connect();
    connection.set_nodelay(true).unwrap();
    connection
}

#[test]
fn row_66_queries_in_one_segment_are_all_answered() {
    let server = server();
    let mut connection = connect(&server);
    let ids: Vec<u16> = (0..50).map(|_| next_id()).collect();

    let all: Vec<u8> = ids.iter().flat_map(|id| frame(*id)).collect();
    connection.write_all(&all).unwrap();

    let mut answered: Vec<u16> = ids
        .iter()
        .map(|_| {
            let reply = receive(&mut connection).unwrap();
            assert_eq!(lines(&reply), ONE);
            u16::from_be_bytes([reply[0], reply[1]])
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, ids);
}

#[test]
fn row_67_a_query_may_come_byte_by_byte() {
    let server = server();
    let mut connection = connect(&server);

    for byte in frame(next_id()) {
        connection.write_all(&[byte]).unwrap();
    }

    assert_eq!(lines(&receive(&mut connection).unwrap()), ONE);
}

#[test]
fn row_68_a_frame_too_short_for_a_message_closes_the_connection() {
    let server = server();
    for short in [&[0, 0][..], &[0, 2, 1, 2], &[0, 11, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]] {
        let mut connection = connect(&server);

        connection.write_all(short).unwrap();

        assert_eq!(receive(&mut connection), None, "{short:?}");
    }
    // What came before it is answered.
    let mut connection = connect(&server);
    connection.write_all(&[&frame(next_id())[..], &[0, 0]].concat()).unwrap();
    assert_eq!(lines(&receive(&mut connection).unwrap()), ONE);
    assert_eq!(receive(&mut connection), None);
}

#[test]
fn row_69_a_half_closed_connection_is_answered() {
    let server = server();
    let mut connection = connect(&server);

    connection.write_all(&frame(next_id())).unwrap();
    connection.shutdown(Shutdown::Write).unwrap();

    assert_eq!(lines(&receive(&mut connection).unwrap()), ONE);
    assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0, "then the server closes too");
}

#[test]
fn row_73_replies_on_a_connection_may_be_told_apart_by_id() {
    let server = server();
    let mut connection = connect(&server);
    let names = ["two", "one", "my_app", "nobody"];
    let queries: Vec<(u16, Vec<u8>)> = names
        .iter()
        .map(|name| {
            let id = next_id();
            (id, ask(&format!("{name}.service.local"), "A").bytes(id))
        })
        .collect();
    for (_, message) in &queries {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        connection.write_all(&[&length, &message[..]].concat()).unwrap();
    }

    for _ in &queries {
        let reply = receive(&mut connection).unwrap();
        let query = queries.iter().find(|(id, _)| id.to_be_bytes() == reply[..2]).unwrap();
        let question = &query.1[12..];
        assert_eq!(&reply[12..12 + question.len()], question, "each id has its own question");
    }
}

#[test]
fn row_75_tls_takes_queries_as_tcp_does() {
    let server = server();
    // The certificate is verified, and the protocol `dot` agreed on, or there is no connection.
    let mut connection = server.connect(server.tls, b"dot");
    let ids: Vec<u16> = (0..20).map(|_| next_id()).collect();

    let all: Vec<u8> = ids.iter().flat_map(|id| frame(*id)).collect();
    let (some, rest) = all.split_at(all.len() / 3);
    connection.write_all(some).unwrap();
    connection.flush().unwrap();
    connection.write_all(rest).unwrap();

    for id in ids {
        let reply = receive(&mut connection).unwrap();
        assert_eq!((lines(&reply), &reply[..2]), (own(ONE), &id.to_be_bytes()[..]));
    }
}

#[test]
fn row_76_https_tells_how_long_an_answer_may_be_kept() {
    let server = server();
    for (name, max_age) in [("one", 5), ("nobody", 1), ("gateway", 300)] {
        let query = ask(&format!("{name}.service.local"), "A").bytes(0);

        let (head, body) = post(&server, &query);

        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{name}, whatever its code: {head}");
        assert!(head.contains("\r\ncontent-type: application/dns-message\r\n"), "{head}");
        assert!(head.contains(&format!("\r\ncache-control: max-age={max_age}\r\n")), "{head}");
        // RFC 8484 section 4.1: an id of 0, so that caches know equal queries.
        assert_eq!(body[..2], [0, 0]);
    }
}

fn own(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}
