//! DNS packets that no honest client sends, and more of them than any: code or silence, never harm.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::io::Write;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use support::SOON;
use support::dns::{Query, receive, send};
use support::message::Message;
use support::server::{MOMENT, Server};

const WEB: &str =
    "[[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80\n";

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
    server.assert_well("after malformed queries");
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
    server.assert_well("after hostile packets");
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

/// The resident memory of a server, in KiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn queries_leave_nothing_behind() {
    let server = Server::start(WEB);
    let ask = |from: u32, to: u32| {
        for i in from..to {
            let name = match i % 5 {
                0 => format!("nobody-{i}.service.local"),
                1 => format!("key-{i}.key.web.service.local"),
                2 => format!("t{i}.u{i}.tag.web.service.local"),
                3 => format!("z{i}.zone.web.service.local"),
                _ => format!("_p{i}._tcp.web.service.local"),
            };
            let subnet = format!("10.{}.{}.0", i >> 8 & 255, i & 255);
            server.dns.query(&Query::new(&name, "A").subnet(&subnet, 24));
        }
    };
    // Caches of the allocator and of each thread fill first.
    ask(0, 5_000);
    let before = resident(&server);

    ask(5_000, 25_000);

    let grown = resident(&server).saturating_sub(before);
    // 100 bytes for each name would be 2,000 KiB.
    assert!(grown < 1_500, "{grown} KiB for 20,000 queries");
    let metrics = server.http.get("/metrics").body;
    assert!(!metrics.as_str().unwrap().contains("nobody-"), "no label comes from a name");
}
