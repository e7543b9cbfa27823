//! Whose turn it is among the probes that are due: places are few, and one service whose instances
//! all hang must not have them all.
//!
//! Services take turns, and none has more probes under way than it leaves places free: alone it has
//! half of them, two have a third each, and there is room for one more until there are as many
//! services as places. Pure.

use std::collections::{HashMap, VecDeque};

use crate::health::schedule::Ticket;
use crate::model::{Millis, ServiceName};

/// What is due and waits, by service, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lines: HashMap<ServiceName, VecDeque<(Millis, Ticket)>>,
    /// The services with a line, the next one first.
    order: VecDeque<ServiceName>,
    running: HashMap<ServiceName, usize>,
    under_way: usize,
    waiting: usize,
}

impl Turns {
    /// Takes in a check of `service` that was due at this time.
    pub(super) fn wait(&mut self, service: &ServiceName, due: Millis, ticket: Ticket) {
        self.waiting += 1;
        if let Some(line) = self.lines.get_mut(service) {
            line.push_back((due, ticket));
            return;
        }
        self.lines.insert(service.clone(), VecDeque::from([(due, ticket)]));
        self.order.push_back(service.clone());
    }

    /// Takes the next that may begin where so many may be under way; it has a place from now on.
    pub(super) fn next(&mut self, places: usize) -> Option<(ServiceName, Millis, Ticket)> {
        let free = places.saturating_sub(self.under_way);
        for _ in 0..if free == 0 { 0 } else { self.order.len() } {
            let service = self.order.pop_front()?;
            let own = self.running.get(&service).copied().unwrap_or(0);
            if own >= free {
                self.order.push_back(service);
                continue;
            }
            let line = self.lines.get_mut(&service)?;
            let (due, ticket) = line.pop_front()?;
            if line.is_empty() {
                self.lines.remove(&service);
            } else {
                self.order.push_back(service.clone());
            }
            self.waiting -= 1;
            self.under_way += 1;
            self.running.insert(service.clone(), own + 1);
            return Some((service, due, ticket));
        }
        None
    }

    /// Frees a place that `service` had.
    pub(super) fn end(&mut self, service: &ServiceName) {
        let Some(own) = self.running.get_mut(service) else { return };
        *own -= 1;
        self.under_way -= 1;
        if *own == 0 {
            self.running.remove(service);
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Drops all that `keep` does not want of those that wait.
    pub(super) fn retain(&mut self, keep: impl Fn(Ticket) -> bool) {
        self.lines.retain(|_, line| {
            line.retain(|(_, ticket)| keep(*ticket));
            !line.is_empty()
        });
        self.order.retain(|service| self.lines.contains_key(service));
        self.waiting = self.lines.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(lines: &[(&str, u64)]) -> Turns {
        let mut turns = Turns::default();
        for (service, count) in lines {
            let service = ServiceName::new(service).unwrap();
            (0..*count).for_each(|i| turns.wait(&service, Millis(i), Ticket(i)));
        }
        turns
    }

    /// The services that may begin, in order.
    fn begin(turns: &mut Turns, places: usize) -> Vec<String> {
        let next = std::iter::from_fn(|| turns.next(places));
        next.map(|(service, _, _)| service.to_string()).collect()
    }

    #[test]
    fn a_service_has_no_more_places_than_it_leaves() {
        for (lines, places, expected) in [
            (&[("a", 9)][..], 1, "a"),
            (&[("a", 9)], 2, "a"),
            (&[("a", 9)], 8, "aaaa"),
            (&[("a", 9), ("b", 9)], 9, "ababab"),
            (&[("a", 9), ("b", 9)], 1, "a"),
            (&[("a", 9), ("b", 1)], 8, "abaaa"),
            (&[("a", 9), ("b", 9), ("c", 9), ("d", 9)], 4, "abcd"),
        ] {
            let begun = begin(&mut turns(lines), places).concat();
            assert_eq!(begun, expected, "{lines:?} {places}");
        }
    }

    #[test]
    fn a_place_that_is_free_goes_to_who_has_few() {
        let mut turns = turns(&[("slow", 100)]);
        assert_eq!(begin(&mut turns, 8).len(), 4);
        let fast = ServiceName::new("fast").unwrap();
        (0..10).for_each(|i| turns.wait(&fast, Millis(0), Ticket(1_000 + i)));

        // The slow one has a half; the others go on as if there were only the other half.
        for _ in 0..5 {
            assert_eq!(begin(&mut turns, 8), ["fast", "fast"]);
            turns.end(&fast);
            turns.end(&fast);
        }
        assert_eq!((begin(&mut turns, 8), turns.waiting()), (vec![], 96));
        turns.end(&ServiceName::new("slow").unwrap());
        assert_eq!(begin(&mut turns, 8), ["slow"]);
    }

    #[test]
    fn what_is_first_due_of_a_service_is_first_and_what_is_gone_is_no_more() {
        let mut turns = turns(&[("a", 4), ("b", 1)]);

        turns.retain(|Ticket(i)| i % 2 == 1);

        let next = std::iter::from_fn(|| turns.next(100)).map(|(_, due, _)| due.0);
        assert_eq!(next.collect::<Vec<_>>(), [1, 3]);
        assert_eq!((turns.waiting(), turns.lines.len(), turns.order.len()), (0, 0, 0));
    }
}
