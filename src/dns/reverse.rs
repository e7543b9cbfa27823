//! Names of addresses, `1.0.0.10.in-addr.arpa` (RFC 1035 section 3.5, RFC 3596 section 2.5), in the
//! ranges that are ours: which zone one is in, and which address it stands for.
//!
//! A zone begins where labels do: the zones of a range have as many octets (of IPv6: nibbles) as
//! it takes to hold its prefix, so that 10.16.0.0/12 is the sixteen zones 16.10 to 31.10.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dns::name::{MAX_LABELS, Name, is_within, relative_labels, suffixes};
use crate::dns::rcode::Rcode;
use crate::dns::reply::{Record, Reply, Section};
use crate::dns::rtype;
use crate::dns::served::Served;
use crate::dns::writer::{V4_RECORD, label_length};
use crate::model::{Millis, Network};
use crate::registry::Views;
use crate::resolve::pointers;

/// The ranges whose names are ours; they do not overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reverse {
    ranges: Vec<Network>,
}

/// A name in one of our zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'n> {
    /// The apex of the zone.
    pub apex: &'n [u8],
    /// What the name stands for.
    pub node: Node,
}

/// What a name of a reverse zone stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// This address.
    Address(IpAddr),
    /// The first part of addresses: there may be names below it.
    Part,
    /// Nothing that could be an address.
    Nothing,
}

impl Reverse {
    /// The names of addresses in `ranges`, which must not overlap.
    #[must_use]
    pub fn new(ranges: Vec<Network>) -> Self {
        Self { ranges }
    }

    /// Whether no names of addresses are ours.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Where `name`, in lower case, is in our zones; `None` when it is in none of them.
    #[must_use]
    pub fn find<'n>(&self, name: &'n [u8]) -> Option<Place<'n>> {
        let form = FORMS.iter().find(|form| is_within(name, form.above))?;
        let mut buffer: [&[u8]; MAX_LABELS] = [&[]; MAX_LABELS];
        let labels = relative_labels(name, form.above, &mut buffer);
        // The most significant digit is the last label.
        let digits = labels.iter().rev().take(form.digits).map_while(|label| form.digit(label));
        let (read, value) = digits.fold((0_usize, 0_u128), |(read, value), digit| {
            (read + 1, value << form.bits | u128::from(digit))
        });
        let mut ranges = self.ranges.iter().filter(|range| form.has(range.address()));
        let depth = ranges.find_map(|range| {
            let depth = usize::from(range.length()).div_ceil(form.bits);
            let below = read.checked_sub(depth)? * form.bits;
            let first = value.checked_shr(u32::try_from(below).ok()?).unwrap_or(0);
            let address = form.address(depth, first);
            range.contains(address).then_some(depth)
        })?;
        let node = match (labels.len() == read, read == form.digits) {
            (true, true) => Node::Address(form.address(read, value)),
            (true, false) => Node::Part,
            (false, _) => Node::Nothing,
        };
        let apex = suffixes(name).nth(labels.len() - depth)?;
        Some(Place { apex, node })
    }
}

impl Served {
    /// Answers for `name` at `place`: zones that have nothing but their apex and PTR.
    pub(super) fn reverse_reply(
        &self,
        reply: &mut Reply<'_>,
        name: &Name,
        place: Place<'_>,
        rtype: u16,
        views: &Views,
        now: Millis,
    ) -> Rcode {
        let (serial, ttl) = (views.revision().serial(), self.negative_ttl);
        let at_apex = place.apex.len() == name.wire().len();
        let wanted = [rtype::PTR, rtype::ANY].contains(&rtype);
        let before = reply.count(Section::Answer);
        let exists = match place.node {
            Node::Part => true,
            Node::Nothing => false,
            Node::Address(address) => {
                self.push_pointers(reply, name, address, views, now, wanted) || at_apex
            }
        };
        if reply.count(Section::Answer) > before {
            return Rcode::NoError;
        }
        match rtype {
            rtype::SOA | rtype::ANY if at_apex => {
                self.home.push_soa(reply, Section::Answer, place.apex, serial, ttl);
                return Rcode::NoError;
            }
            rtype::NS if at_apex => {
                self.home.push_servers(reply, name.wire());
                return Rcode::NoError;
            }
            _ => {}
        }
        if !self.home.push_soa(reply, Section::Authority, place.apex, serial, ttl) {
            reply.truncate();
        }
        if exists { Rcode::NoError } else { Rcode::NxDomain }
    }

    /// Says whether anybody has `address`, usable or not, and where that is `wanted` writes who: one
    /// PTR each, as many as fit, with TC when that is not all.
    fn push_pointers(
        &self,
        reply: &mut Reply<'_>,
        name: &Name,
        address: IpAddr,
        views: &Views,
        now: Millis,
        wanted: bool,
    ) -> bool {
        // One more than can fit tells that not all do.
        let most = if wanted { reply.room() / V4_RECORD + 1 } else { 1 };
        let found = pointers(views, address, now, most, |owners, ttl| {
            let apex = self.home.apex.wire();
            let fits = owners.iter().take_while(|_| wanted).all(|instance| {
                let (id, service) = (instance.id.as_str(), instance.service.as_str());
                // Registered when the zone had a shorter name.
                if 2 + id.len() + service.len() + apex.len() > Name::MAX {
                    return true;
                }
                let lengths = [[label_length(id)], [label_length(service)]];
                let rdata: [&[u8]; 5] =
                    [&lengths[0], id.as_bytes(), &lengths[1], service.as_bytes(), apex];
                let owner = name.wire();
                let record = Record { owner, rtype: rtype::PTR, ttl, rdata: &rdata };
                reply.push(Section::Answer, &record)
            });
            if !fits {
                reply.truncate();
            }
        });
        found.is_some()
    }
}

/// How addresses of one family are written as names.
struct Form {
    above: &'static [u8],
    /// Labels of a whole address.
    digits: usize,
    /// Bits of a label.
    bits: usize,
}

impl Form {
    fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == (self.digits == 4)
    }

    /// A label's value: one way to write each, so that an address has one name.
    fn digit(&self, label: &[u8]) -> Option<u8> {
        let text = std::str::from_utf8(label).ok()?;
        let canonical = match text.as_bytes() {
            [b'0'] => true,
            [b'1'..=b'9', rest @ ..] if self.bits == 8 => rest.iter().all(u8::is_ascii_digit),
            [b'1'..=b'9' | b'a'..=b'f'] => self.bits == 4,
            _ => false,
        };
        let radix = if self.bits == 8 { 10 } else { 16 };
        canonical.then(|| u8::from_str_radix(text, radix).ok())?
    }

    /// The first address whose first `digits` are `value`.
    fn address(&self, digits: usize, value: u128) -> IpAddr {
        let missing = (self.digits - digits) * self.bits;
        let value = u32::try_from(missing).map_or(0, |bits| value.checked_shl(bits).unwrap_or(0));
        if self.digits == 4 {
            Ipv4Addr::from(u32::try_from(value).unwrap_or(0)).into()
        } else {
            Ipv6Addr::from(value).into()
        }
    }
}

const FORMS: [Form; 2] = [
    Form { above: b"\x07in-addr\x04arpa\x00", digits: 4, bits: 8 },
    Form { above: b"\x03ip6\x04arpa\x00", digits: 32, bits: 4 },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::text;

    /// The zone's apex and what the name stands for, as text.
    fn shown(ranges: &[&str], name: &str) -> Option<String> {
        let reverse = Reverse::new(ranges.iter().map(|range| range.parse().unwrap()).collect());
        let name = Name::from_text(name, None).unwrap();
        let place = reverse.find(name.wire())?;
        let node = match place.node {
            Node::Address(address) => address.to_string(),
            Node::Part => "part".into(),
            Node::Nothing => "nothing".into(),
        };
        Some(format!("{} {node}", text(place.apex)))
    }

    #[test]
    fn the_zone_of_an_address_has_the_octets_of_its_prefix() {
        let ranges = ["10.0.0.0/8", "172.16.0.0/12", "192.0.2.128/25", "198.51.100.7/32"];
        for (name, expected) in [
            ("3.2.1.10", Some("10.in-addr.arpa. 10.1.2.3")),
            ("10", Some("10.in-addr.arpa. part")),
            ("2.1.10", Some("10.in-addr.arpa. part")),
            ("x.3.2.1.10", Some("10.in-addr.arpa. nothing")),
            ("256.1.10", Some("10.in-addr.arpa. nothing")),
            ("1.256.1.10", Some("10.in-addr.arpa. nothing")),
            ("01.1.1.10", Some("10.in-addr.arpa. nothing")),
            ("+1.1.1.10", Some("10.in-addr.arpa. nothing")),
            ("1.a.1.10", Some("10.in-addr.arpa. nothing")),
            ("010", None),
            ("11", None),
            ("3.2.31.172", Some("31.172.in-addr.arpa. 172.31.2.3")),
            ("2.16.172", Some("16.172.in-addr.arpa. part")),
            ("16.172", Some("16.172.in-addr.arpa. part")),
            ("32.172", None),
            ("172", None),
            ("129.2.0.192", Some("129.2.0.192.in-addr.arpa. 192.0.2.129")),
            ("127.2.0.192", None),
            ("2.0.192", None),
            ("7.100.51.198", Some("7.100.51.198.in-addr.arpa. 198.51.100.7")),
            ("x.7.100.51.198", Some("7.100.51.198.in-addr.arpa. nothing")),
        ] {
            let found = shown(&ranges, &format!("{name}.in-addr.arpa."));
            assert_eq!(found.as_deref(), expected, "{name}");
        }
        assert_eq!(shown(&ranges, "in-addr.arpa."), None);
        assert_eq!(shown(&ranges, "10.example."), None);
        let all = shown(&["0.0.0.0/0"], "1.in-addr.arpa.");
        assert_eq!(all.as_deref(), Some("in-addr.arpa. part"));
        let zero = format!("{}ip6.arpa.", "0.".repeat(32));
        assert_eq!(shown(&["::/0"], &zero).as_deref(), Some("ip6.arpa. ::"));
    }

    #[test]
    fn the_zone_of_an_ipv6_address_has_the_nibbles_of_its_prefix() {
        let ranges = ["2001:db8::/34", "::/128"];
        let whole = format!("1.{}8.b.d.0.1.0.0.2", "0.".repeat(23));
        for (name, expected) in [
            (whole.as_str(), Some("0.8.b.d.0.1.0.0.2.ip6.arpa. 2001:db8::1")),
            ("3.8.b.d.0.1.0.0.2", Some("3.8.b.d.0.1.0.0.2.ip6.arpa. part")),
            ("4.8.b.d.0.1.0.0.2", None),
            ("8.b.d.0.1.0.0.2", None),
            ("g.0.8.b.d.0.1.0.0.2", Some("0.8.b.d.0.1.0.0.2.ip6.arpa. nothing")),
            ("10.0.8.b.d.0.1.0.0.2", Some("0.8.b.d.0.1.0.0.2.ip6.arpa. nothing")),
        ] {
            let found = shown(&ranges, &format!("{name}.ip6.arpa."));
            assert_eq!(found.as_deref(), expected, "{name}");
        }
        let zero = "0.".repeat(32);
        assert!(shown(&ranges, &format!("{zero}ip6.arpa.")).unwrap().ends_with(" ::"));
        assert!(shown(&ranges, &format!("x.{zero}ip6.arpa.")).unwrap().ends_with(" nothing"));
    }
}
