//! Packets of the common shape: one question of class IN, and at most one OPT record without
//! options. Everything has its place, counted from either end.

use crate::dns::transport::{UDP_MINIMUM, UDP_PAYLOAD};

/// The question of a packet, and what its reply takes from it. The name is only known to be all
/// that lies between header and type; who uses it must see to it that it is one.
#[derive(Debug)]
pub(super) struct Question<'p> {
    /// The header and the question: what the reply begins with.
    pub(super) head: &'p [u8],
    /// The name, as it was sent.
    pub(super) name: &'p [u8],
    pub(super) rtype: u16,
    /// The bytes that records may take.
    pub(super) room: usize,
    /// The OPT record of the reply, if the query has one.
    pub(super) opt: Option<[u8; OPT]>,
}

impl<'p> Question<'p> {
    #[inline]
    pub(super) fn read(packet: &'p [u8]) -> Option<Self> {
        let &[_, _, flags, _, counts @ ..] = packet.first_chunk::<HEADER>()?;
        if flags & (QR | OPCODE) != 0 {
            return None;
        }
        let (head, limit, opt) = match u64::from_be_bytes(counts) {
            ONE_QUESTION => (packet, UDP_MINIMUM, None),
            ONE_QUESTION_AND_MORE => {
                let (head, opt) = packet.split_last_chunk::<OPT>()?;
                // RFC 6891 section 6.1.2: root, OPT, size, extended code, version 0, flags, no data.
                let &[0, 0, OPT_TYPE, high, low, _, 0, flags, _, 0, 0] = opt else { return None };
                let size = u16::from_be_bytes([high, low]).clamp(UDP_MINIMUM, UDP_PAYLOAD);
                (head, size, Some(reply_opt(flags & DO)))
            }
            _ => return None,
        };
        let (named, &[high, low, 0, CLASS_IN]) = head.split_last_chunk::<FIXED>()? else {
            return None;
        };
        let taken = head.len() + opt.map_or(0, |opt: [u8; OPT]| opt.len());
        Some(Self {
            head,
            name: named.get(HEADER..)?,
            rtype: u16::from_be_bytes([high, low]),
            room: usize::from(limit).checked_sub(taken)?,
            opt,
        })
    }
}

/// The OPT record of a reply to one without options: our size, and the flag DO as it came.
fn reply_opt(dnssec_ok: u8) -> [u8; OPT] {
    let [high, low] = UDP_PAYLOAD.to_be_bytes();
    [0, 0, OPT_TYPE, high, low, 0, 0, dnssec_ok, 0, 0, 0]
}

pub(super) const HEADER: usize = 12;
/// Type and class.
const FIXED: usize = 4;
/// An OPT record without options.
pub(super) const OPT: usize = 11;
const OPT_TYPE: u8 = 41;
const CLASS_IN: u8 = 1;
/// The counts of the sections.
const ONE_QUESTION: u64 = 0x0001_0000_0000_0000;
const ONE_QUESTION_AND_MORE: u64 = 0x0001_0000_0000_0001;
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const DO: u8 = 0x80;
