//! Each in turn, whatever its weight.
//!
//! What comes first rotates exactly, over a random permutation; what comes after it is shuffled,
//! since whoever follows a dead instance inherits its clients.

use rand::Rng;

use crate::balance::cast;
use crate::balance::counter::Counter;
use crate::balance::dice;
use crate::balance::pool::{Ask, Lane};
use crate::balance::units::Units;

/// The turns of a pool.
#[derive(Debug)]
pub(super) struct RoundRobin {
    turns: Box<[u32]>,
    /// Units of weight 0: last in every order, in no sample.
    resting: Box<[u32]>,
    answers: Counter,
    orders: Counter,
}

impl RoundRobin {
    pub(super) fn new(units: &Units, rng: &mut impl Rng) -> Self {
        let mut turns: Box<[u32]> = units.indices(true).collect();
        dice::shuffle(rng, &mut turns);
        let resting = units.indices(false).collect();
        Self { turns, resting, answers: Counter::random(rng), orders: Counter::random(rng) }
    }

    /// Who is next.
    pub(super) fn one(&self, ask: &Ask) -> Option<u32> {
        self.turns.get(self.turn(&self.answers, 1, ask)).copied()
    }

    /// The next `k` of the permutation, shuffled. Each answer goes on where the last one ended,
    /// however many it took, so that counts never differ by more than 1.
    pub(super) fn sample(&self, k: usize, ask: &Ask, rng: &mut impl Rng, out: &mut Vec<u32>) {
        let n = self.turns.len();
        if k >= n {
            return self.front(k, Lane::Answers, ask, rng, out);
        }
        let from = self.turn(&self.answers, k, ask);
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
        let counter = match lane {
            Lane::Answers => &self.answers,
            Lane::Orders => &self.orders,
        };
        let n = self.turns.len();
        let first = self.turn(counter, 1, ask);
        // A few of many: draw until one is new. Cheaper than moving all n.
        if k <= FEW && k * 2 <= n {
            out.push(self.turns[first]);
            while out.len() < k {
                let unit = self.turns[dice::below(rng, cast::unit(n)) as usize];
                if !out.contains(&unit) {
                    out.push(unit);
                }
            }
            return;
        }
        out.extend_from_slice(&self.turns);
        if n > 0 {
            out.swap(0, first);
            dice::shuffle(rng, &mut out[1..]);
        }
        out.extend_from_slice(&self.resting);
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
