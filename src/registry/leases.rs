//! All deadlines on one timer: leases that end, services to forget.
//!
//! A renewal only moves the deadline kept beside the instance; the heap learns of it when the old
//! deadline comes up. So a heartbeat costs no heap operation, and each lease has one live entry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::{InstanceId, Millis, ServiceName};

/// What comes due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The lease of this instance.
    Lease(ServiceName, InstanceId),
    /// The time that this service stays known without instances.
    Forget(ServiceName),
}

/// The heap of deadlines, next first.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    heap: BinaryHeap<Reverse<(Millis, Due)>>,
}

impl Leases {
    /// Wakes `due` at `at`.
    pub(crate) fn schedule(&mut self, at: Millis, due: Due) {
        self.heap.push(Reverse((at, due)));
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Drops all entries but those that `keep` wants.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Millis, &Due) -> bool) {
        self.heap.retain(|Reverse((at, due))| keep(*at, due));
    }

    /// When the next entry comes up.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next entry that has come up by `now`, with the time it was scheduled for.
    pub(crate) fn pop(&mut self, now: Millis) -> Option<(Millis, Due)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
