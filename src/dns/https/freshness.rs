//! How long an HTTP cache may keep a reply: as long as its records (RFC 8484 section 5.1).

use crate::dns::rtype;

/// For how many seconds `reply` is fresh; `None`: it is not to be kept.
///
/// | reply | fresh for |
/// |---|---|
/// | answers | the smallest TTL of them |
/// | none, and a SOA | the smaller of its TTL and its MINIMUM (RFC 2308 section 5) |
/// | both (an alias to nothing) | the smallest of all |
/// | neither, or an error other than NXDOMAIN | nothing is known |
pub(super) fn freshness(reply: &[u8]) -> Option<u32> {
    let mut rest = Reader { reply, at: HEADER };
    let count = |at: usize| Some(u16::from_be_bytes([*reply.get(at)?, *reply.get(at + 1)?]));
    if ![NOERROR, NXDOMAIN].contains(&(reply.get(3)? & 0x0f)) {
        return None;
    }
    for _ in 0..count(4)? {
        rest.name()?;
        rest.take(4)?;
    }
    let mut freshest = None;
    let mut at_most = |seconds: u32| {
        freshest = Some(freshest.map_or(seconds, |least: u32| least.min(seconds)));
    };
    for _ in 0..count(6)? {
        at_most(rest.record()?.ttl);
    }
    for _ in 0..count(8)? {
        let record = rest.record()?;
        if record.rtype == rtype::SOA {
            let minimum = record.data.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))?;
            at_most(record.ttl.min(minimum));
        }
    }
    freshest
}

/// Reads our own writing, which is well-formed.
struct Reader<'r> {
    reply: &'r [u8],
    at: usize,
}

struct Record<'r> {
    rtype: u16,
    ttl: u32,
    data: &'r [u8],
}

impl<'r> Reader<'r> {
    fn take(&mut self, length: usize) -> Option<&'r [u8]> {
        let taken = self.reply.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(taken)
    }

    /// Passes over a name, which ends in a zero or a pointer (RFC 1035 section 4.1.4).
    fn name(&mut self) -> Option<()> {
        loop {
            match usize::from(self.take(1)?[0]) {
                0 => return Some(()),
                length @ 1..=63 => {
                    self.take(length)?;
                }
                _ => return self.take(1).map(drop),
            }
        }
    }

    fn record(&mut self) -> Option<Record<'r>> {
        self.name()?;
        let fixed: [u8; 10] = self.take(10)?.try_into().ok()?;
        let [t1, t2, _, _, s1, s2, s3, s4, l1, l2] = fixed;
        let data = self.take(usize::from(u16::from_be_bytes([l1, l2])))?;
        let (rtype, ttl) = (u16::from_be_bytes([t1, t2]), u32::from_be_bytes([s1, s2, s3, s4]));
        Some(Record { rtype, ttl, data })
    }
}

const HEADER: usize = 12;
const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply to web.service.local with these records: section 1 or 2, type, TTL, last of data.
    fn reply(rcode: u8, records: &[(u8, u16, u32, u32)]) -> Vec<u8> {
        let count = |section| {
            let of_section = records.iter().filter(|record| record.0 == section);
            u8::try_from(of_section.count()).unwrap()
        };
        let mut reply = vec![0, 0, 0x84, rcode, 0, 1, 0, count(1), 0, count(2), 0, 0];
        reply.extend(b"\x03web\x07service\x05local\x00\x00\x01\x00\x01");
        for (_, rtype, ttl, last) in records {
            reply.extend([0xc0, 12]);
            reply.extend(rtype.to_be_bytes());
            reply.extend([0, 1]);
            reply.extend(ttl.to_be_bytes());
            reply.extend([0, 6, 1, 0x61]);
            reply.extend(last.to_be_bytes());
        }
        reply
    }

    #[test]
    fn a_reply_is_fresh_as_long_as_its_shortest_record() {
        const A: u16 = rtype::A;
        const SOA: u16 = rtype::SOA;
        for (rcode, records, expected) in [
            (0, &[(1, A, 5, 0), (1, A, 3, 0), (1, A, 9, 0)][..], Some(3)),
            (0, &[(1, A, 0, 0)], Some(0)),
            (0, &[(2, SOA, 60, 7)], Some(7)),
            (3, &[(2, SOA, 6, 7)], Some(6)),
            (3, &[(1, rtype::CNAME, 5, 0), (2, SOA, 60, 2)], Some(2)),
            (0, &[(2, rtype::NS, 60, 1)], None),
            (0, &[], None),
            (2, &[(1, A, 5, 0)], None),
            (5, &[], None),
        ] {
            assert_eq!(freshness(&reply(rcode, records)), expected, "{rcode} {records:?}");
        }
    }

    #[test]
    fn what_is_cut_short_is_not_kept() {
        let whole = reply(0, &[(1, rtype::A, 5, 0), (2, rtype::SOA, 60, 7)]);
        assert_eq!(freshness(&whole), Some(5));

        for length in 0..whole.len() {
            assert_eq!(freshness(&whole[..length]), None, "{length} bytes");
        }
    }
}
