//! The same zones in signpost, NSD and Knot, and the same questions to the three of them.
//!
//! Where signpost differs from either, `explained.rs` says why, and which of them does what. A
//! difference that it does not explain fails the test, and so does an explanation of nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as the tests do")]

mod compare;
mod explained;
mod malformed;
mod queries;
mod servers;
#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use compare::{Facet, Report, differences, told};
use servers::{Three, Who};

#[test]
fn honest_queries_are_answered_as_nsd_and_knot_answer_them() {
    let Some(three) = Three::start() else { return };
    let mut report = Report::new(explained::HONEST);

    for query in queries::queries() {
        let [ours, nsd, knot] = three.ask(&query).map(|got| told(&query, &got));
        for (who, theirs) in [(Who::Nsd, &nsd), (Who::Knot, &knot)] {
            for facet in differences(&ours, theirs) {
                report.note(&query, who, facet, [&ours, theirs]);
            }
        }
    }

    report.finish();
}

#[test]
fn malformed_queries_get_what_nsd_and_knot_agree_on() {
    let Some(three) = Three::start() else { return };
    let mut report = Report::new(explained::MALFORMED);

    for query in malformed::queries() {
        let [ours, nsd, knot] = three.ask(&query).map(|got| told(&query, &got));
        // Where the two agree, NSD speaks for both.
        let agreed = |facet: &Facet| nsd.facet(*facet) == knot.facet(*facet);
        for facet in differences(&ours, &nsd).into_iter().filter(agreed) {
            report.note(&query, Who::Nsd, facet, [&ours, &nsd]);
        }
    }

    report.finish();
}
