//! To those with the most idle capacity.
//!
//! Loads are always a little old, so the least loaded of all would draw everybody until the next
//! report. Two random choices do not, and neither does counting what was handed out since
//! (Mitzenmacher, "How useful is old information?"). Behind caches one answer stands for an
//! unknown number of clients: there it is sampling in proportion to idle capacity, which the
//! registry puts into the weights in force.

use rand::Rng;

use crate::balance::cast;
use crate::balance::counter::Counter;
use crate::balance::gauges::Gauges;
use crate::balance::meter::ONE;
use crate::balance::pool::Ask;
use crate::balance::pps::Lines;
use crate::balance::random::{Lot, with_scratch};
use crate::balance::units::Units;
use crate::model::Millis;

/// The `least_connections` algorithm.
#[derive(Debug)]
pub(super) struct LeastConnections {
    cached: bool,
    /// Behind caches by weight in force, else by capacity.
    lot: Lot,
    lines: Option<Lines>,
    answers: Counter,
    /// How many answers hold; an order compares twice as many.
    k: usize,
}

impl LeastConnections {
    /// `sampled` when it will be asked for samples.
    pub(super) fn new(
        units: &Units,
        gauges: &Gauges,
        cached: bool,
        sampled: bool,
        k: usize,
        rng: &mut impl Rng,
    ) -> Self {
        let capacities = || {
            let capacity = |(unit, weight): (u32, &u32)| {
                // Room for fractions; what can hold anything at all is drawn now and then.
                let capacity = cast::whole((gauges.capacity(unit) * 16.0).ceil().min(1e12));
                if *weight == 0 { 0 } else { capacity }
            };
            let capacities: Vec<u64> = (0..).zip(units.weights()).map(capacity).collect();
            let none = capacities.iter().all(|&capacity| capacity == 0);
            if none { units.clone() } else { Units::reduced(&capacities) }
        };
        Self {
            cached,
            lot: Lot::new(&if cached { units.clone() } else { capacities() }),
            lines: sampled.then(|| Lines::new(units, rng)),
            answers: Counter::random(rng),
            k,
        }
    }

    /// The better of two; behind caches one in proportion to weight.
    pub(super) fn one(&self, gauges: &Gauges, ask: &Ask, rng: &mut impl Rng) -> Option<u32> {
        let unit = match &self.lines {
            Some(lines) if self.cached => lines.golden_one(self.answers.take(1, ask.peek)),
            _ => self.roomy(gauges, ask.now, rng),
        }?;
        if !ask.peek {
            gauges.hand_out(unit, ONE, ask.now);
        }
        Some(unit)
    }

    /// `k` units in proportion to weight.
    pub(super) fn sample(
        &self,
        k: usize,
        gauges: &Gauges,
        ask: &Ask,
        rng: &mut impl Rng,
        out: &mut Vec<u32>,
    ) {
        match &self.lines {
            Some(lines) => lines.golden(self.answers.take(1, ask.peek), k, rng, out),
            None => self.lot.extend(k, rng, out),
        }
        if !ask.peek {
            // Any of them may be the one that is used.
            let share = ONE / cast::unit(out.len()).max(1);
            out.iter().for_each(|&unit| gauges.hand_out(unit, share, ask.now));
        }
    }

    /// The first `k` of an order: the best of some drawn ones, then the rest.
    pub(super) fn front(
        &self,
        k: usize,
        gauges: &Gauges,
        ask: &Ask,
        rng: &mut impl Rng,
        out: &mut Vec<u32>,
    ) {
        if self.cached {
            self.lot.extend(k, rng, out);
        } else {
            self.lot.extend(k.max(2 * self.k), rng, out);
            let compared = out.len().min(2 * self.k);
            with_scratch(compared, |scores| {
                for (score, &unit) in scores.iter_mut().zip(&*out) {
                    *score = (gauges.score(unit, ask.now), unit);
                }
                // Stable: units that tie stay in the random order they were drawn in.
                scores.sort_by(|a, b| a.0.total_cmp(&b.0));
                for (place, (_, unit)) in out.iter_mut().zip(&*scores) {
                    *place = *unit;
                }
            });
            out.truncate(k);
        }
        if let Some(&first) = out.first().filter(|_| !ask.peek) {
            // An order is meant: it is the first that is used. A share for each would leave the
            // order as it is until the next report.
            gauges.hand_out(first, ONE, ask.now);
        }
    }

    /// The better of two that is not full.
    fn roomy(&self, gauges: &Gauges, now: Millis, rng: &mut impl Rng) -> Option<u32> {
        let unit = self.better_of_two(gauges, now, rng)?;
        if !gauges.full(unit, now) {
            return Some(unit);
        }
        // A full one gets nothing while others have room. Looking longer costs time only in an
        // overload, and then no more than some draws.
        let another = || self.better_of_two(gauges, now, rng);
        std::iter::repeat_with(another)
            .take(MORE)
            .flatten()
            .find(|unit| !gauges.full(*unit, now))
            .or(Some(unit))
    }

    fn better_of_two(&self, gauges: &Gauges, now: Millis, rng: &mut impl Rng) -> Option<u32> {
        let first = self.lot.draw(rng)?;
        let other = (0..TRIES).find_map(|_| self.lot.draw(rng).filter(|unit| *unit != first));
        let Some(second) = other else { return Some(first) };
        let (a, b) = (gauges.score(first, now), gauges.score(second, now));
        let larger = || gauges.capacity(second) > gauges.capacity(first);
        Some(if b < a || (b == a && larger()) { second } else { first })
    }
}

/// Draws before the second choice is given up: one unit has nearly all the capacity.
const TRIES: usize = 8;

/// Pairs that are drawn to find one that is not full.
const MORE: usize = 16;
