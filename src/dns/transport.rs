//! How a query came and what that allows its reply.

use std::net::SocketAddr;
use std::time::Duration;

use crate::dns::edns::Edns;

/// The protocol a query came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// Messages with a length in front (RFC 7766).
    Tcp,
    /// As TCP, encrypted (RFC 7858).
    Tls,
    /// HTTP requests and responses, encrypted (RFC 8484).
    Https,
    /// One stream a question, encrypted (RFC 9250).
    Quic,
}

impl Transport {
    /// The largest reply, in bytes, to a query with this EDNS part.
    ///
    /// | transport | no EDNS | EDNS |
    /// |---|---|---|
    /// | UDP | 512 (RFC 1035) | the client's size, at least 512, at most [`UDP_PAYLOAD`] |
    /// | all others | 65535 | 65535 |
    #[must_use]
    pub fn limit(self, edns: Option<&Edns>) -> usize {
        match (self, edns) {
            (Self::Udp, None) => usize::from(UDP_MINIMUM),
            (Self::Udp, Some(edns)) => usize::from(edns.payload.clamp(UDP_MINIMUM, UDP_PAYLOAD)),
            (Self::Tcp | Self::Tls | Self::Https | Self::Quic, _) => usize::from(u16::MAX),
        }
    }

    /// Whether the client may be told how long an idle connection stays open: it is TCP that it sees
    /// (RFC 7828 section 3.2, RFC 9250 section 5.5.2).
    #[must_use]
    pub fn keeps_alive(self) -> bool {
        match self {
            Self::Tcp | Self::Tls => true,
            Self::Udp | Self::Https | Self::Quic => false,
        }
    }

    /// Whether the source of a query may be forged.
    #[must_use]
    pub fn forgeable(self) -> bool {
        match self {
            Self::Udp => true,
            Self::Tcp | Self::Tls | Self::Https | Self::Quic => false,
        }
    }

    /// Whether nobody on the way can read along: what decides on padding (RFC 8467).
    #[must_use]
    pub fn encrypted(self) -> bool {
        match self {
            Self::Udp | Self::Tcp => false,
            Self::Tls | Self::Https | Self::Quic => true,
        }
    }
}

/// Who asked, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The protocol.
    pub transport: Transport,
    /// The address that the query came from.
    pub source: SocketAddr,
}

/// The largest UDP reply, which is also the size that replies advertise: it is not fragmented on
/// any path that matters (DNS flag day 2020).
pub const UDP_PAYLOAD: u16 = 1232;

/// How long a TCP connection may be idle between two messages.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// What every UDP client takes (RFC 1035 section 4.2.1, RFC 6891 section 6.2.3).
pub(super) const UDP_MINIMUM: u16 = 512;
