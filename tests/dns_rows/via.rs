//! The transports, and what comes back over each.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::served::Served;
use crate::support::outcome::{Got, datagrams, framed};
use crate::support::packet::ask;

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Udp,
    Tcp,
    Tls,
    Https,
}

impl Via {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[Self::Udp, Self::Tcp, Self::Tls, Self::Https];
    /// That with datagrams.
    pub(crate) const DATAGRAM: &[Self] = &[Self::Udp];
    /// Those with connections, which carry replies of any size.
    pub(crate) const CONNECTED: &[Self] = &[Self::Tcp, Self::Tls, Self::Https];
    /// Those with a length before each message.
    pub(crate) const FRAMED: &[Self] = &[Self::Tcp, Self::Tls];
    /// Those with bare DNS messages, which can be met with silence.
    pub(crate) const BARE: &[Self] = &[Self::Udp, Self::Tcp, Self::Tls];
    /// That with requests, each of which has a response.
    pub(crate) const REQUESTS: &[Self] = &[Self::Https];
    /// Those that others can read.
    pub(crate) const PLAIN: &[Self] = &[Self::Udp, Self::Tcp];
    /// Those that they can not.
    pub(crate) const ENCRYPTED: &[Self] = &[Self::Tls, Self::Https];

    /// Sends a message and tells what it gets; an HTTP status other than 200 as an error.
    pub(crate) fn send(self, server: &Served, packet: &[u8]) -> Result<Got, String> {
        let honest = ask("service.local", "SOA").bytes(next_id());
        Ok(match self {
            Self::Udp => datagrams(server.dns, packet, &honest),
            Self::Tcp => framed(&mut server.dns.connect(), packet, &honest),
            Self::Tls => framed(&mut server.connect(server.tls, b"dot"), packet, &honest),
            Self::Https => {
                let (head, body) = post(server, packet);
                let status = head.lines().next().unwrap().replace("HTTP/1.1", "http");
                return if status == "http 200 OK" { Ok(Got::Reply(body)) } else { Err(status) };
            }
        })
    }
}

/// Posts a message to DoH (RFC 8484): the head of the response, and its body.
pub(crate) fn post(server: &Served, packet: &[u8]) -> (String, Vec<u8>) {
    let mut stream = server.connect(server.https, b"http/1.1");
    let length = packet.len();
    let head = format!(
        "POST /dns-query HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\
         content-type: application/dns-message\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), packet].concat()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, body)
}

/// An id that no other query of this test run has.
pub(crate) fn next_id() -> u16 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

static NEXT_ID: AtomicU16 = AtomicU16::new(1);
