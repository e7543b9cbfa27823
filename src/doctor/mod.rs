//! `signpost doctor`: looks at this host as an operator would, and says of each thing whether it is
//! well, and what to do if not.
//!
//! Each check is a function of what was read (`resolver`, `ports`, `folder`, `host`), so that tests
//! can hand it any host; `examine` reads. Changes nothing, and needs no server that runs.

mod examine;
mod folder;
mod host;
mod lookup;
mod ports;
mod resolver;

use std::fmt::Write;

use serde::Serialize;

pub use examine::{Options, Reached, examine};

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it; for what is well, nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, or might; worth a look.
    Warn,
    /// It does not work.
    Fail,
}

/// All that was found, in the order in which it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One for each check.
    pub checks: Vec<Finding>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), next: None }
    }

    pub(crate) fn warn(
        check: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { check, state: State::Warn, found: found.into(), next: Some(next.into()) }
    }

    pub(crate) fn fail(
        check: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { check, state: State::Fail, found: found.into(), next: Some(next.into()) }
    }
}

impl Report {
    /// Whether something does not work.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.checks.iter().any(|finding| finding.state == State::Fail)
    }

    /// For people: a line each, and one more for what to do.
    #[must_use]
    pub fn table(&self) -> String {
        let width = self.checks.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let mut text = String::new();
        for Finding { check, state, found, next } in &self.checks {
            let state = match state {
                State::Ok => "ok  ",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            // What was found may come from files of anybody's: nothing of it steers a terminal.
            let found = found.replace(char::is_control, " ");
            writeln!(text, "{state}  {check:width$}  {found}").expect("a String takes any text");
            if let Some(next) = next {
                writeln!(text, "      {:width$}  -> {next}", "").expect("a String takes any text");
            }
        }
        text
    }

    /// For machines.
    #[must_use]
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("texts and names are JSON");
        format!("{text}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shows_what_to_do_and_fails_with_its_worst() {
        let mut report = Report {
            checks: vec![Finding::ok("a", "fine"), Finding::warn("longer", "so \u{1b}so", "look")],
        };
        assert!(!report.failed());
        assert_eq!(
            report.table(),
            "ok    a       fine\nwarn  longer  so  so\n              -> look\n"
        );

        report.checks.push(Finding::fail("b", "bad", "mend it"));
        assert!(report.failed());
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(
            json["checks"][0],
            serde_json::json!({"check": "a", "state": "ok", "found": "fine"})
        );
        assert_eq!(json["checks"][2]["next"], "mend it");
    }
}
