//! In turn, in proportion to weight: as smooth as whole answers allow.

use rand::Rng;

use crate::balance::counter::Counter;
use crate::balance::pool::{Ask, Lane};
use crate::balance::pps::Lines;
use crate::balance::random::Lot;
use crate::balance::schedule::Schedule;
use crate::balance::units::Units;

/// The `weighted_round_robin` algorithm.
#[derive(Debug)]
pub(super) struct WeightedRoundRobin {
    schedule: Schedule,
    lines: Option<Lines>,
    lot: Lot,
    answers: Counter,
    orders: Counter,
}

impl WeightedRoundRobin {
    /// `sampled` when it will be asked for samples.
    pub(super) fn new(units: &Units, sampled: bool, rng: &mut impl Rng) -> Self {
        Self {
            schedule: Schedule::new(units, rng),
            lines: sampled.then(|| Lines::new(units, rng)),
            lot: Lot::new(units),
            // The counters start anywhere in the schedule, else the heaviest would come first
            // after every change of the pool and the lightest, perhaps, never.
            answers: Counter::random(rng),
            orders: Counter::random(rng),
        }
    }

    /// Who is next in the schedule.
    pub(super) fn one(&self, ask: &Ask) -> Option<u32> {
        self.schedule.at(self.answers.take(1, ask.peek))
    }

    /// `k` units in proportion to weight. Not the next k of the schedule: that would have the
    /// light ones in nearly every set.
    pub(super) fn sample(&self, k: usize, ask: &Ask, rng: &mut impl Rng, out: &mut Vec<u32>) {
        match &self.lines {
            Some(lines) => lines.golden(self.answers.take(1, ask.peek), k, rng, out),
            None => self.front(k, Lane::Answers, ask, rng, out),
        }
    }

    /// The first `k` of an order: who is next in the schedule, then by weighted draw.
    pub(super) fn front(
        &self,
        k: usize,
        lane: Lane,
        ask: &Ask,
        rng: &mut impl Rng,
        out: &mut Vec<u32>,
    ) {
        let counter = match lane {
            Lane::Answers => &self.answers,
            Lane::Orders => &self.orders,
        };
        out.extend(self.schedule.at(counter.take(1, ask.peek)));
        self.lot.extend(k, rng, out);
    }
}
