//! Systematic sampling with inclusion in proportion to size (Madow 1949).
//!
//! Weights laid end to end make a line; k points at equal distances from a common offset pick the
//! units they fall on. Each is picked with probability k x w/W exactly, and no unit twice as long
//! as none is longer than the distance. A set shuffled afterwards keeps the shares of first place
//! under any cache: one that rotates, shuffles or freezes.
//!
//! Neighbours on the line come together, so there are several lines, shuffled when built.

use rand::Rng;

use crate::balance::cast;
use crate::balance::dice;
use crate::balance::units::Units;

/// How many lines a pool has.
const LINES: usize = 8;

/// The lines of a pool. A sample costs k lookups, whatever the number of units.
#[derive(Debug)]
pub(super) struct Lines {
    lines: [Line; LINES],
    /// Where each line's sequence of offsets starts, as a fraction of 2^64.
    starts: [u64; LINES],
    /// The length of a line.
    total: u32,
}

impl Lines {
    /// Shuffles the units into lines. A unit of weight 0 is on none.
    pub(super) fn new(units: &Units, rng: &mut impl Rng) -> Self {
        Self {
            lines: std::array::from_fn(|_| Line::new(units, rng)),
            starts: std::array::from_fn(|_| rng.next_u64()),
            total: units.total(),
        }
    }

    /// Appends `k` units, on a random line at a random offset.
    pub(super) fn random(&self, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        let line = dice::below(rng, cast::unit(LINES)) as usize;
        self.sample(line, rng.next_u64(), k, rng, out);
    }

    /// Appends `k` units for the `turn`-th time: the lines take turns, and on each the offset
    /// advances by the golden ratio, so that counts follow the weights closely at any time.
    pub(super) fn golden(&self, turn: u64, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        let (line, offset) = self.golden_offset(turn);
        self.sample(line, offset, k, rng, out);
    }

    /// As [`Lines::golden`], one unit. `None` when there are none.
    pub(super) fn golden_one(&self, turn: u64) -> Option<u32> {
        let (line, offset) = self.golden_offset(turn);
        let point = dice::high(offset, self.total).0;
        (self.total > 0).then(|| self.lines[line].at(point.into()))
    }

    fn golden_offset(&self, turn: u64) -> (usize, u64) {
        const RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
        let line = cast::index(turn % LINES as u64);
        let offset = (turn / LINES as u64).wrapping_mul(RATIO).wrapping_add(self.starts[line]);
        (line, offset)
    }

    fn sample(&self, line: usize, offset: u64, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        if self.total == 0 || k == 0 {
            return;
        }
        let from = out.len();
        let (line, k) = (&self.lines[line], k as u64);
        // The points are (offset + j * total) / k in whole numbers: exact, since so are the ends.
        let offset = u64::from(dice::high(offset, self.total).0);
        let (step, rest) = (u64::from(self.total) / k, u64::from(self.total) % k);
        let (mut point, mut carry) = (offset / k, offset % k);
        for _ in 0..k {
            out.push(line.at(point));
            point += step;
            carry += rest;
            if carry >= k {
                carry -= k;
                point += 1;
            }
        }
        dice::shuffle(rng, &mut out[from..]);
    }
}

/// Units in a random order, each as long as its weight.
#[derive(Debug)]
struct Line {
    units: Box<[u32]>,
    /// `None` when all are of length 1.
    cuts: Option<Cuts>,
}

/// Where units end on a line.
#[derive(Debug)]
struct Cuts {
    ends: Box<[u32]>,
    /// For each stretch of 2^shift, the first unit that reaches into it: a search starts there
    /// and is over after one step on average.
    guide: Box<[u32]>,
    shift: u32,
}

impl Line {
    fn new(units: &Units, rng: &mut impl Rng) -> Self {
        let mut order: Box<[u32]> = units.indices(true).collect();
        dice::shuffle(rng, &mut order);
        let cuts = (!units.even()).then(|| Cuts::new(units, &order));
        Self { units: order, cuts }
    }

    /// The unit that holds a point of the line.
    fn at(&self, point: u64) -> u32 {
        let i = match &self.cuts {
            Some(cuts) => cuts.find(point),
            None => cast::index(point),
        };
        self.units[i]
    }
}

impl Cuts {
    fn new(units: &Units, order: &[u32]) -> Self {
        let mut end = 0;
        let length = |unit: &u32| {
            end += units.weights()[*unit as usize];
            end
        };
        let ends: Box<[u32]> = order.iter().map(length).collect();
        // At least one stretch per unit, less than two.
        let shift = (units.total() / cast::unit(order.len())).checked_ilog2().unwrap_or(0);
        let stretches = ((units.total() - 1) >> shift) + 1;
        let mut unit = 0;
        let guide = (0..=stretches).map(|stretch| {
            let from = u64::from(stretch) << shift;
            while ends.get(unit).is_some_and(|&end| u64::from(end) <= from) {
                unit += 1;
            }
            cast::unit(unit.min(ends.len() - 1))
        });
        Self { guide: guide.collect(), ends, shift }
    }

    fn find(&self, point: u64) -> usize {
        let stretch = cast::index(point >> self.shift);
        let (from, to) = (self.guide[stretch] as usize, self.guide[stretch + 1] as usize);
        from + self.ends[from..to].partition_point(|&end| u64::from(end) <= point)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::RngExt;

    use super::*;
    use crate::balance::testing::{ask, pool, rng};
    use crate::model::{AnswerMode, Balance};

    fn lines(weights: &[u64]) -> (Units, Lines) {
        let units = Units::reduced(weights);
        let lines = Lines::new(&units, &mut rng(1));
        (units, lines)
    }

    #[test]
    fn inclusion_is_exact_and_sets_are_distinct() {
        let mut rng = rng(2);
        for _ in 0..60 {
            let n = rng.random_range(1..=40);
            let weights: Vec<u64> = (0..n).map(|_| rng.random_range(0..=20)).collect();
            let (units, lines) = lines(&weights);
            let k = rng.random_range(1..=8).min(units.widest_sample());
            let (mut counts, mut out) = (vec![0; n], Vec::new());

            // One sample for each offset that makes a difference.
            for offset in 0..u64::from(units.total()) {
                let bits = (u128::from(offset) << 64).div_ceil(u128::from(units.total()));
                out.clear();
                lines.sample(3, cast::halves(bits).1, k, &mut rng, &mut out);
                out.iter().for_each(|unit| counts[*unit as usize] += 1);
                out.sort_unstable();
                out.dedup();
                assert_eq!(out.len(), k, "{weights:?}");
            }

            let expected: Vec<usize> =
                units.weights().iter().map(|weight| *weight as usize * k).collect();
            assert_eq!(counts, expected);
        }
    }

    #[test]
    fn one_unit_with_nearly_all_the_weight_is_found_and_so_are_the_others() {
        let mut weights = vec![1; 1000];
        weights[500] = 1_000_000_000;
        let (units, lines) = lines(&weights);
        let line = &lines.lines[0];

        let mut at = 0;
        for &unit in &line.units {
            assert_eq!(line.at(at), unit);
            at += u64::from(units.weights()[unit as usize]);
            assert_eq!(line.at(at - 1), unit);
        }
    }

    /// How far counts are from what the weights say, at worst, over these turns.
    fn worst_deviation(weights: &[u64], k: usize, turns: impl Iterator<Item = u64>) -> f64 {
        let (units, lines) = lines(weights);
        let (mut rng, mut out, mut counts) = (rng(4), Vec::new(), vec![0.0; weights.len()]);
        let (mut fluid, mut worst) = (0.0, 0.0_f64);
        for turn in turns {
            out.clear();
            lines.golden(turn, k, &mut rng, &mut out);
            out.iter().for_each(|unit| counts[*unit as usize] += 1.0);
            fluid += k as f64 / f64::from(units.total());
            for (count, weight) in counts.iter().zip(units.weights()) {
                worst = worst.max((count - fluid * f64::from(*weight)).abs());
            }
        }
        worst
    }

    /// One line, which every eighth answer is of, is off by 4 at most. All eight together could be
    /// off by eight times as much, and are by the root of that mostly: what is won are many sets.
    #[test]
    fn golden_offsets_keep_counts_close_to_the_weights() {
        let mut draws = rng(6);
        let random: Vec<u64> = (0..24).map(|_| draws.random_range(1..=100)).collect();
        for weights in
            [&[1, 1, 2, 2, 3, 3, 3, 3][..], &[7; 9], &[90, 80, 85, 89, 11, 90, 90], &random]
        {
            for k in [1, 2, 3, 4] {
                let line = worst_deviation(weights, k, (0..100_000).map(|turn| turn * 8));
                let all = worst_deviation(weights, k, 0..100_000);
                println!("{weights:?} k {k}: line {line:.2} all {all:.2}");

                // Chance would be off by the root of the number of answers, some 300 at worst.
                assert!(line <= 4.0, "{weights:?}, {k}: {line}");
                assert!(all <= 12.0, "{weights:?}, {k}: {all}");
            }
        }
    }

    #[test]
    fn many_sets_occur() {
        let pool = pool(Balance::WeightedRoundRobin, AnswerMode::Subset, &[1; 24]);
        let (mut rng, mut out, mut sets) = (rng(5), Vec::new(), BTreeSet::new());

        for _ in 0..1_000 {
            pool.pick(&ask(), &mut rng, &mut out);
            out.sort_unstable();
            sets.insert(out.clone());
        }

        // On each of the lines, 24 / 8 equal units have three sets.
        assert_eq!(sets.len(), 3 * LINES);
    }
}
