//! Whose turn it is: one number that all workers share.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;

use crate::balance::selector::Lane;

/// The counters of a pool, on a cache line of their own, so that turns taken by one worker do not
/// slow reads of the pool by others.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Counters {
    /// Of address answers.
    pub(super) answers: Counter,
    /// Of orders of every unit.
    pub(super) orders: Counter,
}

impl Counters {
    /// Starts anywhere: servers that start together must not hand out in step.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        // 2^32 turns at most into 2^64, so that it never wraps.
        let mut counter = || Counter(AtomicU64::new(u64::from(rng.next_u32())));
        Self { answers: counter(), orders: counter() }
    }

    /// The one that an order takes its turn from.
    pub(super) fn of(&self, lane: Lane) -> &Counter {
        match lane {
            Lane::Answers => &self.answers,
            Lane::Orders => &self.orders,
        }
    }
}

/// One of a pool's counters.
#[derive(Debug)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Takes `turns` turns and returns the first of them; with `peek` takes none.
    pub(super) fn take(&self, turns: usize, peek: bool) -> u64 {
        let turns = if peek { 0 } else { turns as u64 };
        self.0.fetch_add(turns, Ordering::Relaxed)
    }
}
