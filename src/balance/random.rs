//! By chance, in proportion to weight.

use rand::Rng;

use crate::balance::cast;
use crate::balance::dice;
use crate::balance::exponential::exponential;
use crate::balance::pps::Lines;
use crate::balance::units::Units;

/// The `random` algorithm. It has no state: what it costs does not grow with the workers.
#[derive(Debug)]
pub(super) struct Random {
    lot: Lot,
    lines: Option<Box<Lines>>,
}

impl Random {
    /// `sampled` when it will be asked for samples.
    pub(super) fn new(units: &Units, sampled: bool, rng: &mut impl Rng) -> Self {
        Self { lot: Lot::new(units), lines: sampled.then(|| Lines::new(units, rng).into()) }
    }

    /// One unit.
    pub(super) fn one(&self, rng: &mut impl Rng) -> Option<u32> {
        self.lot.draw(rng)
    }

    /// `k` units, each in the set in proportion to its weight.
    pub(super) fn sample(&self, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        match &self.lines {
            Some(lines) => lines.random(k, rng, out),
            None => self.lot.extend(k, rng, out),
        }
    }

    /// The first `k` of a weighted order.
    pub(super) fn front(&self, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        self.lot.extend(k, rng, out);
    }
}

/// Weighted draws, with and without putting back.
#[derive(Debug)]
pub(super) struct Lot {
    units: Units,
    alias: Alias,
}

impl Lot {
    pub(super) fn new(units: &Units) -> Self {
        Self { alias: Alias::new(units), units: units.clone() }
    }

    /// One unit in proportion to weight. `None` only when there are no units.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Option<u32> {
        self.alias.draw(rng)
    }

    /// Draws units that are not in `out` yet and appends them, until it holds `k`. The law is
    /// RFC 2782's: each draw in proportion to the weights of those left, weight 0 last.
    pub(super) fn extend(&self, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        let live = self.units.live();
        let wanted = k.min(live);
        // A few of many: draw and put back what is there already. When one unit has nearly all
        // the weight that may take long; sorting what is left goes on by the same law.
        if wanted <= FEW && wanted * 2 <= live {
            for _ in 0..TRIES * wanted {
                if out.len() >= wanted {
                    break;
                }
                out.extend(self.draw(rng).filter(|unit| !out.contains(unit)));
            }
        }
        if out.len() < wanted {
            self.draw_left(wanted - out.len(), rng, out);
        }
        let from = out.len();
        if from < k {
            out.extend(self.units.indices(false));
            dice::shuffle(rng, &mut out[from..]);
            out.truncate(k);
        }
    }

    /// Appends the units with a weight that are not in `out` yet, in any order.
    fn fill(&self, out: &mut Vec<u32>) {
        let n = self.units.len();
        if self.units.live() < n || out.len() > 1 {
            let taken = out.len();
            for unit in self.units.indices(true) {
                if !out[..taken].contains(&unit) {
                    out.push(unit);
                }
            }
            return;
        }
        // All, and at most the first is there already: who takes its place takes the other's.
        let first = out.pop();
        out.extend(0..cast::unit(n));
        if let Some(first) = first {
            out.swap(0, first as usize);
        }
    }

    /// Appends `k` of the units with a weight that are not in `out` yet.
    #[inline]
    fn draw_left(&self, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        let (taken, live) = (out.len(), self.units.live());
        if self.units.even() && k + taken == live {
            self.fill(out);
            dice::shuffle(rng, &mut out[taken..]);
        } else if self.units.len() <= FEW {
            self.draw_each(k, rng, out);
        } else {
            self.sort(k, rng, out);
        }
    }

    /// One after the other, as the law is written down: what a few cost least by.
    #[inline]
    fn draw_each(&self, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        let n = self.units.len();
        let (mut weights, mut left) = ([0; FEW], self.units.total());
        weights[..n].copy_from_slice(self.units.weights());
        for unit in &*out {
            left -= std::mem::take(&mut weights[*unit as usize]);
        }
        for _ in 0..k {
            let point = dice::below(rng, left);
            // How many units end before the point. What is taken already has no width.
            let (mut sum, mut unit) = (0, 0);
            for weight in &weights[..n] {
                sum += weight;
                unit += u32::from(sum <= point);
            }
            left -= std::mem::take(&mut weights[unit as usize]);
            out.push(unit);
        }
    }

    /// Efraimidis and Spirakis: the smallest exponential variates over weight, in their order.
    #[inline(never)]
    fn sort(&self, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        let taken = out.len();
        with_scratch(self.units.live() - taken, |keys| {
            let left = self.units.indices(true).filter(|unit| !out.contains(unit));
            for (key, unit) in keys.iter_mut().zip(left) {
                let weight = f64::from(self.units.weights()[unit as usize]);
                *key = (exponential(rng.next_u64()) / weight, unit);
            }
            smallest(keys, k);
            out.extend(keys[..k].iter().map(|(_, unit)| unit));
        });
    }
}

/// Sorts the `k` smallest keys to the front; k is at most the number of keys, none is negative.
pub(super) fn smallest(keys: &mut [(f64, u32)], k: usize) {
    // The bits of floats that are not negative sort as the floats do, and compare faster.
    let bits = |(key, unit): &(f64, u32)| (key.to_bits(), *unit);
    if k < keys.len() && k > 0 {
        keys.select_nth_unstable_by_key(k - 1, bits);
    }
    keys[..k].sort_unstable_by_key(bits);
}

/// Lends `n` pairs, from the stack unless they are many.
pub(super) fn with_scratch<R>(n: usize, work: impl FnOnce(&mut [(f64, u32)]) -> R) -> R {
    let mut few = [(0.0, 0); 64];
    match few.get_mut(..n) {
        Some(pairs) => work(pairs),
        None => work(&mut vec![(0.0, 0); n]),
    }
}

/// Walker's alias table: a weighted draw for the price of one random number.
#[derive(Debug)]
struct Alias(Box<[Column]>);

/// A column is mostly one unit and for the rest another. The table has one per unit.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// How much of it is the unit's own, in 1/2^32.
    own: u32,
    /// Whose the rest is; its own when the column is full.
    other: u32,
}

impl Alias {
    /// Vose's construction, in whole numbers: a column holds the sum of all weights, a unit
    /// brings its weight times the number of columns.
    fn new(units: &Units) -> Self {
        let (n, total) = (units.len() as u64, u64::from(units.total()));
        let mut left: Vec<u64> = units.weights().iter().map(|&w| u64::from(w) * n).collect();
        let all = 0..cast::unit(units.len());
        let mut columns: Box<[Column]> =
            all.clone().map(|unit| Column { own: u32::MAX, other: unit }).collect();
        let (mut poor, mut rich): (Vec<u32>, Vec<u32>) =
            all.partition(|&unit| left[unit as usize] < total);
        while let (Some(from), Some(to)) = (rich.last().copied(), poor.pop()) {
            let own = left[to as usize];
            let share = u32::try_from((own << 32) / total).unwrap_or(u32::MAX);
            columns[to as usize] = Column { own: share, other: from };
            left[from as usize] -= total - own;
            if left[from as usize] < total {
                rich.pop();
                poor.push(from);
            }
        }
        Self(columns)
    }

    fn draw(&self, rng: &mut impl Rng) -> Option<u32> {
        let (unit, coin) = dice::high(rng.next_u64(), cast::unit(self.0.len()));
        let column = self.0.get(unit as usize)?;
        Some(if coin >> 32 < u64::from(column.own) { unit } else { column.other })
    }
}

/// Up to how many a linear search beats anything cleverer.
const FEW: usize = 16;

/// Draws per unit before the rest is sorted.
const TRIES: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::balance::testing::{chi_square_is_plausible, chi_square_sigmas, rng};

    fn lot(weights: &[u64]) -> Lot {
        Lot::new(&Units::reduced(weights))
    }

    /// How often each order of the first `k` comes in `m` draws, against RFC 2782's law.
    fn follows_the_law(weights: &[u64], k: usize, m: u32) {
        let (lot, mut rng, mut out) = (lot(weights), rng(3), Vec::new());
        let mut seen = BTreeMap::<Vec<u32>, u64>::new();
        for _ in 0..m {
            out.clear();
            lot.extend(k, &mut rng, &mut out);
            *seen.entry(out.clone()).or_default() += 1;
        }

        let probability = |order: &Vec<u32>| {
            let mut left: u64 = weights.iter().sum();
            let each = order.iter().map(|&unit| {
                let weight = weights[unit as usize];
                let share = weight as f64 / left as f64;
                left -= weight;
                share
            });
            each.product::<f64>()
        };
        let expected: Vec<f64> = seen.keys().map(probability).collect();
        assert!((expected.iter().sum::<f64>() - 1.0).abs() < 1e-9, "not every order came");
        chi_square_is_plausible(&seen.into_values().collect::<Vec<_>>(), &expected);
    }

    #[test]
    fn a_million_draws_are_in_proportion_to_weight() {
        const DRAWS: u64 = 50_000;
        for weights in [&[1, 2][..], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], &[99, 1], &[0, 3, 0, 1]] {
            let lot = lot(weights);
            let live: Vec<usize> = (0..weights.len()).filter(|unit| weights[*unit] > 0).collect();
            let expected: Vec<f64> = live.iter().map(|unit| weights[*unit] as f64).collect();
            let mut all = vec![0; live.len()];
            let sigmas = (0..20).map(|seed| {
                let (mut rng, mut seen) = (rng(seed), vec![0; weights.len()]);
                for _ in 0..DRAWS {
                    seen[lot.draw(&mut rng).unwrap() as usize] += 1;
                }
                let seen: Vec<u64> = live.iter().map(|unit| seen[*unit]).collect();
                assert_eq!(seen.iter().sum::<u64>(), DRAWS, "weight 0 is never drawn");
                all.iter_mut().zip(&seen).for_each(|(all, seen)| *all += seen);
                chi_square_sigmas(&seen, &expected)
            });
            let sigmas: Vec<f64> = sigmas.collect();

            // One in a hundred is over 2.33, one in a thousand over 3.09.
            assert!(sigmas.iter().all(|z| *z < 3.09), "{weights:?}: {sigmas:?}");
            assert!(sigmas.iter().filter(|z| **z > 2.33).count() <= 1, "{weights:?}: {sigmas:?}");
            chi_square_is_plausible(&all, &expected);
        }
    }

    #[test]
    fn an_order_follows_rfc_2782() {
        follows_the_law(&[1, 2, 3, 4], 4, 60_000);
        follows_the_law(&[1, 2, 3, 4], 3, 60_000);
    }

    #[test]
    fn a_few_of_many_follow_rfc_2782_too() {
        follows_the_law(&[1, 2, 3, 4, 5, 6], 2, 60_000);
    }

    #[test]
    fn a_dominant_weight_changes_the_way_and_not_the_law() {
        follows_the_law(&[50, 1, 2, 1], 2, 60_000);
    }

    #[test]
    fn what_has_no_weight_comes_last() {
        let (lot, mut rng, mut out) = (lot(&[0, 5, 0, 1]), rng(4), Vec::new());

        for _ in 0..100 {
            out.clear();
            lot.extend(4, &mut rng, &mut out);
            let mut halves = [[out[0], out[1]], [out[2], out[3]]];
            halves.iter_mut().for_each(|half| half.sort_unstable());
            assert_eq!(halves, [[1, 3], [0, 2]]);
        }
    }

    #[test]
    fn the_smallest_are_sorted_to_the_front() {
        let mut keys = [(5.0, 0), (1.0, 1), (4.0, 2), (2.0, 3), (3.0, 4)];

        smallest(&mut keys, 3);

        assert_eq!(keys[..3], [(1.0, 1), (2.0, 3), (3.0, 4)]);
    }
}
