//! In turn, in proportion to weight: as smooth as whole answers allow.

use rand::Rng;

use crate::balance::counter::Counters;
use crate::balance::pool::Ask;
use crate::balance::pps::Lines;
use crate::balance::random::Lot;
use crate::balance::schedule::Schedule;
use crate::balance::selector::Lane;
use crate::balance::units::Units;

/// The `weighted_round_robin` algorithm.
#[derive(Debug)]
pub(super) struct WeightedRoundRobin {
    schedule: Schedule,
    lines: Option<Box<Lines>>,
    lot: Lot,
    counters: Counters,
}

impl WeightedRoundRobin {
    /// `sampled` when it will be asked for samples.
    pub(super) fn new(units: &Units, sampled: bool, rng: &mut impl Rng) -> Self {
        Self {
            schedule: Schedule::new(units, rng),
            lines: sampled.then(|| Lines::new(units, rng).into()),
            lot: Lot::new(units),
            // The counters start anywhere in the schedule, else the heaviest would come first
            // after every change of the pool and the lightest, perhaps, never.
            counters: Counters::random(rng),
        }
    }

    /// Who is next in the schedule.
    pub(super) fn one(&self, ask: &Ask) -> Option<u32> {
        self.schedule.at(self.counters.answers.take(1, ask.peek))
    }

    /// `k` units in proportion to weight. Not the next k of the schedule: that would have the
    /// light ones in nearly every set.
    pub(super) fn sample(&self, k: usize, ask: &Ask, rng: &mut impl Rng, out: &mut Vec<u32>) {
        match &self.lines {
            Some(lines) => lines.golden(self.counters.answers.take(1, ask.peek), k, rng, out),
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
        out.extend(self.schedule.at(self.counters.of(lane).take(1, ask.peek)));
        self.lot.extend(k, rng, out);
    }
}

#[cfg(test)]
mod tests {
    use crate::balance::pool::Pool;
    use crate::balance::testing::{ask, chi_square_is_plausible, pool, rng};
    use crate::model::{AnswerMode, Balance};

    fn answers(pool: &Pool, m: usize) -> Vec<Vec<u32>> {
        let mut rng = rng(1);
        let mut answer = |_| {
            let mut out = Vec::new();
            pool.pick(&ask(), &mut rng, &mut out);
            out
        };
        (0..m).map(&mut answer).collect()
    }

    fn counts(units: impl Iterator<Item = u32>, n: usize) -> Vec<u64> {
        let mut counts = vec![0; n];
        units.for_each(|unit| counts[unit as usize] += 1);
        counts
    }

    #[test]
    fn one_at_a_time_is_exact_over_every_period() {
        let pool = pool(Balance::WeightedRoundRobin, AnswerMode::Single, &[5, 1, 1]);
        let firsts: Vec<u32> = answers(&pool, 70).into_iter().flatten().collect();

        for period in firsts.windows(7) {
            assert_eq!(counts(period.iter().copied(), 3), [5, 1, 1]);
        }
    }

    #[test]
    fn a_sample_that_can_hold_only_one_is_exact_too() {
        let pool = pool(Balance::WeightedRoundRobin, AnswerMode::Subset, &[99, 1]);
        assert_eq!(pool.k(), 1);

        let answers = answers(&pool, 300);

        assert_eq!(counts(answers.into_iter().flatten(), 2), [297, 3]);
    }

    #[test]
    fn an_order_begins_with_the_schedule_and_goes_on_by_weight() {
        let pool = pool(Balance::WeightedRoundRobin, AnswerMode::Ordered, &[4, 2, 1, 1]);
        let answers = answers(&pool, 40_000);

        let firsts = answers.iter().map(|answer| answer[0]);
        assert_eq!(counts(firsts, 4), [20_000, 10_000, 5_000, 5_000]);
        let seconds = answers.iter().filter(|answer| answer[0] == 0).map(|answer| answer[1]);
        chi_square_is_plausible(&counts(seconds, 4)[1..], &[2.0, 1.0, 1.0]);
    }

    #[test]
    fn sets_hold_each_in_proportion_to_its_weight() {
        let weights = [3, 3, 2, 2, 1, 1];
        let pool = pool(Balance::WeightedRoundRobin, AnswerMode::Auto, &weights);
        assert_eq!((pool.mode(), pool.k()), (AnswerMode::Subset, 4));

        let counts = counts(answers(&pool, 12_000).into_iter().flatten(), 6);

        for (count, weight) in counts.into_iter().zip(weights) {
            assert!(count.abs_diff(u64::from(weight) * 4_000) <= 16, "{count} for {weight}");
        }
    }
}
