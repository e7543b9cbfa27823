//! The OPT record of a reply (RFC 6891): as long as it said it would be.

use crate::dns::edns::{DO, Edns, OPTION_EDE, OPTION_HEADER, OPTION_NSID};
use crate::dns::rcode::Rcode;
use crate::dns::rtype;
use crate::dns::transport::UDP_PAYLOAD;

/// The OPT record that answers a query's.
pub(crate) struct Opt<'a> {
    edns: Edns,
    /// Empty when there is nothing to send.
    nsid: &'a [u8],
    /// How many bits of the client subnet the answer depended on.
    pub(crate) scope: u8,
    /// The number of an extended error (RFC 8914).
    pub(crate) extended_error: Option<u16>,
}

impl<'a> Opt<'a> {
    /// What an extended error adds to the length.
    pub(crate) const EXTENDED_ERROR: usize = OPTION_HEADER + 2;

    /// `nsid` is sent if the query asks for it and it is 1-128 bytes long.
    pub(crate) fn new(edns: Edns, nsid: &'a [u8]) -> Self {
        let sent = edns.nsid && nsid.len() <= MAX_NSID;
        Self { edns, nsid: if sent { nsid } else { &[] }, scope: 0, extended_error: None }
    }

    /// The bytes that [`write`](Self::write) will add.
    pub(crate) fn len(&self) -> usize {
        let nsid = if self.nsid.is_empty() { 0 } else { OPTION_HEADER + self.nsid.len() };
        let subnet = self.edns.subnet.map_or(0, |subnet| subnet.option_len());
        let error = self.extended_error.map_or(0, |_| Self::EXTENDED_ERROR);
        FIXED + nsid + subnet + error
    }

    /// Appends the record.
    pub(crate) fn write(&self, rcode: Rcode, to: &mut Vec<u8>) {
        let flags = if self.edns.dnssec_ok { DO } else { 0 };
        let ttl = u32::from(rcode.high()) << 24 | flags;
        // At most 11 + 132 + 24 + 6 bytes, so the length fits.
        let options = u16::try_from(self.len() - FIXED).unwrap_or(0);
        to.push(0);
        to.extend(rtype::OPT.to_be_bytes());
        to.extend(UDP_PAYLOAD.to_be_bytes());
        to.extend(ttl.to_be_bytes());
        to.extend(options.to_be_bytes());
        if let Some(subnet) = &self.edns.subnet {
            subnet.write(self.scope, to);
        }
        if !self.nsid.is_empty() {
            to.extend(OPTION_NSID.to_be_bytes());
            to.extend([0, u8::try_from(self.nsid.len()).unwrap_or(0)]);
            to.extend(self.nsid);
        }
        if let Some(code) = self.extended_error {
            to.extend(OPTION_EDE.to_be_bytes());
            to.extend([0, 2]);
            to.extend(code.to_be_bytes());
        }
    }
}

/// Owner, type, class, TTL and length.
const FIXED: usize = 11;

/// Longer identifiers are not sent.
const MAX_NSID: usize = 128;

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
            reply.extended_error(20);
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
