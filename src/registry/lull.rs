//! Whether any lease of a service is near enough to its end to shorten the TTL of its records:
//! nearly always not, and then an answer need not look at each of its instances.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Millis;

/// What was seen of the leases of one view, which only ever move on while it is the current one. A
/// time in milliseconds above one bit: until then no lease is near its end, or nobody looks again.
#[derive(Debug, Default)]
pub(super) struct Lull(AtomicU64);

impl Lull {
    /// Whether no lease is near its end; `near` is asked when it is time to look, and says from when
    /// on the first of them is.
    #[inline]
    pub(super) fn holds(&self, now: Millis, near: impl FnOnce() -> Millis) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        if now.0 < seen >> 1 {
            return seen & CALM != 0;
        }
        let near = near().0.min(FAR);
        let calm = now.0 < near;
        let until = if calm { near << 1 | CALM } else { (now.0 + LOOK_AGAIN).min(FAR) << 1 };
        // Two that look at once see nearly the same.
        self.0.store(until, Ordering::Relaxed);
        calm
    }
}

const CALM: u64 = 1;
/// What fits above a bit.
const FAR: u64 = u64::MAX >> 1;
/// How long one that ends soon is not looked for again, in milliseconds: a renewal is seen that much
/// later, and until then every answer looks at its own instances.
const LOOK_AGAIN: u64 = 100;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn it_is_asked_for_when_it_is_over_and_now_and_then_while_there_is_none() {
        let (lull, asked, near) = (Lull::default(), Cell::new(0), Cell::new(Millis(5_000)));
        let holds = |now| {
            let near = || {
                asked.set(asked.get() + 1);
                near.get()
            };
            (lull.holds(Millis(now), near), asked.get())
        };

        assert_eq!(holds(1_000), (true, 1));
        assert_eq!(holds(4_999), (true, 1));
        assert_eq!(holds(5_000), (false, 2));
        assert_eq!(holds(5_000 + LOOK_AGAIN - 1), (false, 2));
        near.set(Millis::NEVER);
        assert_eq!(holds(5_000 + LOOK_AGAIN), (true, 3));
        assert_eq!(holds(u64::MAX / 4), (true, 3));
    }
}
