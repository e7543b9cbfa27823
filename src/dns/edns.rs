//! What a query's OPT record says (RFC 6891), with the options that this server knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dns::cookies::Cookie;

/// The EDNS part of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// The UDP reply size that the client takes, as sent: may be below 512.
    pub payload: u16,
    /// The DO flag, which replies copy.
    pub dnssec_ok: bool,
    /// The client asked which server this is (RFC 5001).
    pub nsid: bool,
    /// The network that the query is for (RFC 7871).
    pub subnet: Option<ClientSubnet>,
    /// What proves the client's address (RFC 7873).
    pub cookie: Option<Cookie>,
    /// The client asks how long an idle connection stays open (RFC 7828).
    pub keepalive: bool,
    /// The client pads its queries, and wants replies padded (RFC 7830).
    pub padding: bool,
}

impl Edns {
    /// From the CLASS and TTL fields of an OPT record, no options yet.
    #[must_use]
    pub fn new(class: u16, ttl: u32) -> Self {
        Self {
            payload: class,
            dnssec_ok: ttl & DO != 0,
            nsid: false,
            subnet: None,
            cookie: None,
            keepalive: false,
            padding: false,
        }
    }
}

/// An EDNS client subnet (RFC 7871), kept as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSubnet {
    family: u16,
    prefix: u8,
    octets: [u8; 16],
}

impl ClientSubnet {
    /// The network: an address whose bits after the prefix length are zero. `None` when its length
    /// is 0: the client wants its own address kept out of it.
    #[must_use]
    pub fn network(&self) -> Option<(IpAddr, u8)> {
        let [a, b, c, d, ..] = self.octets;
        match (self.family, self.prefix) {
            (_, 0) => None,
            (FAMILY_V4, prefix) => Some((Ipv4Addr::new(a, b, c, d).into(), prefix)),
            (_, prefix) => Some((Ipv6Addr::from(self.octets).into(), prefix)),
        }
    }

    /// Reads the option's data. `None` when it breaks RFC 7871 section 6.
    fn read(data: &[u8]) -> Option<Self> {
        let (&[f1, f2, prefix, scope], address) = data.split_first_chunk::<4>()?;
        let family = u16::from_be_bytes([f1, f2]);
        let bits = match family {
            // `dig +subnet=0` sends family 0, which RFC 7871 leaves open; BIND takes it too.
            0 => 0,
            FAMILY_V4 => 32,
            FAMILY_V6 => 128,
            _ => return None,
        };
        if prefix > bits || scope != 0 || address.len() != usize::from(prefix.div_ceil(8)) {
            return None;
        }
        let mut octets = [0; 16];
        octets[..address.len()].copy_from_slice(address);
        let past = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        if u128::from_be_bytes(octets) & past != 0 {
            return None;
        }
        Some(Self { family, prefix, octets })
    }

    /// The bytes of the option in a reply, header included.
    pub(crate) fn option_len(&self) -> usize {
        OPTION_HEADER + 4 + usize::from(self.prefix.div_ceil(8))
    }

    /// Writes the option of a reply: the query's, with the length that the answer depended on. One
    /// of length 0 is nobody's network, so it has no scope either (RFC 7871 section 7.1.2).
    pub(crate) fn write(&self, scope: u8, to: &mut Vec<u8>) {
        let scope = if self.prefix == 0 { 0 } else { scope };
        let address = usize::from(self.prefix.div_ceil(8));
        to.extend(OPTION_SUBNET.to_be_bytes());
        to.extend([0, 4 + self.prefix.div_ceil(8)]);
        to.extend(self.family.to_be_bytes());
        to.extend([self.prefix, scope]);
        to.extend(&self.octets[..address]);
    }
}

/// Reads the options of an OPT record into `edns`; unknown ones are skipped (RFC 6891 section
/// 6.1.2). `None` when one runs past the end, or a client subnet or a cookie is broken.
pub(crate) fn read_options(mut data: &[u8], edns: &mut Edns) -> Option<()> {
    while !data.is_empty() {
        let (&[c1, c2, l1, l2], rest) = data.split_first_chunk::<OPTION_HEADER>()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([l1, l2]).into())?;
        data = rest;
        match u16::from_be_bytes([c1, c2]) {
            OPTION_NSID => edns.nsid = true,
            // The first one counts.
            OPTION_SUBNET if edns.subnet.is_none() => {
                edns.subnet = Some(ClientSubnet::read(value)?);
            }
            // RFC 7873 section 5.2: the others are ignored.
            OPTION_COOKIE if edns.cookie.is_none() => edns.cookie = Some(Cookie::read(value)?),
            // A client has no timeout to tell (RFC 7828 section 3.2.1); one that does means well.
            OPTION_KEEPALIVE => edns.keepalive = true,
            OPTION_PADDING => edns.padding = true,
            _ => {}
        }
    }
    Some(())
}

/// The DO flag in the TTL field of OPT (RFC 3225).
pub(crate) const DO: u32 = 0x8000;

/// Code and length in front of every option.
pub(crate) const OPTION_HEADER: usize = 4;

/// The name server identifier (RFC 5001).
pub(crate) const OPTION_NSID: u16 = 3;

/// DNS cookies (RFC 7873).
pub(crate) const OPTION_COOKIE: u16 = 10;

/// How long an idle connection stays open (RFC 7828).
pub(crate) const OPTION_KEEPALIVE: u16 = 11;

/// Bytes that say nothing (RFC 7830).
pub(crate) const OPTION_PADDING: u16 = 12;

/// Extended DNS errors (RFC 8914).
pub(crate) const OPTION_EDE: u16 = 15;

const OPTION_SUBNET: u16 = 8;
const FAMILY_V4: u16 = 1;
const FAMILY_V6: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(data: &[u8]) -> Option<Option<(IpAddr, u8)>> {
        ClientSubnet::read(data).map(|subnet| subnet.network())
    }

    #[test]
    fn a_client_subnet_is_a_network() {
        assert_eq!(
            subnet(&[0, 1, 24, 0, 192, 0, 2]),
            Some(Some((Ipv4Addr::new(192, 0, 2, 0).into(), 24)))
        );
        assert_eq!(
            subnet(&[0, 2, 36, 0, 0x20, 1, 0xd, 0xb8, 0x10]),
            Some(Some(("2001:db8:1000::".parse().unwrap(), 36)))
        );
    }

    #[test]
    fn a_client_subnet_of_length_0_is_nobody() {
        assert_eq!(subnet(&[0, 1, 0, 0]), Some(None));
        assert_eq!(subnet(&[0, 2, 0, 0]), Some(None));
        assert_eq!(subnet(&[0, 0, 0, 0]), Some(None));
    }

    #[test]
    fn a_broken_client_subnet_is_refused() {
        for data in [
            &[][..],
            &[0, 1, 24],                     // Cut short.
            &[0, 1, 24, 0, 192, 0],          // Too few address bytes.
            &[0, 1, 24, 0, 192, 0, 2, 0],    // Too many.
            &[0, 1, 20, 0, 192, 0, 0x1f],    // Bits past the prefix.
            &[0, 1, 33, 0, 1, 2, 3, 4, 128], // A prefix too long for the family.
            &[0, 1, 24, 24, 192, 0, 2],      // A scope in a query.
            &[0, 3, 8, 0, 1],                // No such family.
            &[0, 0, 8, 0, 1],
        ] {
            assert_eq!(subnet(data), None, "{data:?}");
        }
    }

    #[test]
    fn options_are_read_and_unknown_ones_skipped() {
        let mut edns = Edns::new(1400, DO);

        let read =
            read_options(&[0, 99, 0, 2, 1, 2, 0, 3, 0, 0, 0, 8, 0, 4, 0, 1, 0, 0], &mut edns);

        let subnet = ClientSubnet { family: 1, prefix: 0, octets: [0; 16] };
        let expected = Edns { nsid: true, subnet: Some(subnet), ..Edns::new(1400, DO) };
        assert_eq!((read, edns), (Some(()), expected));
    }

    #[test]
    fn the_first_cookie_counts() {
        let mut edns = Edns::new(512, 0);
        let cookies = [0, 10, 0, 8, 1, 1, 1, 1, 1, 1, 1, 1, 0, 10, 0, 8, 2, 2, 2, 2, 2, 2, 2, 2];

        assert_eq!(read_options(&cookies, &mut edns), Some(()));

        assert_eq!(edns.cookie.map(|cookie| cookie.client), Some([1; 8]));
    }

    #[test]
    fn keepalive_and_padding_are_asked_for_whatever_they_hold() {
        for options in [&[0, 11, 0, 0, 0, 12, 0, 0][..], &[0, 11, 0, 2, 0, 9, 0, 12, 0, 1, 7]] {
            let mut edns = Edns::new(512, 0);

            assert_eq!(read_options(options, &mut edns), Some(()));

            assert!(edns.keepalive && edns.padding, "{options:?}");
        }
    }

    #[test]
    fn options_that_overrun_are_refused() {
        for data in [&[0][..], &[0, 3], &[0, 3, 0], &[0, 3, 0, 1], &[0, 99, 0, 3, 1, 2]] {
            assert_eq!(read_options(data, &mut Edns::new(512, 0)), None, "{data:?}");
        }
    }

    #[test]
    fn a_reply_option_is_the_query_option_with_a_scope() {
        let option = ClientSubnet::read(&[0, 1, 20, 0, 192, 0, 0x10]).unwrap();

        let mut written = Vec::new();
        option.write(17, &mut written);

        assert_eq!(written, [0, 8, 0, 7, 0, 1, 20, 17, 192, 0, 0x10]);
        assert_eq!(written.len(), option.option_len());
    }

    #[test]
    fn a_subnet_of_length_0_is_answered_with_scope_0() {
        let option = ClientSubnet::read(&[0, 1, 0, 0]).unwrap();

        let mut written = Vec::new();
        option.write(24, &mut written);

        assert_eq!(written, [0, 8, 0, 4, 0, 1, 0, 0]);
    }
}
