//! The same client, or key, to the same instance: weighted rendezvous hashing.
//!
//! Each instance draws an exponential variate from its hash and the key's, divided by its weight;
//! the smallest owns the key. When an instance goes only its keys move, when one comes only those
//! it takes, and every server computes the same owner from the members alone.

use crate::balance::exponential::{exponential, floor};
use crate::balance::random::{smallest, with_scratch};

/// The seats of a pool: who may own a key.
#[derive(Debug)]
pub(super) struct Rendezvous {
    seats: Box<[Seat]>,
    units: usize,
}

/// An instance. A unit ranks as its best instance does, which is right for summed weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    hash: u64,
    /// What the variate is multiplied by: one over the weight.
    length: f32,
    unit: u32,
}

impl Seat {
    /// `weight` 0 ranks behind all others, among its like by `base`.
    pub(super) fn new(hash: u64, weight: u32, base: u16, unit: u32) -> Self {
        /// Over the largest variate of the lightest, under the smallest of the heaviest.
        const LAST: f32 = 1.2e30;
        let length = if weight > 0 { 1.0 / weight as f32 } else { LAST / f32::from(base.max(1)) };
        Self { hash, length, unit }
    }

    fn score(self, bits: u64) -> f64 {
        exponential(bits) * f64::from(self.length)
    }
}

impl Rendezvous {
    pub(super) fn new(seats: impl Iterator<Item = Seat>, units: usize) -> Self {
        Self { seats: seats.collect(), units }
    }

    /// Who ranks first for a key. `None` when there are no seats.
    pub(super) fn best(&self, key: u64) -> Option<u32> {
        let mut best = (f64::INFINITY, None);
        for seat in &self.seats {
            let bits = mix(key, seat.hash);
            // Most cannot win, and that is cheap to see.
            if floor(bits) * f64::from(seat.length) < best.0 {
                let score = seat.score(bits);
                if score < best.0 {
                    best = (score, Some(seat.unit));
                }
            }
        }
        best.1
    }

    /// Appends the `k` units that rank first for a key, best first.
    pub(super) fn top(&self, key: u64, k: usize, out: &mut Vec<u32>) {
        let k = k.min(self.units);
        if k > FEW {
            return with_scratch(self.units, |units| {
                self.rank(key, units);
                smallest(units, k);
                out.extend(units[..k].iter().map(|(_, unit)| unit));
            });
        }
        let mut best = [(f64::INFINITY, 0); FEW];
        let best = self.first(key, &mut best[..k]);
        out.extend(best.iter().map(|(_, unit)| unit));
    }

    /// Fills `best` with the units that rank first, and returns as many as there are.
    pub(super) fn first<'a>(&self, key: u64, best: &'a mut [(f64, u32)]) -> &'a [(f64, u32)] {
        let mut found = 0;
        for seat in &self.seats {
            let bits = mix(key, seat.hash);
            let worst = best.last().map_or(0.0, |(score, _)| *score);
            if floor(bits) * f64::from(seat.length) < worst {
                found += usize::from(insert(best, found, seat.score(bits), seat.unit));
            }
        }
        &best[..found]
    }

    /// The first in rank for which `fits` holds.
    pub(super) fn find(&self, key: u64, fits: impl Fn(u32) -> bool) -> Option<u32> {
        let mut few = [(f64::INFINITY, 0); FEW];
        let few = self.first(key, &mut few);
        if let Some((_, unit)) = few.iter().find(|(_, unit)| fits(*unit)) {
            return Some(*unit);
        }
        with_scratch(self.units, |units| {
            self.rank(key, units);
            smallest(units, self.units);
            units.iter().map(|(_, unit)| *unit).find(|unit| fits(*unit))
        })
    }

    /// The score of every unit.
    fn rank(&self, key: u64, units: &mut [(f64, u32)]) {
        for (unit, place) in (0..).zip(&mut *units) {
            *place = (f64::INFINITY, unit);
        }
        for seat in &self.seats {
            let score = &mut units[seat.unit as usize].0;
            *score = score.min(seat.score(mix(key, seat.hash)));
        }
    }
}

/// Inserts a unit into the sorted `best`, of which `found` are taken. The worst falls out when it
/// is full; a unit that is there twice keeps its better score. Whether `found` grew.
fn insert(best: &mut [(f64, u32)], found: usize, score: f64, unit: u32) -> bool {
    let known = best[..found].iter().position(|(_, known)| *known == unit);
    // The place that is given up: the unit's own, the first free one, or the last.
    let end = known.unwrap_or_else(|| found.min(best.len() - 1));
    if best[end].0 <= score {
        return false;
    }
    let at = best[..end].partition_point(|(other, _)| *other <= score);
    best.copy_within(at..end, at + 1);
    best[at] = (score, unit);
    known.is_none() && found < best.len()
}

/// The bits that an instance draws for a key (the finaliser of splitmix64).
fn mix(key: u64, instance: u64) -> u64 {
    let mut bits = key ^ instance;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Up to how many the best are kept sorted as they come.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::hash::{instance_hash, key_hash};
    use crate::balance::pool::Ask;
    use crate::balance::testing::{Stand, ask, chi_square_is_plausible, pool, rng, spec};
    use crate::model::{AnswerMode, Balance, Load, Millis};

    const KEYS: u32 = 20_000;

    fn keys() -> impl Iterator<Item = u64> {
        (0..KEYS).map(|i| key_hash(format!("user-{i}").as_bytes()))
    }

    /// Who owns each key among instances of these names and weights.
    fn owners(instances: &[(&str, u32)]) -> Vec<String> {
        let seat = |(unit, (id, weight)): (u32, &(&str, u32))| {
            Seat::new(instance_hash(id), *weight, 1, unit)
        };
        let seats = Rendezvous::new((0..).zip(instances).map(seat), instances.len());
        let owner = |key| instances[seats.best(key).unwrap() as usize].0.to_owned();
        keys().map(owner).collect()
    }

    fn shares(owners: &[String], ids: &[&str]) -> Vec<u64> {
        let count = |id: &&str| owners.iter().filter(|owner| owner == id).count() as u64;
        ids.iter().map(count).collect()
    }

    #[test]
    fn keys_go_by_weight() {
        let instances = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];

        let seen = shares(&owners(&instances), &["a", "b", "c", "d"]);

        chi_square_is_plausible(&seen, &[1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn no_instance_has_many_more_than_the_mean() {
        for n in [10, 50] {
            let ids: Vec<String> = (0..n).map(|i| format!("web-{i}")).collect();
            let instances: Vec<(&str, u32)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();

            let most = shares(&owners(&instances), &ids).into_iter().max().unwrap();

            // 1 + sqrt(2 ln n x n / keys) + 2 %.
            let bound = 1.02 + (2.0 * f64::from(n).ln() * f64::from(n) / f64::from(KEYS)).sqrt();
            assert!(most as f64 <= bound * f64::from(KEYS) / f64::from(n), "{most} of {n}");
        }
    }

    #[test]
    fn a_removed_instance_moves_its_keys_only_and_spreads_them() {
        let before = owners(&[("a", 1), ("b", 1), ("c", 2), ("d", 1)]);
        let after = owners(&[("a", 1), ("c", 2), ("d", 1)]);

        let moved: Vec<String> = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
            .map(|(before, after)| {
                assert_eq!(before, "b");
                after.clone()
            })
            .collect();
        assert_eq!(moved.len(), before.iter().filter(|owner| *owner == "b").count());
        chi_square_is_plausible(&shares(&moved, &["a", "c", "d"]), &[1.0, 2.0, 1.0]);
    }

    #[test]
    fn an_added_instance_takes_its_share_and_nothing_else_moves() {
        let before = owners(&[("a", 1), ("b", 1), ("c", 1)]);
        let after = owners(&[("a", 1), ("b", 1), ("new", 1), ("c", 1)]);

        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        let moved: Vec<&String> = moved.map(|(_, after)| after).collect();
        assert!(moved.iter().all(|after| *after == "new"));
        chi_square_is_plausible(
            &[moved.len() as u64, u64::from(KEYS) - moved.len() as u64],
            &[1.0, 3.0],
        );
    }

    #[test]
    fn a_changed_weight_moves_keys_to_or_from_that_instance_only() {
        let before = owners(&[("a", 4), ("b", 4), ("c", 4)]);
        let after = owners(&[("a", 4), ("b", 5), ("c", 4)]);

        let moved: Vec<&String> = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
            .map(|(_, after)| after)
            .collect();
        assert!(moved.iter().all(|after| *after == "b"));
        let moved = moved.len() as u64;
        // From 4/12 to 5/13: 2/39 of all keys.
        chi_square_is_plausible(&[moved, u64::from(KEYS) - moved], &[2.0, 37.0]);
    }

    #[test]
    fn owners_are_the_same_in_every_release() {
        let pool = pool(Balance::ConsistentHash, AnswerMode::Single, &[1, 2, 3, 4, 5]);
        let mut out = Vec::new();

        let ranks = ["user-1", "user-2", "user-3"].map(|key| {
            pool.owners.ranked(key_hash(key.as_bytes()), &ask(), &mut out);
            out.clone()
        });

        assert_eq!(ranks, [[1, 2, 4, 3, 0], [2, 4, 0, 3, 1], [2, 1, 3, 4, 0]]);
    }

    #[test]
    fn short_and_long_ranks_agree() {
        let seat = |unit: u32| Seat::new(instance_hash(&format!("{unit}")), unit % 5, 3, unit / 2);
        let seats = Rendezvous::new((0..100).map(seat), 50);

        for key in keys().take(200) {
            let (mut all, mut some) = (Vec::new(), Vec::new());
            seats.top(key, 50, &mut all);
            seats.top(key, 16, &mut some);

            assert_eq!(some, all[..16]);
            assert_eq!(seats.best(key), Some(all[0]));
            all.sort_unstable();
            assert_eq!(all, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_has_no_weight_ranks_last() {
        let seat = |unit: u32| Seat::new(instance_hash(&format!("{unit}")), unit / 3, 7, unit);
        let seats = Rendezvous::new((0..6).map(seat), 6);

        for key in keys().take(500) {
            let mut out = Vec::new();
            seats.top(key, 6, &mut out);
            out[3..].sort_unstable();
            assert_eq!(out[3..], [0, 1, 2]);
        }
    }

    #[test]
    fn a_unit_owns_what_its_instances_would() {
        let ids = ["a", "b", "c", "d"];
        let seats = |units: [u32; 4]| {
            let seat = |(id, unit): (&&str, u32)| Seat::new(instance_hash(id), 1, 1, unit);
            Rendezvous::new(ids.iter().zip(units).map(seat), 4)
        };
        let (apart, together) = (seats([0, 1, 2, 3]), seats([0, 0, 2, 2]));

        for key in keys().take(1_000) {
            let unit = apart.best(key).map(|unit| unit / 2 * 2);
            assert_eq!(together.best(key), unit);
        }
    }

    fn report(pool: &Stand, unit: u32, connections: f64) {
        let load = Load { connections: Some(connections), ..Load::default() };
        pool.members[unit as usize].meter.meter().report(load, Millis(0));
    }

    #[test]
    fn no_instance_is_loaded_over_its_bound() {
        let pool = pool(Balance::ConsistentHash, AnswerMode::Single, &[2; 20]);
        let mut load = [0_u32; 20];
        (0..20).for_each(|unit| report(&pool, unit, 0.0));

        // Keys of very different popularity; each request is a connection that stays.
        for (i, key) in keys().take(4_000).enumerate() {
            let key = if i % 3 == 0 { key } else { key_hash(format!("hot-{}", i % 40).as_bytes()) };
            let now = Millis(i as u64);
            let owner = pool.owners.owner(key, &Ask { now, ..ask() }).unwrap();
            load[owner as usize] += 1;
            report(&pool, owner, load[owner as usize].into());

            let bound = (1.25 * (i as f64 + 1.0) / 20.0).ceil();
            assert!(f64::from(load[owner as usize]) <= bound, "{load:?}");
        }
    }

    #[test]
    fn an_overloaded_owner_is_followed_by_the_next_in_rank() {
        let pool = pool(Balance::ConsistentHash, AnswerMode::Single, &[1; 5]);
        let mut ranks = Vec::new();
        pool.owners.ranked(7, &ask(), &mut ranks);
        let client = Ask { client: 7, ..ask() };
        let pick = || {
            let mut out = Vec::new();
            pool.pick(&client, &mut rng(1), &mut out);
            out
        };
        assert_eq!(pick(), ranks[..1]);

        (0..5).for_each(|unit| report(&pool, unit, 10.0));
        report(&pool, ranks[0], 30.0);
        assert_eq!(pick(), ranks[1..2]);

        report(&pool, ranks[1], 30.0);
        assert_eq!(pick(), ranks[2..3]);
    }

    #[test]
    fn who_does_not_report_is_not_passed_over() {
        let pool = pool(Balance::ConsistentHash, AnswerMode::Single, &[1; 5]);
        let mut ranks = Vec::new();
        pool.owners.ranked(7, &ask(), &mut ranks);
        report(&pool, ranks[1], 30.0);
        report(&pool, ranks[2], 0.0);

        assert_eq!(pool.owners.owner(7, &ask()), Some(ranks[0]));
    }

    #[test]
    fn more_than_one_come_in_rank_order() {
        let mut spec = spec(Balance::ConsistentHash, AnswerMode::Ordered, &[3, 1, 4, 1, 5]);
        spec.max_answers = 3;
        let pool = Stand::new(spec, 1);
        let (mut ranks, mut out) = (Vec::new(), Vec::new());
        pool.owners.ranked(1, &ask(), &mut ranks);

        pool.pick(&ask(), &mut rng(2), &mut out);
        assert_eq!(out, ranks[..3]);
        pool.order(&ask(), &mut rng(2), &mut out);
        assert_eq!(out, ranks);
    }
}
