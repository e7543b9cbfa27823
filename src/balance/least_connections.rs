//! To those with the most idle capacity.
//!
//! Loads are always a little old, so the least loaded of all would draw everybody until the next
//! report. Two random choices do not, and neither does counting what was handed out since
//! (Mitzenmacher, "How useful is old information?"). Behind caches one answer stands for an
//! unknown number of clients: there it is sampling in proportion to idle capacity, which the
//! registry puts into the weights in force. What is counted as handed out then is not one, but what
//! is estimated of those behind the cache (`clients`).

use rand::Rng;

use crate::balance::cast;
use crate::balance::counter::Counters;
use crate::balance::gauges::Gauges;
use crate::balance::meter::ONE;
use crate::balance::pool::Ask;
use crate::balance::pps::Lines;
use crate::balance::random::{Lot, with_scratch};
use crate::balance::rate::Estimate;
use crate::balance::units::Units;
use crate::model::Millis;

/// The `least_connections` algorithm.
#[derive(Debug)]
pub(super) struct LeastConnections {
    cached: bool,
    /// Behind caches by weight in force, else by capacity.
    lot: Lot,
    lines: Option<Box<Lines>>,
    counters: Counters,
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
            lines: sampled.then(|| Lines::new(units, rng).into()),
            counters: Counters::random(rng),
            k,
        }
    }

    /// The better of two; behind caches one in proportion to weight. `behind` is what is known of
    /// those behind the client.
    pub(super) fn one(
        &self,
        gauges: &Gauges,
        ask: &Ask,
        behind: Estimate,
        rng: &mut impl Rng,
    ) -> Option<u32> {
        let unit = match &self.lines {
            Some(lines) if self.cached => lines.golden_one(self.counters.answers.take(1, ask.peek)),
            _ => self.roomy(gauges, ask.now, rng),
        }?;
        if !ask.peek {
            hand_out(&[unit], gauges, behind, ask.now);
        }
        Some(unit)
    }

    /// `k` units in proportion to weight.
    pub(super) fn sample(
        &self,
        k: usize,
        gauges: &Gauges,
        ask: &Ask,
        behind: Estimate,
        rng: &mut impl Rng,
        out: &mut Vec<u32>,
    ) {
        match &self.lines {
            Some(lines) => lines.golden(self.counters.answers.take(1, ask.peek), k, rng, out),
            None => self.lot.extend(k, rng, out),
        }
        if !ask.peek {
            hand_out(out, gauges, behind, ask.now);
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
        let drawn = (0..TRIES).find_map(|_| self.lot.draw(rng).filter(|unit| *unit != first));
        // The same law without luck. Seldom needed, unless one has nearly all the capacity.
        let other = drawn.or_else(|| {
            let mut both = vec![first];
            self.lot.extend(2, rng, &mut both);
            both.get(1).copied()
        });
        let Some(second) = other else { return Some(first) };
        let (a, b) = (gauges.score(first, now), gauges.score(second, now));
        let larger = || gauges.capacity(second) > gauges.capacity(first);
        Some(if b < a || (b == a && larger()) { second } else { first })
    }
}

/// Counts an answer with these units: the request that was asked for, and those that the client's
/// cache answers with it later. Any of the units may be the one that is used.
fn hand_out(units: &[u32], gauges: &Gauges, behind: Estimate, now: Millis) {
    let all = cast::unit(units.len()).max(1);
    units.iter().for_each(|&unit| gauges.hand_out(unit, ONE / all, now));
    let later = f64::from(behind.later()) / f64::from(all);
    let share = cast::whole(later * f64::from(ONE));
    if share > 0 {
        let kept = cast::unit(cast::index(cast::whole(f64::from(behind.kept) * 1_000.0)));
        units.iter().for_each(|&unit| gauges.promise(unit, share, kept, now));
    }
}

/// Draws before the second choice is made the long way.
const TRIES: usize = 8;

/// Pairs that are drawn to find one that is not full.
const MORE: usize = 16;

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::balance::pool::PoolSpec;
    use crate::balance::testing::{
        Stand, ask, chi_square_is_plausible, rng, share_is_plausible, spec,
    };
    use crate::model::{AnswerMode, Balance, Load};

    fn direct(answer: AnswerMode, weights: &[u32]) -> PoolSpec<'static> {
        PoolSpec { cached: false, ..spec(Balance::LeastConnections, answer, weights) }
    }

    fn built(spec: PoolSpec<'static>) -> Stand {
        Stand::new(spec, 1)
    }

    fn report(pool: &Stand, unit: usize, connections: f64, now: Millis) {
        let load = Load { connections: Some(connections), ..Load::default() };
        pool.members[unit].meter.meter().report(load, now);
    }

    /// How often each is the first of `m` answers.
    fn firsts(pool: &Stand, m: usize, ask: &Ask) -> Vec<u64> {
        let (mut rng, mut out) = (rng(2), Vec::new());
        let mut seen = vec![0; pool.len()];
        for _ in 0..m {
            pool.pick(ask, &mut rng, &mut out);
            seen[out[0] as usize] += 1;
        }
        seen
    }

    /// Mean requests per server when each serves one at a time and none knows more than its last
    /// report; `every` is the steps between reports, 0 reports at once. The stationary chain of
    /// exponential arrivals and services, one event per step.
    fn mean_queue(pool: &Stand, rho: f64, steps: u64, every: u64, random: bool) -> f64 {
        let n = pool.len();
        let (mut rng, mut out) = (rng(3), Vec::new());
        let (mut queues, mut area, mut all) = (vec![0_u32; n], 0, 0);
        let say = |unit: usize, queue: u32, step| report(pool, unit, queue.into(), Millis(step));
        (0..n).for_each(|unit| say(unit, 0, 0));
        // A service takes 20 ms on average: one step is 20 / (n (1 + rho)) ms.
        let millis = |step: u64| cast::whole(step as f64 * 20.0 / (n as f64 * (1.0 + rho)));
        for step in 0..steps {
            let now = millis(step);
            let moved = if rng.random_bool(rho / (1.0 + rho)) {
                let unit = if random {
                    rng.random_range(0..n)
                } else {
                    pool.pick(&Ask { now: Millis(now), ..ask() }, &mut rng, &mut out);
                    out[0] as usize
                };
                queues[unit] += 1;
                all += 1;
                unit
            } else {
                let unit = rng.random_range(0..n);
                let served = queues[unit].min(1);
                queues[unit] -= served;
                all -= u64::from(served);
                unit
            };
            if every == 0 {
                say(moved, queues[moved], now);
            } else if step % every == 0 {
                (0..n).for_each(|unit| say(unit, queues[unit], now));
            }
            if step > steps / 5 {
                area += all;
            }
        }
        area as f64 / (steps as f64 * 0.8) / n as f64
    }

    #[test]
    fn of_two_the_better_is_always_chosen() {
        let pool = built(direct(AnswerMode::Single, &[1, 1]));
        report(&pool, 0, 1e9, Millis(0));
        report(&pool, 1, 0.0, Millis(0));

        // Were the second choice left to eight draws, one in 512 would go to the busy one.
        assert_eq!(firsts(&pool, 20_000, &ask()), [0, 20_000]);
    }

    #[test]
    fn fresh_reports_make_it_the_supermarket_model() {
        let pool = built(direct(AnswerMode::Single, &[1; 100]));
        let rho = 0.8;

        let queue = mean_queue(&pool, rho, 400_000, 0, false);

        // Mitzenmacher: the share of servers with at least i requests is rho^(2^i - 1).
        let expected: f64 = (1..8).map(|i| rho.powi(2_i32.pow(i) - 1)).sum();
        assert!((queue / expected - 1.0).abs() < 0.05, "{queue} for {expected}");
    }

    #[test]
    fn stale_reports_do_not_make_it_worse_than_random() {
        for mode in [AnswerMode::Single, AnswerMode::Ordered] {
            // Reports every 1 s and 5 s of 20 ms services: 36 steps in 20 ms.
            for every in [1_800, 9_000] {
                let pool = built(direct(mode, &[1; 20]));
                let mean = mean_queue(&pool, 0.8, 250_000, every, false);
                let random = mean_queue(&pool, 0.8, 250_000, every, true);
                println!("{mode:?} {every}: {mean:.2}, random {random:.2}");

                assert!(mean < 0.8 * random, "{mode:?} {every}: {mean}, random {random}");
            }
        }
    }

    #[test]
    fn without_reports_it_takes_turns_by_capacity() {
        let pool = built(direct(AnswerMode::Single, &[1, 1, 2, 4]));

        let seen = firsts(&pool, 8_000, &ask());

        for (seen, weight) in seen.into_iter().zip([1, 1, 2, 4]) {
            assert!(seen.abs_diff(weight * 1_000) < 30, "{seen} for {weight}");
        }
    }

    #[test]
    fn equal_scores_are_decided_by_capacity_and_then_by_chance() {
        let even = built(direct(AnswerMode::Single, &[1; 4]));
        let peek = Ask { peek: true, ..ask() };
        chi_square_is_plausible(&firsts(&even, 20_000, &peek), &[1.0; 4]);

        // 9 of 1000 and 0 of 100 are both at 1 %.
        let uneven = built(direct(AnswerMode::Single, &[1, 10]));
        report(&uneven, 0, 0.0, Millis(0));
        report(&uneven, 1, 9.0, Millis(0));
        assert_eq!(firsts(&uneven, 100, &peek), [0, 100]);
    }

    #[test]
    fn explaining_hands_nothing_out() {
        let pool = built(direct(AnswerMode::Single, &[1, 1]));
        firsts(&pool, 50, &Ask { peek: true, ..ask() });

        let handed: Vec<f64> =
            pool.members.iter().map(|m| m.meter.meter().handed_out(Millis(0))).collect();

        assert_eq!(handed, [0.0, 0.0]);
    }

    #[test]
    fn a_sample_hands_a_share_to_each_and_an_order_one_to_the_first() {
        let handed = |spec: PoolSpec<'static>| {
            let pool = built(spec);
            firsts(&pool, 1, &ask());
            let mut handed: Vec<f64> =
                pool.members.iter().map(|m| m.meter.meter().handed_out(Millis(0))).collect();
            handed.sort_by(f64::total_cmp);
            handed
        };

        let sample = spec(Balance::LeastConnections, AnswerMode::Subset, &[1, 1, 1, 1]);
        assert_eq!(handed(sample), [0.25; 4]);
        assert_eq!(handed(direct(AnswerMode::Ordered, &[1; 4])), [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn who_stopped_reporting_is_at_the_mean() {
        let pool = built(direct(AnswerMode::Single, &[1, 1, 1]));
        report(&pool, 0, 0.0, Millis(0));
        report(&pool, 1, 90.0, Millis(80_000));
        report(&pool, 2, 10.0, Millis(80_000));
        let peek = Ask { peek: true, now: Millis(90_000), ..ask() };

        let seen = firsts(&pool, 9_000, &peek);

        // 2 wins both its pairs, 0 (taken for 50) the one against 1.
        share_is_plausible(seen[2], 9_000, 2.0 / 3.0);
        assert_eq!(seen[1], 0);
    }

    #[test]
    fn a_full_one_gets_nothing_unless_all_are() {
        let pool = built(direct(AnswerMode::Single, &[1; 5]));
        for unit in 0..4 {
            report(&pool, unit, 100.0 + unit as f64, Millis(0));
        }
        report(&pool, 4, 99.0, Millis(0));
        let peek = Ask { peek: true, ..ask() };
        assert_eq!(firsts(&pool, 200, &peek), [0, 0, 0, 0, 200]);

        report(&pool, 4, 100.0, Millis(0));
        assert!(firsts(&pool, 500, &peek)[0] > 0);
    }

    #[test]
    fn behind_caches_it_samples_by_weight_in_force() {
        let mut spec = spec(Balance::LeastConnections, AnswerMode::Single, &[1, 1, 1]);
        spec.members[1].weight = 0;
        spec.members[2].weight = 3;
        let seen = firsts(&built(spec), 8_000, &ask());

        assert_eq!(seen[1], 0);
        assert!(seen[0].abs_diff(2_000) < 16, "{seen:?}");
    }

    #[test]
    fn an_order_has_the_least_loaded_first_and_holds_all() {
        let pool = built(direct(AnswerMode::Ordered, &[1; 6]));
        for (unit, open) in [50.0, 10.0, 30.0, 0.0, 20.0, 40.0].into_iter().enumerate() {
            report(&pool, unit, open, Millis(0));
        }
        let mut out = Vec::new();

        pool.order(&Ask { peek: true, ..ask() }, &mut rng(4), &mut out);

        assert_eq!(out, [3, 1, 4, 2, 5, 0]);
    }

    #[test]
    fn a_unit_is_as_loaded_as_its_instances_together() {
        let mut spec = direct(AnswerMode::Ordered, &[1, 1, 1]);
        spec.members[2].unit = 0;
        spec.records = vec![1, 1];
        let pool = built(spec);
        report(&pool, 0, 90.0, Millis(0));
        report(&pool, 2, 0.0, Millis(0));
        report(&pool, 1, 60.0, Millis(0));
        let mut out = Vec::new();

        pool.order(&Ask { peek: true, ..ask() }, &mut rng(5), &mut out);

        assert_eq!(out, [0, 1]);
    }
}
