//! What the circuit breaker remembers of one instance.

use crate::model::{Millis, Outcome};

/// One instance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Track {
    /// The registration that this is about.
    pub(super) generation: u64,
    /// Of the interval that is counted.
    pub(super) now: Counts,
    /// Of the one before.
    before: Counts,
    /// Failures since the last success, none while it is ejected: then it only gets what caches
    /// still send.
    pub(super) run: u64,
    /// Ejections that are not lived down.
    pub(super) strikes: u32,
    pub(super) ejected_until: Option<Millis>,
    /// Whether it was ejected in this interval.
    pub(super) ejected_lately: bool,
    /// Whether it was to be ejected and there was no room.
    pub(super) held: bool,
}

impl Track {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation,
            now: Counts::default(),
            before: Counts::default(),
            run: 0,
            strikes: 0,
            ejected_until: None,
            ejected_lately: false,
            held: false,
        }
    }

    /// Takes in a report. Any success in it ends the run of failures: in which order they came is
    /// not known.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.now.add(outcome);
        if outcome.successes > 0 {
            self.run = 0;
            self.held = false;
        } else if self.ejected_until.is_none() {
            self.run += u64::from(outcome.failures);
        }
    }

    /// Counts of this interval and the last whole one.
    pub(super) fn lately(&self) -> Counts {
        self.before.plus(self.now)
    }

    /// Begins a new interval. One without an ejection lives down a strike.
    pub(super) fn start_interval(&mut self) {
        if self.ejected_until.is_none() && !std::mem::take(&mut self.ejected_lately) {
            self.strikes = self.strikes.saturating_sub(1);
        }
        // What is not repeated while it has to wait is over.
        if self.held && self.now.requests() == 0 {
            (self.run, self.held) = (0, false);
        }
        self.before = std::mem::take(&mut self.now);
    }

    /// Whether anything of it changes when an interval ends.
    pub(super) fn moves_with_time(&self) -> bool {
        self.lately() != Counts::default() || self.strikes > 0 || self.ejected_until.is_some()
    }

    /// Whether it says no more than none.
    pub(super) fn is_blank(&self) -> bool {
        *self == Self::new(self.generation)
    }
}

/// Outcomes, added up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Counts {
    pub(super) successes: u64,
    pub(super) failures: u64,
    /// The sum of all latencies, and of how many.
    latency: f64,
    timed: u64,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        let (successes, failures) = (u64::from(outcome.successes), u64::from(outcome.failures));
        self.successes += successes;
        self.failures += failures;
        if let Some(mean) = outcome.latency_ms {
            self.timed += successes + failures;
            self.latency += mean * (successes + failures) as f64;
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            successes: self.successes + other.successes,
            failures: self.failures + other.failures,
            latency: self.latency + other.latency,
            timed: self.timed + other.timed,
        }
    }

    /// How many there were.
    pub(super) fn requests(&self) -> u64 {
        self.successes + self.failures
    }

    /// The share of successes, where there were any requests.
    pub(super) fn success_rate(&self) -> f64 {
        self.successes as f64 / self.requests() as f64
    }

    /// The mean latency in milliseconds.
    pub(super) fn latency(&self) -> Option<f64> {
        (self.timed > 0).then(|| self.latency / self.timed as f64)
    }
}
