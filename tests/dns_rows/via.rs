//! The transports, and what comes back over each.

use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::outcome::{Got, datagrams, framed};
use crate::support::packet::ask;
use crate::support::server::Server;

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Udp,
    Tcp,
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
        let honest = ask("service.local", "SOA").bytes(next_id());
        match self {
            Self::Udp => datagrams(server.dns, packet, &honest),
            Self::Tcp => framed(&mut server.dns.connect(), packet, &honest),
        }
    }
}

/// An id that no other query of this test run has.
pub(crate) fn next_id() -> u16 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

static NEXT_ID: AtomicU16 = AtomicU16::new(1);
