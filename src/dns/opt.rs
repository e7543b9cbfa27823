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
