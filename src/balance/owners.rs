//! Who owns a key among the instances of a pool, and who comes after: weighted rendezvous hashing
//! within bounds of load.
//!
//! Part of a `consistent_hash` pool; for names with a key it is made beside any pool.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::balance::consistent_hash::{Rendezvous, Seat};
use crate::balance::gauges::Gauges;
use crate::balance::hash::instance_hash;
use crate::balance::meter::ONE;
use crate::balance::pool::{Ask, Member};
use crate::balance::traffic::Stream;
use crate::model::Balance;

/// The owners of keys.
#[derive(Debug)]
pub struct Owners {
    ranks: Rendezvous,
    gauges: Gauges,
    units: usize,
    /// `None` when every key has one owner.
    spread: Option<Box<Spread>>,
}

/// What becomes of a key that is too much for one.
#[derive(Debug)]
struct Spread {
    /// Over how many owners it goes.
    replicas: usize,
    stream: Stream,
    turns: AtomicU64,
}

impl Owners {
    /// Among `members` of this many units, in a service of this algorithm.
    #[must_use]
    pub fn new(members: &[Member<'_>], units: usize, balance: Balance) -> Self {
        let ranks = Rendezvous::new(members.iter().map(|m| seat(m, lasting(m, balance))), units);
        let gauges = Gauges::new(members, units, |member| lasting(member, balance));
        Self { ranks, gauges, units, spread: None }
    }

    /// With a key that is more than one unit may hold going to its first `replicas` units, by weight.
    /// How much a key is comes from `stream`, which counts it.
    #[must_use]
    pub fn spreading(mut self, stream: Stream, replicas: u16) -> Self {
        self.spread(stream, replicas);
        self
    }

    /// As [`Owners::spreading`].
    pub(super) fn spread(&mut self, stream: Stream, replicas: u16) {
        let replicas = usize::from(replicas).min(self.units).min(MOST_REPLICAS);
        if replicas > 1 {
            self.spread = Some(Box::new(Spread { replicas, stream, turns: AtomicU64::new(0) }));
        }
    }

    /// The unit that owns a key: the best ranked one whose load is within 1.25 of its share, when
    /// load is reported. `None` when there are none.
    #[must_use]
    pub fn owner(&self, key: u64, ask: &Ask) -> Option<u32> {
        Some(self.settle(key, self.ranks.best(key)?, ask))
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
        let Some(&best) = out.first() else { return };
        let owner = self.settle(key, best, ask);
        if owner == best {
            return;
        }
        let last = out.len() - 1;
        let at = out.iter().position(|unit| *unit == owner).unwrap_or(last);
        out[at] = owner;
        out[..=at].rotate_right(1);
    }

    /// Who gets a key of which `best` ranks first.
    ///
    /// | load is reported | the key is too much for one | it may get more | who |
    /// |---|---|---|---|
    /// | no | | | the best |
    /// | yes | no | yes | the best |
    /// | yes | yes | yes | one of the first, in turn |
    /// | yes | | no | the first by rank that may get more |
    fn settle(&self, key: u64, best: u32, ask: &Ask) -> u32 {
        let Some(density) = self.gauges.density(ask.now) else { return best };
        let fits = |unit| self.gauges.fits(unit, density, ask.now, ask.peek);
        let wanted = self.shared(key, best, density, ask).unwrap_or(best);
        let owner = if fits(wanted) { Some(wanted) } else { self.ranks.find(key, fits) };
        let owner = owner.unwrap_or(wanted);
        if !ask.peek {
            self.gauges.hand_out(owner, ONE, ask.now);
        }
        owner
    }

    /// Whose turn it is among the first owners of a key, when it is too much for `best` alone.
    fn shared(&self, key: u64, best: u32, density: f64, ask: &Ask) -> Option<u32> {
        let Spread { replicas, stream, turns } = &**self.spread.as_ref()?;
        let gaps = if ask.peek { stream.look(key) } else { stream.note(key, ask.now) };
        let rate = f64::from(stream.estimate(gaps).rate);
        let total = f64::from(stream.total());
        let (all, most) = self.gauges.allowance(best, density);
        // Its part of the connections against those that one may hold.
        if total <= 0.0 || rate / total * all <= most {
            return None;
        }
        let mut few = [(f64::INFINITY, 0); MOST_REPLICAS];
        let first = self.ranks.first(key, &mut few[..*replicas]);
        let turn = turns.fetch_add(u64::from(!ask.peek), Ordering::Relaxed);
        // By the golden ratio, from a start of its own: close to the weights at any time.
        let point = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(key);
        let weights = || first.iter().map(|(_, unit)| self.gauges.weight(*unit));
        let mut left = point as f64 / 2_f64.powi(64) * weights().sum::<f64>();
        let at = weights().position(|weight| {
            left -= weight;
            left < 0.0
        });
        first.get(at.unwrap_or(0)).map(|(_, unit)| *unit)
    }
}

/// Over how many owners a key goes at most.
const MOST_REPLICAS: usize = 8;

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::balance::testing::{ask, members};
    use crate::balance::traffic::{Asked, Traffic};
    use crate::model::{Load, Millis};

    fn report(members: &[Member<'_>], unit: u32, connections: f64) {
        let load = Load { connections: Some(connections), ..Load::default() };
        members[unit as usize].meter.meter().report(load, Millis(0));
    }

    #[test]
    fn an_owner_that_had_too_much_gets_its_keys_back_when_there_is_room_to_spare() {
        let members = members(&[1; 5]);
        let owners = Owners::new(&members, 5, Balance::ConsistentHash);
        let mut ranks = Vec::new();
        owners.ranked(7, &ask(), &mut ranks);
        (0..5).for_each(|unit| report(&members, unit, 100.0));
        let owner = |connections, peek| {
            report(&members, ranks[0], connections);
            owners.owner(7, &Ask { peek, ..ask() }).unwrap()
        };

        // Over 1.25 of its share, which is 133 of 530 and 136 of 540.
        assert_eq!(owner(130.0, false), ranks[0]);
        assert_eq!(owner(140.0, true), ranks[1]);
        assert_eq!(owner(125.0, false), ranks[0], "who only looks decides nothing");
        assert_eq!(owner(140.0, false), ranks[1]);
        // Not under 1.15 yet, which is 121 of 525; and then it is.
        assert_eq!(owner(125.0, false), ranks[1]);
        assert_eq!(owner(115.0, false), ranks[0]);
        assert_eq!(owner(125.0, false), ranks[0]);
    }

    /// The shares of the owners of key 1, by rank, when it is asked for in so many percent of the
    /// queries, and each instance of these weights reports 10 connections.
    fn shares(weights: &[u32], replicas: u16, percent: u64) -> (Vec<f64>, Vec<u32>) {
        let members = members(weights);
        (0..weights.len()).for_each(|unit| report(&members, u32::try_from(unit).unwrap(), 10.0));
        let traffic = Arc::new(Traffic::new(Duration::from_secs(5), 1));
        let owners = Owners::new(&members, weights.len(), Balance::ConsistentHash)
            .spreading(Stream::new(&traffic, Asked::V4), replicas);
        let (mut ranks, mut seen, mut all) = (Vec::new(), vec![0.0; weights.len()], 0.0);
        owners.ranks.top(1, owners.units, &mut ranks);
        // 500 a second. It takes some seconds until they are known.
        for i in 0..20_000 {
            let key = if i * 37 % 100 < percent { 1 } else { 1_000 + i % 150 };
            let owner = owners.owner(key, &Ask { now: Millis(i * 2), ..ask() }).unwrap();
            if key == 1 && i >= 10_000 {
                seen[ranks.iter().position(|unit| *unit == owner).unwrap()] += 1.0;
                all += 1.0;
            }
        }
        (seen.into_iter().map(|seen| seen / all).collect(), ranks)
    }

    #[test]
    fn a_key_that_is_too_much_for_one_goes_to_its_first_owners_in_turn() {
        // An eighth of the load is what one of ten may hold.
        for (replicas, percent, expected) in [
            (1, 40, [1.0, 0.0, 0.0, 0.0]),
            (3, 40, [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]),
            (3, 5, [1.0, 0.0, 0.0, 0.0]),
        ] {
            let (seen, _) = shares(&[1; 10], replicas, percent);

            for (seen, expected) in seen.iter().zip(expected) {
                assert!((seen - expected).abs() < 0.002, "{replicas} {percent}: {seen}");
            }
        }
    }

    #[test]
    fn heavier_owners_get_more_of_it() {
        let weights = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

        let (seen, ranks) = shares(&weights, 2, 60);

        let [first, second] = [0, 1].map(|rank| f64::from(weights[ranks[rank] as usize]));
        let expected = first / (first + second);
        assert!((seen[0] - expected).abs() < 0.002, "{seen:?}, {first} and {second}");
    }

    #[test]
    fn the_only_client_of_a_quiet_service_stays_where_it_is() {
        let members = members(&[1; 10]);
        let traffic = Arc::new(Traffic::new(Duration::from_secs(5), 1));
        let owners = Owners::new(&members, 10, Balance::ConsistentHash)
            .spreading(Stream::new(&traffic, Asked::V4), 8);
        (0..10).for_each(|unit| report(&members, unit, 0.0));
        let best = owners.ranks.best(1).unwrap();

        for i in 0..2_000 {
            let ask = Ask { now: Millis(i * 10), ..ask() };
            assert_eq!(owners.owner(1, &ask), Some(best));
        }
    }
}
