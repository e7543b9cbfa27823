//! All deadlines on one timer: leases that end, services to forget.
//!
//! A renewal only moves the deadline kept beside the instance; the heap learns of it when the old
//! deadline comes up. So a heartbeat costs no heap operation, and each lease has one live entry.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::model::{InstanceId, Millis, ServiceName};

/// What comes due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    /// The lease of this instance.
    Lease(ServiceName, InstanceId),
    /// The time that this service stays known without instances.
    Forget(ServiceName),
}

/// The heap of deadlines, next first.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    heap: BinaryHeap<Entry>,
}

/// One deadline. Ordered by time alone, the earliest greatest: thousands may end in the same
/// millisecond, and comparing their names would take longer than ending them.
#[derive(Debug)]
struct Entry {
    at: Millis,
    due: Due,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl Leases {
    /// Wakes `due` at `at`.
    pub(crate) fn schedule(&mut self, at: Millis, due: Due) {
        self.heap.push(Entry { at, due });
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Drops all entries but those that `keep` wants.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Millis, &Due) -> bool) {
        self.heap.retain(|entry| keep(entry.at, &entry.due));
    }

    /// When the next entry comes up.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// The next entry that has come up by `now`, with the time it was scheduled for.
    pub(crate) fn pop(&mut self, now: Millis) -> Option<(Millis, Due)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Entry { at, due }| (at, due))
    }
}
