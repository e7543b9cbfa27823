//! Which record of an answer a client goes to.

use crate::balance::hash::key_hash;
use crate::simulate::cast;
use crate::simulate::plan::Stub;
use crate::simulate::resolver::Record;

impl Stub {
    /// The place in `records`, which are not none and in the order in which the client has them
    /// from `start` on.
    pub(super) fn choose(self, records: &[Record], start: usize, luck: u64) -> usize {
        match self {
            Self::First => start,
            // Not the bits that a resolver has turned its copy by.
            Self::Random => cast::below(luck.rotate_left(32), records.len()),
            // Servers and clients anywhere in one /16. The longest prefix that two addresses share is
            // what their exclusive or leaves zero.
            Self::Nearest => {
                let own = luck.rotate_left(32) & 0xffff;
                let shared = |place: &usize| {
                    let host = key_hash(&records[*place].server.to_be_bytes()) & 0xffff;
                    (host ^ own).leading_zeros()
                };
                // Among those that are as near the order counts.
                let places = (start..records.len()).chain(0..start);
                places.rev().max_by_key(shared).unwrap_or(start)
            }
            Self::Srv => {
                let best = records.iter().map(|record| record.priority).min().unwrap_or(0);
                let weight = |r: &Record| if r.priority == best { r.weight.into() } else { 0 };
                draw(records, weight, luck)
            }
            // HAProxy knows no priorities and keeps weights of up to 256.
            Self::SrvHaproxy => draw(records, |r| u64::from(r.weight).div_ceil(256), luck),
        }
    }
}

/// Draws in proportion to weight.
fn draw(records: &[Record], weight: impl Fn(&Record) -> u64, luck: u64) -> usize {
    let total: u64 = records.iter().map(&weight).sum();
    let mut point = cast::below(luck, usize::try_from(total).unwrap_or(usize::MAX)) as u64;
    for (place, record) in records.iter().enumerate() {
        let weight = weight(record);
        if point < weight {
            return place;
        }
        point -= weight;
    }
    0
}
