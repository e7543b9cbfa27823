//! Whose turn it is: one number that all workers share.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;

/// A counter on a cache line of its own, so that turns taken by one worker do not slow reads of
/// the pool by others.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Starts anywhere: servers that start together must not hand out in step.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        // 2^32 turns at most into 2^64, so that it never wraps.
        Self(AtomicU64::new(u64::from(rng.next_u32())))
    }

    /// Takes `turns` turns and returns the first of them; with `peek` takes none.
    pub(super) fn take(&self, turns: usize, peek: bool) -> u64 {
        let turns = if peek { 0 } else { turns as u64 };
        self.0.fetch_add(turns, Ordering::Relaxed)
    }
}
