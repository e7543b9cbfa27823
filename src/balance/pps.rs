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
