//! From single results to a state: how many it takes, and what keeps a flapping instance out.
//!
//! Pure. One for each check, moved by the results in order.

use crate::model::{Probe, Status};

/// What the results so far make of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trend {
    state: Status,
    /// Whether any result has counted, or none is needed; else the first decides.
    decided: bool,
    /// Since it came up, or since the last calm.
    failures: u8,
    /// The same kind of success (passing, warning) in a row.
    successes: u16,
    /// How often it fell lately: each time after the first doubles the successes it takes to rise.
    falls: u8,
}

impl Trend {
    /// One in this state, which was `decided` or waits for a first result.
    pub(super) fn new(state: Status, decided: bool) -> Self {
        Self { state, decided, failures: 0, successes: 0, falls: 0 }
    }

    /// Whether it waits for no first result.
    pub(super) fn is_decided(&self) -> bool {
        self.decided
    }

    /// The state.
    pub(super) fn state(&self) -> Status {
        self.state
    }

    /// Takes a result in, and tells whether the state is another by it, or is decided by it.
    ///
    /// | state | result | then |
    /// |---|---|---|
    /// | not decided | any | as the result says |
    /// | up | failure | critical after `fall` failures, not only in a row: 5 successes in a row forgive |
    /// | passing | warning | warning |
    /// | warning | passing | passing after `rise` in a row |
    /// | critical | success | up after `rise` in a row, twice as many for each fall shortly before |
    pub(super) fn note(&mut self, result: Status, probe: &Probe) -> bool {
        let before = (self.state, self.decided);
        if result == Status::Critical {
            self.fail(probe.fall);
        } else {
            self.succeed(result, probe.rise);
        }
        self.decided = true;
        (self.state, self.decided) != before
    }

    fn fail(&mut self, fall: u8) {
        self.successes = 0;
        if self.state == Status::Critical {
            return;
        }
        self.failures += 1;
        if self.failures >= fall {
            self.state = Status::Critical;
            self.failures = 0;
            self.falls = (self.falls + 1).min(MOST_FALLS);
        }
    }

    fn succeed(&mut self, result: Status, rise: u8) {
        self.successes = self.successes.saturating_add(1);
        match self.state {
            Status::Critical => {
                let needed = u16::from(rise) << self.falls.saturating_sub(1);
                if !self.decided || self.successes >= needed {
                    self.state = result;
                    self.successes = 0;
                }
            }
            Status::Passing | Status::Warning => {
                if self.successes.is_multiple_of(FORGIVE) {
                    self.failures = 0;
                }
                if self.successes.is_multiple_of(CALM) {
                    self.falls = self.falls.saturating_sub(1);
                }
                self.shade(result, rise);
            }
        }
    }

    /// Moves between the two states that are up.
    fn shade(&mut self, result: Status, rise: u8) {
        match (self.state, result) {
            (Status::Passing, Status::Warning) => {
                self.state = Status::Warning;
                self.successes = 0;
            }
            (Status::Warning, Status::Warning) => self.successes = 0,
            (Status::Warning, Status::Passing) if self.successes >= u16::from(rise) => {
                self.state = Status::Passing;
            }
            _ => {}
        }
    }
}

/// Successes in a row that make earlier failures not count.
const FORGIVE: u16 = 5;
/// Successes in a row that make one earlier fall not count.
const CALM: u16 = 20;
/// Falls that count: up to eight times the successes it takes otherwise.
const MOST_FALLS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Check, Means};

    fn probe(rise: u8, fall: u8) -> Probe {
        let json = format!(r#"{{"kind":"tcp","rise":{rise},"fall":{fall}}}"#);
        let check: Check = serde_json::from_str(&json).unwrap();
        let Means::Probe(probe) = check.means else { panic!("tcp is a probe") };
        *probe
    }

    /// The states after each of `results`: `.` passing, `~` warning, `x` critical.
    fn states(initial: Status, rise: u8, fall: u8, results: &str) -> String {
        let probe = probe(rise, fall);
        let mut trend = Trend::new(initial, initial != Status::Critical);
        let state = |result: char| {
            let before = (trend.state(), trend.is_decided());
            let changed = trend.note(
                match result {
                    '.' => Status::Passing,
                    '~' => Status::Warning,
                    _ => Status::Critical,
                },
                &probe,
            );
            assert_eq!(changed, (trend.state(), true) != before);
            match trend.state() {
                Status::Passing => '.',
                Status::Warning => '~',
                Status::Critical => 'x',
            }
        };
        results.chars().map(state).collect()
    }

    #[test]
    fn rise_and_fall() {
        for (initial, rise, fall, results, expected) in [
            // The first result decides.
            (Status::Critical, 2, 3, ".", "."),
            (Status::Critical, 2, 3, "~", "~"),
            (Status::Critical, 2, 3, "x..", "xx."),
            (Status::Passing, 2, 3, "xxx", "..x"),
            (Status::Passing, 2, 1, "x", "x"),
            // It takes fall failures, and rise successes in a row.
            (Status::Passing, 2, 3, "xxx.x..", "..xxxx."),
            (Status::Passing, 1, 1, "x.", "x."),
            // Failures add up, until five successes in a row.
            (Status::Passing, 2, 3, "x.x.x", "....x"),
            (Status::Passing, 2, 3, "xx.....xx", "........."),
            (Status::Passing, 2, 3, "xx....x", "......x"),
            // A warning is up, and comes at once; it goes after rise results in a row.
            (Status::Passing, 2, 3, "~..", "~~."),
            (Status::Passing, 2, 3, "~.~.~..", "~~~~~~."),
            (Status::Passing, 2, 3, "~~xxx~~", "~~~~xx~"),
        ] {
            assert_eq!(states(initial, rise, fall, results), expected, "{results}");
        }
    }

    #[test]
    fn who_falls_again_shortly_takes_longer_to_rise_each_time() {
        // Down after three, up after 2, 4, 8, 16, 16.
        let mut results = String::new();
        let mut expected = String::new();
        for needed in [2, 4, 8, 16, 16] {
            results += &format!("xxx{}", ".".repeat(needed));
            expected += &format!("..x{}.", "x".repeat(needed - 1));
        }

        assert_eq!(states(Status::Passing, 2, 3, &results), expected);
    }

    #[test]
    fn a_calm_time_makes_up_for_it() {
        let calm = ".".repeat(20);

        // The second fall, after a calm time, is a first one again.
        let results = format!("xxx..{calm}xxx..");
        let expected = format!("..xx.{calm}..xx.");
        assert_eq!(states(Status::Passing, 2, 3, &results), expected);
    }
}
