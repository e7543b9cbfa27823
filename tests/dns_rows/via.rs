//! The transports, and what comes back over each.
//!
//! Silence is told without waiting: a second query goes behind the first, over the same socket or
//! connection, and its reply is what comes.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::packet::ask;
use crate::support::server::Server;

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Udp,
    Tcp,
}

/// What a query gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    /// A reply, and only one.
    Reply(Vec<u8>),
    /// Nothing, and the next query is answered.
    Silence,
    /// The connection is closed.
    Closed,
}

impl Via {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[Self::Udp, Self::Tcp];
    /// That with datagrams.
    pub(crate) const DATAGRAM: &[Self] = &[Self::Udp];
    /// Those with a length before each message.
    pub(crate) const STREAMS: &[Self] = &[Self::Tcp];

    /// Sends a message and tells what it gets.
    pub(crate) fn send(self, server: &Server, packet: &[u8]) -> Got {
        let probe = ask("service.local", "SOA").bytes(next_id());
        match self {
            Self::Udp => datagrams(server, packet, &probe),
            Self::Tcp => {
                let mut connection = server.dns.connect();
                connection.set_nodelay(true).unwrap();
                framed(&mut connection, packet, &probe)
            }
        }
    }
}

fn datagrams(server: &Server, packet: &[u8], probe: &[u8]) -> Got {
    let socket = server.dns.socket();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let receive = || {
        let mut reply = vec![0; 65_535];
        let length = socket.recv(&mut reply).unwrap();
        reply.truncate(length);
        reply
    };
    socket.send(packet).unwrap();
    socket.send(probe).unwrap();
    let reply = receive();
    if reply[..2] == probe[..2] {
        return Got::Silence;
    }
    assert_eq!(receive()[..2], probe[..2], "one reply to one query");
    Got::Reply(reply)
}

fn framed(stream: &mut (impl Read + Write), packet: &[u8], probe: &[u8]) -> Got {
    let length = |message: &[u8]| u16::try_from(message.len()).unwrap().to_be_bytes();
    let both = [&length(packet), packet, &length(probe), probe].concat();
    stream.write_all(&both).unwrap();
    let Some(reply) = receive(stream) else { return Got::Closed };
    if reply[..2] == probe[..2] {
        return Got::Silence;
    }
    assert_eq!(receive(stream).unwrap()[..2], probe[..2], "one reply to one query");
    Got::Reply(reply)
}

/// Reads a message behind its length; `None` when the server has closed.
pub(crate) fn receive(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    if let Err(error) = stream.read_exact(&mut length) {
        let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
        assert!(closed.contains(&error.kind()), "closed, and not late: {error}");
        return None;
    }
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).unwrap();
    Some(reply)
}

/// An id that no other query of this test run has.
pub(crate) fn next_id() -> u16 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

static NEXT_ID: AtomicU16 = AtomicU16::new(1);
