//! Who owns a key among the instances of a pool, and who comes after: weighted rendezvous hashing
//! within bounds of load.
//!
//! Part of a `consistent_hash` pool; for names with a key it is made beside any pool.

use crate::balance::consistent_hash::{Rendezvous, Seat};
use crate::balance::gauges::Gauges;
use crate::balance::hash::instance_hash;
use crate::balance::pool::{Ask, Member};
use crate::model::Balance;

/// The owners of keys.
#[derive(Debug)]
pub struct Owners {
    ranks: Rendezvous,
    gauges: Gauges,
    units: usize,
}

impl Owners {
    /// Among `members` of this many units, in a service of this algorithm.
    #[must_use]
    pub fn new(members: &[Member<'_>], units: usize, balance: Balance) -> Self {
        let ranks = Rendezvous::new(members.iter().map(|m| seat(m, lasting(m, balance))), units);
        let gauges = Gauges::new(members, units, |member| lasting(member, balance));
        Self { ranks, gauges, units }
    }

    /// The unit that owns a key: the best ranked one whose load is within 1.25 of its share, when
    /// load is reported. `None` when there are none.
    #[must_use]
    pub fn owner(&self, key: u64, ask: &Ask) -> Option<u32> {
        let best = self.ranks.best(key)?;
        if self.gauges.within_bound(best, ask.now) {
            return Some(best);
        }
        let next = self.ranks.find(key, |unit| self.gauges.within_bound(unit, ask.now));
        next.or(Some(best))
    }

    /// Every unit by its rank for a key, best first: weighted rendezvous hashing, but the owner
    /// before them all. `out` is cleared first.
    pub fn ranked(&self, key: u64, ask: &Ask, out: &mut Vec<u32>) {
        out.clear();
        self.rank(key, self.units, ask, out);
    }

    /// Appends the first `k` by rank. Where the best is overloaded, the owner takes its place, so that
    /// all record types agree on whom a client goes to.
    pub(super) fn rank(&self, key: u64, k: usize, ask: &Ask, out: &mut Vec<u32>) {
        self.ranks.top(key, k, out);
        let moved = out.first().filter(|best| !self.gauges.within_bound(**best, ask.now));
        if moved.is_none() {
            return;
        }
        let Some(owner) = self.owner(key, ask) else { return };
        let last = out.len() - 1;
        let at = out.iter().position(|unit| *unit == owner).unwrap_or(last);
        out[at] = owner;
        out[..=at].rotate_right(1);
    }
}

/// The weight in rendezvous hashing. Where weights in force follow the load, or grow while an
/// instance is new, a key would move with them: there the static weight counts.
pub(super) fn lasting(member: &Member<'_>, balance: Balance) -> u32 {
    match balance {
        Balance::RoundRobin => member.weight.min(1),
        Balance::ConsistentHash => member.weight,
        Balance::Random | Balance::WeightedRoundRobin | Balance::LeastConnections => {
            if member.weight > 0 { member.base.into() } else { 0 }
        }
    }
}

/// The seat of a member that weighs `weight`.
pub(super) fn seat(member: &Member<'_>, weight: u32) -> Seat {
    Seat::new(instance_hash(member.id), weight, member.base, member.unit)
}
