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
        let best = &mut best[..k];
        let mut found = 0;
        for seat in &self.seats {
            let bits = mix(key, seat.hash);
            let Some(worst) = best.last().map(|(score, _)| *score) else { return };
            if floor(bits) * f64::from(seat.length) < worst {
                found += usize::from(insert(best, found, seat.score(bits), seat.unit));
            }
        }
        out.extend(best[..found].iter().map(|(_, unit)| unit));
    }

    /// The first in rank for which `fits` holds.
    pub(super) fn find(&self, key: u64, fits: impl Fn(u32) -> bool) -> Option<u32> {
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
    if known.is_some_and(|at| best[at].0 <= score) {
        return false;
    }
    let end = known.unwrap_or_else(|| found.min(best.len() - 1));
    let at = best[..end].partition_point(|(other, _)| *other <= score);
    if best[end].0 <= score && known.is_none() && found == best.len() {
        return false;
    }
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
