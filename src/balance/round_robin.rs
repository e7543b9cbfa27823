//! Each in turn, whatever its weight.
//!
//! What comes first rotates exactly, over a random permutation; what comes after it is shuffled,
//! since whoever follows a dead instance inherits its clients.

use rand::Rng;

use crate::balance::cast;
use crate::balance::counter::{Counter, Counters};
use crate::balance::dice;
use crate::balance::pool::Ask;
use crate::balance::selector::Lane;
use crate::balance::units::Units;

/// The turns of a pool.
#[derive(Debug)]
pub(super) struct RoundRobin {
    turns: Box<[u32]>,
    /// Units of weight 0: last in every order, in no sample.
    resting: Box<[u32]>,
    counters: Counters,
}

impl RoundRobin {
    pub(super) fn new(units: &Units, rng: &mut impl Rng) -> Self {
        let mut turns: Box<[u32]> = units.indices(true).collect();
        dice::shuffle(rng, &mut turns);
        let resting = units.indices(false).collect();
        Self { turns, resting, counters: Counters::random(rng) }
    }

    /// Who is next.
    pub(super) fn one(&self, ask: &Ask) -> Option<u32> {
        self.turns.get(self.turn(&self.counters.answers, 1, ask)).copied()
    }

    /// The next `k` of the permutation, shuffled. Each answer goes on where the last one ended,
    /// however many it took, so that counts never differ by more than 1.
    pub(super) fn sample(&self, k: usize, ask: &Ask, rng: &mut impl Rng, out: &mut Vec<u32>) {
        let n = self.turns.len();
        if k >= n {
            // Everyone, in an order. A turn of its own, else who came next would be left out of the
            // samples that smaller messages get in between.
            return self.front(k, Lane::Orders, ask, rng, out);
        }
        let from = self.turn(&self.counters.answers, k, ask);
        let end = (from + k).min(n);
        out.extend_from_slice(&self.turns[from..end]);
        out.extend_from_slice(&self.turns[..from + k - end]);
        dice::shuffle(rng, out);
    }

    /// The first `k` of an order: who is next, then a random choice of the others.
    pub(super) fn front(
        &self,
        k: usize,
        lane: Lane,
        ask: &Ask,
        rng: &mut impl Rng,
        out: &mut Vec<u32>,
    ) {
        let n = self.turns.len();
        let turn = self.turn(self.counters.of(lane), 1, ask);
        let Some(&first) = self.turns.get(turn) else { return };
        // A few of many: draw until one is new. Cheaper than moving all n.
        if k <= FEW && k * 2 <= n {
            out.push(first);
            while out.len() < k {
                let unit = self.turns[dice::below(rng, cast::unit(n)) as usize];
                if !out.contains(&unit) {
                    out.push(unit);
                }
            }
            return;
        }
        out.extend_from_slice(&self.turns);
        out.swap(0, turn);
        dice::shuffle(rng, &mut out[1..]);
        if k > n {
            out.extend_from_slice(&self.resting);
        }
        out.truncate(k);
    }

    /// Takes turns and returns where in the permutation they start; 0 when it is empty.
    fn turn(&self, counter: &Counter, turns: usize, ask: &Ask) -> usize {
        let n = self.turns.len() as u64;
        cast::index(counter.take(turns, ask.peek).checked_rem(n).unwrap_or(0))
    }
}

/// Up to how many a linear search beats anything cleverer.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::balance::pool::Pool;
    use crate::balance::testing::{ask, chi_square_is_plausible, pool, rng, spec};
    use crate::model::{AnswerMode, Balance};

    /// The first of each of `m` answers.
    fn firsts(pool: &Pool, m: usize) -> Vec<u32> {
        let (mut rng, mut out) = (rng(7), Vec::new());
        let mut first = || {
            pool.pick(&ask(), &mut rng, &mut out);
            out[0]
        };
        (0..m).map(|_| first()).collect()
    }

    /// A rotation: in every window of any length, counts differ by at most 1.
    fn is_rotation(firsts: &[u32], n: usize) -> bool {
        let mut round = firsts[..n].to_vec();
        round.sort_unstable();
        round.dedup();
        round.len() == n && firsts.iter().zip(&firsts[n..]).all(|(a, b)| a == b)
    }

    #[test]
    fn the_first_record_rotates_exactly() {
        let modes = [AnswerMode::All, AnswerMode::Ordered, AnswerMode::Single, AnswerMode::Auto];
        for n in 1..=8 {
            for mode in modes {
                let pool = pool(Balance::RoundRobin, mode, &vec![1; n]);

                assert!(is_rotation(&firsts(&pool, 5 * n), n), "{mode:?} of {n}");
            }
        }
    }

    #[test]
    fn weights_make_no_difference() {
        let pool = pool(Balance::RoundRobin, AnswerMode::Auto, &[9, 1, 500]);

        assert_eq!((pool.mode(), pool.k()), (AnswerMode::All, 3));
        assert!(is_rotation(&firsts(&pool, 30), 3));
    }

    #[test]
    fn an_order_of_few_rotates_over_all_and_then_draws_uniformly() {
        let pool = pool(Balance::RoundRobin, AnswerMode::Ordered, &[1; 20]);
        let (mut rng, mut out) = (rng(8), Vec::new());
        let mut offsets = vec![0; 19];

        for _ in 0..20_000 {
            pool.pick(&ask(), &mut rng, &mut out);
            assert_eq!(out.len(), 8);
            for unit in &out[1..] {
                offsets[((unit + 20 - out[0]) % 20 - 1) as usize] += 1;
            }
        }

        assert!(is_rotation(&firsts(&pool, 100), 20));
        chi_square_is_plausible(&offsets, &[1.0; 19]);
    }

    #[test]
    fn in_any_window_of_samples_counts_differ_by_at_most_one() {
        for (n, fits) in [(20, [8, 8]), (9, [8, 8]), (13, [8, 5]), (33, [3, 8])] {
            let pool = pool(Balance::RoundRobin, AnswerMode::Subset, &vec![1; n]);
            let (mut rng, mut out) = (rng(10), Vec::new());
            let mut answers = Vec::new();
            for fit in fits.into_iter().cycle().take(80) {
                pool.pick(&Ask { fit, ..ask() }, &mut rng, &mut out);
                answers.push(out.clone());
            }

            for from in 0..answers.len() {
                let mut counts = vec![0; n];
                for answer in &answers[from..] {
                    answer.iter().for_each(|unit| counts[*unit as usize] += 1);
                    let (min, max) = (counts.iter().min(), counts.iter().max());
                    assert!(max.unwrap() - min.unwrap() <= 1, "{n}: {counts:?}");
                }
            }
        }
    }

    #[test]
    fn answers_that_hold_all_leave_the_samples_between_them_exact() {
        let mut spec = spec(Balance::RoundRobin, AnswerMode::Subset, &[1; 12]);
        spec.max_answers = 12;
        let pool = Pool::new(spec, &mut rng(11));
        let (mut rng, mut out) = (rng(10), Vec::new());
        let (mut counts, mut firsts) = ([0; 12], Vec::new());

        for _ in 0..100 {
            pool.pick(&Ask { fit: 5, ..ask() }, &mut rng, &mut out);
            out.iter().for_each(|unit| counts[*unit as usize] += 1);
            pool.pick(&ask(), &mut rng, &mut out);
            firsts.push(out[0]);
        }

        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        assert!(is_rotation(&firsts, 12));
    }

    #[test]
    fn samples_whose_size_divides_the_pool_have_everyone_first() {
        let mut spec = spec(Balance::RoundRobin, AnswerMode::Subset, &[1; 20]);
        spec.max_answers = 4;
        let pool = Pool::new(spec, &mut rng(11));
        let mut counts = vec![0; 20];

        firsts(&pool, 20_000).iter().for_each(|unit| counts[*unit as usize] += 1);

        chi_square_is_plausible(&counts, &[1.0; 20]);
    }

    #[test]
    fn orders_and_answers_take_turns_of_their_own() {
        let pool = pool(Balance::RoundRobin, AnswerMode::All, &[1; 4]);
        let (mut rng, mut out) = (rng(12), Vec::new());
        let (mut answers, mut orders) = (Vec::new(), Vec::new());

        for _ in 0..40 {
            pool.pick(&ask(), &mut rng, &mut out);
            answers.push(out[0]);
            pool.order(&ask(), &mut rng, &mut out);
            orders.push(out[0]);
        }

        assert!(is_rotation(&answers, 4) && is_rotation(&orders, 4));
    }

    #[test]
    fn workers_share_the_turns() {
        let pool = pool(Balance::RoundRobin, AnswerMode::Single, &[1; 10]);
        let counts = Mutex::new([0_u32; 10]);

        std::thread::scope(|scope| {
            for seed in 0..16 {
                let (pool, counts) = (&pool, &counts);
                scope.spawn(move || {
                    let (mut rng, mut out, mut mine) = (rng(seed), Vec::new(), [0; 10]);
                    for _ in 0..1_003 {
                        pool.pick(&ask(), &mut rng, &mut out);
                        mine[out[0] as usize] += 1;
                    }
                    let mut counts = counts.lock().unwrap();
                    counts.iter_mut().zip(mine).for_each(|(all, mine)| *all += mine);
                });
            }
        });

        let counts = counts.into_inner().unwrap();
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    }
}
