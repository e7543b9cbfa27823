//! The OPT record of a reply (RFC 6891): as long as it said it would be.

use crate::dns::edns::{
    DO, Edns, OPTION_COOKIE, OPTION_EDE, OPTION_HEADER, OPTION_KEEPALIVE, OPTION_NSID,
    OPTION_PADDING,
};
use crate::dns::rcode::Rcode;
use crate::dns::rtype;
use crate::dns::transport::{IDLE_TIMEOUT, Transport, UDP_PAYLOAD};

/// The OPT record that answers a query's.
pub(crate) struct Opt<'a> {
    edns: Edns,
    /// Empty when there is nothing to send.
    nsid: &'a [u8],
    keepalive: bool,
    padded: bool,
    /// The server's part of a cookie; the client's is that of the query.
    cookie: Option<[u8; 16]>,
    /// How many bits of the client subnet the answer depended on.
    pub(crate) scope: u8,
    extended_error: Option<ExtendedError>,
}

/// Why an answer is what it is (RFC 8914), for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    /// The number of the kind.
    pub(crate) code: u16,
    /// Printable text, or empty.
    pub(crate) text: String,
}

impl ExtendedError {
    /// The bytes of the option.
    pub(crate) fn len(&self) -> usize {
        OPTION_HEADER + 2 + self.text.len()
    }
}

impl<'a> Opt<'a> {
    /// `nsid` is sent if the query asks for it and it is 1-128 bytes long.
    pub(crate) fn new(edns: Edns, transport: Transport, nsid: &'a [u8]) -> Self {
        let sent = edns.nsid && nsid.len() <= MAX_NSID;
        Self {
            nsid: if sent { nsid } else { &[] },
            keepalive: edns.keepalive && transport.keeps_alive(),
            // RFC 7830 section 4: only who padded the query gets a padded reply.
            padded: edns.padding && transport.encrypted(),
            cookie: None,
            scope: 0,
            extended_error: None,
            edns,
        }
    }

    /// Adds the server's part of a cookie, if the query has a client's; says how many bytes longer
    /// the record is.
    pub(crate) fn add_cookie(&mut self, server: [u8; 16]) -> usize {
        let before = self.len();
        self.cookie = Some(server);
        self.len() - before
    }

    /// Adds an extended error, if there is none yet and it has at most `room` bytes; says how many
    /// bytes longer the record is.
    pub(crate) fn add_error(&mut self, error: ExtendedError, room: usize) -> usize {
        if self.extended_error.is_some() || error.len() > room {
            return 0;
        }
        let length = error.len();
        self.extended_error = Some(error);
        length
    }

    /// The bytes that [`write`](Self::write) will add at least: all but what padding holds.
    pub(crate) fn len(&self) -> usize {
        let option = |sent: bool, length: usize| if sent { OPTION_HEADER + length } else { 0 };
        FIXED
            + self.edns.subnet.map_or(0, |subnet| subnet.option_len())
            + option(!self.nsid.is_empty(), self.nsid.len())
            + option(self.cookie().is_some(), CLIENT_COOKIE + SERVER_COOKIE)
            + option(self.keepalive, 2)
            + self.extended_error.as_ref().map_or(0, ExtendedError::len)
            + option(self.padded, 0)
    }

    /// Appends the record to a message that may have at most `limit` bytes with it.
    pub(crate) fn write(&self, rcode: Rcode, to: &mut Vec<u8>, limit: usize) {
        let flags = if self.edns.dnssec_ok { DO } else { 0 };
        let ttl = u32::from(rcode.high()) << 24 | flags;
        let padding = if self.padded { padding(to.len() + self.len(), limit) } else { 0 };
        to.push(0);
        to.extend(rtype::OPT.to_be_bytes());
        to.extend(UDP_PAYLOAD.to_be_bytes());
        to.extend(ttl.to_be_bytes());
        to.extend(length(self.len() - FIXED + padding));
        if let Some(subnet) = &self.edns.subnet {
            subnet.write(self.scope, to);
        }
        if !self.nsid.is_empty() {
            option(OPTION_NSID, &[self.nsid], to);
        }
        if let Some((client, server)) = self.cookie() {
            option(OPTION_COOKIE, &[&client, &server], to);
        }
        if self.keepalive {
            let tenths = u16::try_from(IDLE_TIMEOUT.as_millis() / 100).unwrap_or(u16::MAX);
            option(OPTION_KEEPALIVE, &[&tenths.to_be_bytes()], to);
        }
        if let Some(ExtendedError { code, text }) = &self.extended_error {
            option(OPTION_EDE, &[&code.to_be_bytes(), text.as_bytes()], to);
        }
        if self.padded {
            to.extend(OPTION_PADDING.to_be_bytes());
            to.extend(length(padding));
            to.resize(to.len() + padding, 0);
        }
    }

    fn cookie(&self) -> Option<([u8; CLIENT_COOKIE], [u8; SERVER_COOKIE])> {
        Some((self.edns.cookie?.client, self.cookie?))
    }
}

fn option(code: u16, data: &[&[u8]], to: &mut Vec<u8>) {
    to.extend(code.to_be_bytes());
    to.extend(length(data.iter().map(|part| part.len()).sum()));
    data.iter().for_each(|part| to.extend_from_slice(part));
}

/// How many bytes make a message of `length` bytes a multiple of the block, or reach `limit`.
fn padding(length: usize, limit: usize) -> usize {
    length.next_multiple_of(BLOCK).min(limit).saturating_sub(length)
}

/// All options together have less than a message, so the length fits.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(0).to_be_bytes()
}

/// Owner, type, class, TTL and length.
const FIXED: usize = 11;

const CLIENT_COOKIE: usize = 8;
const SERVER_COOKIE: usize = 16;

/// Longer identifiers are not sent.
const MAX_NSID: usize = 128;

/// RFC 8467 section 4.1: what replies are padded to a multiple of.
const BLOCK: usize = 468;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::fixture::QueryBytes;
    use crate::dns::query::{Head, Parsed, parse};
    use crate::dns::reply::{Reply, error};
    use crate::dns::transport::Transport;

    fn head(packet: &[u8]) -> Head<'_> {
        match parse(packet) {
            Parsed::Query(query) => query.head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn opt_is_sent_exactly_when_asked_for() {
        let reply_to = |packet: &[u8], rcode| {
            let mut buffer = Vec::new();
            error(&mut buffer, &head(packet), Transport::Udp, b"ns1", rcode);
            buffer
        };
        let plain = QueryBytes::new("x.", rtype::A);
        let edns = plain.clone().opt(1400, 0x8000, &[]);
        let nsid = plain.clone().opt(100, 0, &[0, 3, 0, 0]);
        let subnet = plain.clone().opt(512, 0, &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]);
        let question = b"\x01x\x00\x00\x01\x00\x01".as_slice();
        let with = |low: u8, additional: u8, opt: &[u8]| {
            [b"\x12\x34\x80".as_slice(), &[low, 0, 1, 0, 0, 0, 0, 0, additional], question, opt]
                .concat()
        };

        assert_eq!(reply_to(&plain.bytes(), Rcode::Refused), with(5, 0, &[]));
        assert_eq!(
            reply_to(&edns.bytes(), Rcode::Refused),
            with(5, 1, &[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0])
        );
        assert_eq!(
            reply_to(&edns.bytes(), Rcode::BadVers),
            with(0, 1, &[0, 0, 41, 4, 208, 1, 0, 0x80, 0, 0, 0])
        );
        assert_eq!(
            reply_to(&nsid.bytes(), Rcode::NxDomain),
            with(3, 1, &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 7, 0, 3, 0, 3, b'n', b's', b'1'])
        );
        assert_eq!(
            reply_to(&subnet.bytes(), Rcode::NoError),
            with(0, 1, &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2])
        );
    }

    #[test]
    fn an_extended_error_is_sent_with_edns_only() {
        let plain = QueryBytes::new("x.", rtype::A);
        let ends = |packet: &[u8]| {
            let mut buffer = Vec::new();
            let mut reply = Reply::start(&mut buffer, &head(packet), Transport::Udp, b"");
            reply.extended_error(20, String::new());
            reply.finish(Rcode::Refused, false);
            buffer.split_off(19)
        };

        assert_eq!(ends(&plain.bytes()), Vec::<u8>::new());
        assert_eq!(
            ends(&plain.opt(512, 0, &[]).bytes()),
            [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, 20]
        );
    }
}
