//! When which check is due: one heap, and two rules against storms.
//!
//! Checks that are new together begin one after the other, and from the second time on each has a
//! time of its own within the interval. Pure: time and chance are arguments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::{Rng, RngExt};

use crate::model::{Millis, Probe};

/// The number of a check that is being done; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(pub(super) u64);

/// Tickets by the time at which they are due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<(Millis, Ticket)>>,
    /// Nothing new begins before.
    free: Millis,
}

impl Schedule {
    /// Takes in what was never done: now, or as soon as those that came before have begun, but
    /// within `interval`.
    pub(super) fn begin(
        &mut self,
        ticket: Ticket,
        interval: Duration,
        now: Millis,
        rng: &mut impl Rng,
    ) {
        let at = self.free.max(now);
        // Too many for that: anywhere in the interval, which is as even.
        let late = at.since(now) > interval;
        let at = if late { now + interval.mul_f64(rng.random()) } else { at };
        self.free = if late { self.free } else { at + PACE };
        self.add(at, ticket);
    }

    /// Takes in what is due `at` this time.
    pub(super) fn add(&mut self, at: Millis, ticket: Ticket) {
        self.heap.push(Reverse((at, ticket)));
    }

    /// What is due, the first due first, and when it was.
    pub(super) fn pop(&mut self, now: Millis) -> Option<(Millis, Ticket)> {
        self.heap.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.heap.pop().map(|Reverse(due)| due)
    }

    /// When the next is due; `None` when there is none.
    pub(super) fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// How many tickets there are.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Drops all that `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(Ticket) -> bool) {
        self.heap.retain(|Reverse((_, ticket))| keep(*ticket));
    }
}

/// When a probe is due again that was due at `due`, and ended `now`; `first` when that was its first
/// time.
pub(super) fn next_time(
    probe: &Probe,
    due: Millis,
    now: Millis,
    first: bool,
    rng: &mut impl Rng,
) -> Millis {
    let interval = if first {
        // Those that began together are spread evenly, so that they do not stay together.
        probe.interval.mul_f64(rng.random_range(0.25..1.25))
    } else {
        let least = probe.interval.saturating_sub(probe.jitter);
        least + (probe.jitter * 2).mul_f64(rng.random())
    };
    // One that waited long is not done twice in a row for it.
    (due + interval).max(now + probe.interval / 4)
}

/// Between the beginnings of checks that are new.
const PACE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::model::{Check, Means};

    fn probe(json: &str) -> Probe {
        let check: Check = serde_json::from_str(json).unwrap();
        let Means::Probe(probe) = check.means else { panic!("{json}") };
        *probe
    }

    #[test]
    fn a_single_new_check_begins_at_once() {
        let (mut schedule, mut rng) = (Schedule::default(), SmallRng::seed_from_u64(1));
        schedule.begin(Ticket(7), Duration::from_secs(10), Millis(5_000), &mut rng);

        assert_eq!(schedule.pop(Millis(5_000)), Some((Millis(5_000), Ticket(7))));
        assert_eq!((schedule.pop(Millis(90_000)), schedule.len()), (None, 0));
    }

    #[test]
    fn many_new_checks_begin_one_after_the_other_and_stay_apart() {
        let (mut schedule, mut rng) = (Schedule::default(), SmallRng::seed_from_u64(1));
        let probe = probe(r#"{"kind":"tcp","interval":"10s"}"#);
        for ticket in 0..5_000 {
            schedule.begin(Ticket(ticket), probe.interval, Millis(1_000), &mut rng);
        }

        // How many begin in each second, for two minutes of probes that take no time.
        let (mut begun, mut done) = ([0; 120], std::collections::HashSet::new());
        for second in 0..120_u64 {
            for at in (second * 1_000..(second + 1) * 1_000).map(|ms| Millis(1_000 + ms)) {
                while let Some((due, ticket)) = schedule.pop(at) {
                    let first = done.insert(ticket);
                    schedule.add(next_time(&probe, due, at, first, &mut rng), ticket);
                    begun[usize::try_from(second).unwrap()] += 1;
                }
            }
        }

        assert!(begun[..6].iter().all(|n| *n <= 1_300), "{begun:?}");
        // 500 a second is even.
        assert!(begun[6..].iter().all(|n| (380..620).contains(n)), "{begun:?}");
    }

    #[test]
    fn more_than_fit_an_interval_still_begin_within_it() {
        let (mut schedule, mut rng) = (Schedule::default(), SmallRng::seed_from_u64(1));
        for ticket in 0..20_000 {
            schedule.begin(Ticket(ticket), Duration::from_secs(2), Millis(0), &mut rng);
        }

        let mut halves = [0, 0];
        while let Some((at, _)) = schedule.pop(Millis(2_001)) {
            halves[usize::from(at >= Millis(1_000))] += 1;
        }

        assert_eq!(halves[0] + halves[1], 20_000);
        assert!(halves[0] > 9_500 && halves[1] > 9_500, "{halves:?}");
    }

    #[test]
    fn intervals_differ_by_no_more_than_jitter() {
        let mut rng = SmallRng::seed_from_u64(1);
        let probe = probe(r#"{"kind":"tcp","interval":"10s","jitter":"2s"}"#);

        let next = |rng: &mut SmallRng| next_time(&probe, Millis(0), Millis(0), false, rng).0;
        let all: Vec<u64> = (0..1_000).map(|_| next(&mut rng)).collect();

        let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        assert!((8_000..8_200).contains(least) && (11_800..=12_000).contains(most));
        // One that was late keeps its times, but for those that are over.
        let late = next_time(&probe, Millis(0), Millis(11_900), false, &mut rng).0;
        assert_eq!(late, 14_400);
    }
}
