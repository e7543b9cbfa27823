//! How much memory requests and replies take that are on their way: what clients send slowly or do not
//! take is bounded, for all of them together and for one connection.
//!
//! Counts bodies while they arrive, and replies of known length until their last byte is sent. Called
//! by `body` and by the layer around all handlers; watches and snapshots have bounds of their own.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::http::connection::Activity;
use crate::http::problem::{Problem, ProblemKind};
use crate::model::Limit;

/// What is on its way, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    /// Nothing yet, on the connection of `activity`, where there is one; `max` is for all together.
    pub(crate) fn hold(self: &Arc<Self>, max: usize, activity: Option<&Arc<Activity>>) -> Held {
        Held { budget: Arc::clone(self), activity: activity.cloned(), max, bytes: 0 }
    }
}

/// One request or reply that is on its way. What it holds is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    activity: Option<Arc<Activity>>,
    max: usize,
    bytes: usize,
}

impl Held {
    /// Makes it `more` bytes larger.
    ///
    /// | how large it is then | refused when there is beside it |
    /// |---|---|
    /// | at most [`TINY`] | never: its connection costs more |
    /// | at most [`SMALL`] | `max` in all |
    /// | larger | three quarters of `max` in all, or an eighth on its connection |
    ///
    /// So one of any size is let in where there is room, and large ones leave some to small ones.
    ///
    /// # Errors
    /// When it is refused. What it held it holds.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Problem> {
        let bytes = self.bytes.saturating_add(more);
        if bytes > TINY {
            let beside = |sum: &AtomicUsize| sum.load(Relaxed).saturating_sub(counted(self.bytes));
            let all = beside(&self.budget.0);
            let own = self.activity.as_ref().map_or(0, |activity| beside(activity.held()));
            let full = if bytes <= SMALL {
                all >= self.max
            } else {
                all >= self.max / 4 * 3 || own >= self.max / 8
            };
            if full {
                return Err(self.refused());
            }
        }
        self.count(bytes);
        Ok(())
    }

    fn refused(&self) -> Problem {
        let (name, max) = (Limit::InFlight, self.max);
        let detail = format!(
            "too much is on its way to and from clients, the limit {name} = {max} bytes is reached"
        );
        Problem::over(name, ProblemKind::Unavailable, detail)
    }

    fn count(&mut self, bytes: usize) {
        let (before, after) = (counted(self.bytes), counted(bytes));
        self.bytes = bytes;
        if before == after {
            return;
        }
        let own = self.activity.as_ref().map(|activity| activity.held());
        for sum in std::iter::once(&self.budget.0).chain(own) {
            if after > before {
                sum.fetch_add(after - before, Relaxed);
            } else {
                sum.fetch_sub(before - after, Relaxed);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count(0);
    }
}

fn counted(bytes: usize) -> usize {
    if bytes > TINY { bytes } else { 0 }
}

/// What need not be counted.
pub(crate) const TINY: usize = 1024;
const SMALL: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;
    use crate::net::connections::{Admission, Connections};

    const MAX: usize = 8 << 20;
    const SHARE: usize = MAX / 8;

    fn connection() -> Arc<Activity> {
        let admission = Connections::new(1, 1).admit([127, 0, 0, 1].into());
        let Admission::Free(place) = admission else { panic!("{admission:?}") };
        Activity::new(Millis(0), place)
    }

    fn held(budget: &Arc<Budget>, activity: &Arc<Activity>, bytes: usize) -> Option<Held> {
        let mut held = budget.hold(MAX, Some(activity));
        held.grow(bytes).ok().map(|()| held)
    }

    #[test]
    fn one_connection_has_a_share_and_one_of_any_size() {
        let (budget, one, other) = (Arc::default(), connection(), connection());

        let first = held(&budget, &one, SHARE - 1).unwrap();
        let second = held(&budget, &one, 3 * SHARE).unwrap();
        assert!(held(&budget, &one, SMALL + 1).is_none());
        assert!(held(&budget, &one, SMALL).is_some());
        assert!(held(&budget, &other, SMALL + 1).is_some());

        drop((first, second));
        assert_eq!((budget.0.load(Relaxed), one.held().load(Relaxed)), (0, 0));
        assert!(held(&budget, &one, 2 * MAX).is_some());
    }

    #[test]
    fn large_ones_leave_room_to_small_ones() {
        let budget = Arc::default();
        let large: Vec<Held> = (0..20).map_while(|_| held(&budget, &connection(), SHARE)).collect();
        assert_eq!(large.len(), 6);

        let small: Vec<Held> =
            (0..100).map_while(|_| held(&budget, &connection(), SMALL)).collect();
        assert_eq!(small.len(), 2 * SHARE / SMALL);

        assert!(held(&budget, &connection(), TINY + 1).is_none());
        assert!(held(&budget, &connection(), TINY).is_some());
        drop((large, small));
        assert_eq!(budget.0.load(Relaxed), 0);
    }

    #[test]
    fn what_grows_is_small_until_it_is_large_and_counts_beside_others() {
        let (budget, one) = (Arc::default(), connection());
        let full = held(&budget, &one, SHARE).unwrap();
        let mut growing = budget.hold(MAX, Some(&one));

        assert!(growing.grow(TINY).is_ok());
        assert_eq!(budget.0.load(Relaxed), SHARE);
        assert!(growing.grow(SMALL - TINY).is_ok());
        assert_eq!(budget.0.load(Relaxed), SHARE + SMALL);
        assert!(growing.grow(1).is_err());
        drop(full);
        assert!(growing.grow(2 * MAX).is_ok());
        assert!(growing.grow(1).is_ok());
        drop(growing);
        assert_eq!(budget.0.load(Relaxed), 0);
    }
}
