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
    lines: Option<Lines>,
}

impl Random {
    /// `sampled` when it will be asked for samples.
    pub(super) fn new(units: &Units, sampled: bool, rng: &mut impl Rng) -> Self {
        Self { lot: Lot::new(units), lines: sampled.then(|| Lines::new(units, rng)) }
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
            self.sort(wanted - out.len(), rng, out);
        }
        let from = out.len();
        if from < k {
            out.extend(self.units.indices(false));
            dice::shuffle(rng, &mut out[from..]);
            out.truncate(k);
        }
    }

    /// Efraimidis and Spirakis: the smallest exponential variates over weight, in their order.
    fn sort(&self, k: usize, rng: &mut impl Rng, out: &mut Vec<u32>) {
        let taken = out.len();
        if self.units.even() && k + taken == self.units.live() {
            for unit in self.units.indices(true) {
                if !out[..taken].contains(&unit) {
                    out.push(unit);
                }
            }
            return dice::shuffle(rng, &mut out[taken..]);
        }
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

/// Sorts the `k` smallest keys to the front; k is at most the number of keys.
pub(super) fn smallest(keys: &mut [(f64, u32)], k: usize) {
    let by_key = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if k < keys.len() && k > 0 {
        keys.select_nth_unstable_by(k - 1, by_key);
    }
    keys[..k].sort_unstable_by(by_key);
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
