//! What is to happen, by time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::simulate::resolver::Record;
use crate::simulate::scenario::Fault;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// A server reports its load.
    Report(usize),
    /// Weights are computed anew.
    Weigh,
    /// A lease may be over.
    Expire(usize),
    /// Something goes wrong.
    Fault(Fault),
    /// A window of measurement ends.
    Window,
    /// A client tries the next record.
    Retry(Box<Retry>),
}

/// A request that has not reached a server yet.
#[derive(Debug)]
pub(super) struct Retry {
    /// When it was first tried.
    pub(super) since: f64,
    /// The seconds that it takes at speed 1.
    pub(super) work: f64,
    /// The records that are left, in the order in which the client has them.
    pub(super) left: Vec<Record>,
    /// What decides among them.
    pub(super) luck: u64,
}

/// Events by time; those of one moment in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Due>,
    added: u64,
}

#[derive(Debug)]
struct Due {
    at: f64,
    number: u64,
    event: Event,
}

impl Agenda {
    pub(super) fn add(&mut self, at: f64, event: Event) {
        self.added += 1;
        self.heap.push(Due { at, number: self.added, event });
    }

    /// The next event, when it is due by `now`, and its time.
    pub(super) fn due(&mut self, now: f64) -> Option<(f64, Event)> {
        self.heap.peek().filter(|due| due.at <= now)?;
        self.heap.pop().map(|due| (due.at, due.event))
    }
}

impl Ord for Due {
    /// The earliest is the greatest, which the heap has on top.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_by_time_and_then_in_order() {
        let mut agenda = Agenda::default();
        for (at, server) in [(2.0, 0), (1.0, 1), (2.0, 2), (3.0, 3)] {
            agenda.add(at, Event::Report(server));
        }

        let mut seen = Vec::new();
        while let Some((at, Event::Report(server))) = agenda.due(2.5) {
            seen.push((at, server));
        }

        assert_eq!(seen, [(1.0, 1), (2.0, 0), (2.0, 2)]);
    }
}
