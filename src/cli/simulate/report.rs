//! The results of `simulate` as tables and words, and as JSON.

use std::fmt::Write;

use serde::Serialize;

use crate::cli::table::Layout;
use crate::model::{AnswerMode, DurationText};
use crate::simulate::advice::{Advice, ms};
use crate::simulate::compare::{Spread, Trial};
use crate::simulate::outcome::Figures;
use crate::simulate::plan::Plan;

/// All results.
#[derive(Debug, Serialize)]
pub(super) struct Report<'r> {
    /// Requests per second.
    pub(super) rate: f64,
    /// The length of a run.
    pub(super) seconds: f64,
    pub(super) seeds: &'r [u64],
    pub(super) plan: &'r Plan,
    pub(super) trials: &'r [Trial],
    pub(super) advice: &'r Advice,
}

impl Report<'_> {
    /// Every figure.
    pub(super) fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("no map has keys but strings");
        json + "\n"
    }

    /// What people want to know.
    pub(super) fn text(&self, layout: Layout) -> String {
        let mut text = format!("{}\n\n", self.heading());
        text += &self.latencies(layout);
        text.push('\n');
        text += &self.balance(layout);
        text.push('\n');
        text += &self.costs(layout);
        text += "\np99 at other TTLs:\n";
        text += &self.by_ttl(layout);
        if !self.advice.by_max_answers.is_empty() {
            text += "\np99 with other max_answers:\n";
            text += &self.by_max_answers(layout);
        }
        text.push('\n');
        text += &self.recommendation();
        text
    }

    fn heading(&self) -> String {
        let Plan { fleet, clients, caches, .. } = self.plan;
        let caches = match caches.resolvers {
            0 => "asked directly".to_owned(),
            resolvers => format!("behind {resolvers} resolvers"),
        };
        format!(
            "{} servers at load {}, {:.0} requests per second, {caches}; {} of {} requests, {:.0}s each",
            fleet.speeds.len(),
            clients.load,
            self.rate,
            if self.seeds.len() == 1 {
                "1 run".into()
            } else {
                format!("{} runs", self.seeds.len())
            },
            clients.requests,
            self.seconds,
        )
    }

    fn latencies(&self, layout: Layout) -> String {
        let header = ["ALGORITHM", "MEAN", "P50", "P99", "P99-RANGE", "P99.9", "ERRORS"];
        let rows = self.trials.iter().map(|trial| {
            let of = |figure| median(trial, figure);
            let p99 = trial.figure(|f| Some(f.p99_ms)).filter(|_| self.seeds.len() > 1);
            [
                trial.service.label().to_owned(),
                ms(of(|f| f.mean_ms)),
                ms(of(|f| f.p50_ms)),
                ms(of(|f| f.p99_ms)),
                p99.map_or_else(|| "-".to_owned(), range),
                ms(of(|f| f.p999_ms)),
                format!("{:.2}%", of(|f| f.errors) * 100.0),
            ]
        });
        layout.table(header, rows)
    }

    fn balance(&self, layout: Layout) -> String {
        let header = ["ALGORITHM", "ANSWER", "IMBALANCE", "CV", "UTIL-SD", "JAIN", "SETTLE"];
        let rows = self.trials.iter().map(|trial| {
            let of = |figure| median(trial, figure);
            // Only where there was a window at all.
            let windows = !trial.series(|outcome| &outcome.imbalance).is_empty();
            let windowed = |text: String| if windows { text } else { "-".to_owned() };
            let (mode, k) = trial.shape();
            [
                trial.service.label().to_owned(),
                format!("{}({k})", name(mode)),
                windowed(format!("{:.2}", of(|f| f.imbalance))),
                windowed(format!("{:.2}", of(|f| f.imbalance_cv))),
                windowed(format!("{:.3}", of(|f| f.utilisation_stdev))),
                format!("{:.3}", of(|f| f.jain)),
                seconds(trial, |f| f.settle_s),
            ]
        });
        layout.table(header, rows)
    }

    fn costs(&self, layout: Layout) -> String {
        let header = ["ALGORITHM", "STALE", "STALE-FOR", "MOVES", "DNS/S", "BYTES"];
        let rows = self.trials.iter().map(|trial| {
            let of = |figure| median(trial, figure);
            [
                trial.service.label().to_owned(),
                format!("{:.0}", of(|f| f.stale)),
                seconds(trial, |f| f.stale_s),
                format!("{:.1}%", of(|f| f.moves) * 100.0),
                format!("{:.1}", of(|f| f.dns_qps)),
                format!("{:.0}", of(|f| f.answer_bytes)),
            ]
        });
        layout.table(header, rows)
    }

    fn by_ttl(&self, layout: Layout) -> String {
        let per_service = self.advice.by_ttl.len() / self.trials.len().max(1);
        let rows = self.advice.by_ttl.chunks(per_service.max(1));
        let ttl = |trial: &Trial| DurationText(trial.service.ttl.get()).to_string();
        let header = rows.clone().next().map(|row| cells("ALGORITHM", row.iter().map(ttl)));
        let rows = rows.map(|row| {
            let label = row.first().map_or("", |trial| trial.service.label());
            cells(label, row.iter().map(|trial| ms(trial.p99())))
        });
        let advised = &self.advice.advised_by_ttl;
        let most = advised.first().map(|trial| trial.service.max_answers.get());
        let advised = most.map(|most| {
            let label = format!("as recommended, {most}");
            cells(&label, advised.iter().map(|trial| ms(trial.p99())))
        });
        layout.rows(header.into_iter().chain(rows).chain(advised))
    }

    fn by_max_answers(&self, layout: Layout) -> String {
        let trials = &self.advice.by_max_answers;
        let sizes = trials.iter().map(|trial| trial.service.max_answers.get().to_string());
        let p99 = trials.iter().map(|trial| ms(trial.p99()));
        let label = trials.first().map_or("", |trial| trial.service.label());
        layout.rows([cells("ALGORITHM", sizes), cells(label, p99)])
    }

    fn recommendation(&self) -> String {
        let service = &self.advice.service;
        let mut text = "Recommendation:\n\n[services.NAME]\n".to_owned();
        let mut line = |arguments: std::fmt::Arguments<'_>| {
            writeln!(text, "{arguments}").expect("a String takes any text");
        };
        line(format_args!("balance = {}", json(&service.balance)));
        line(format_args!("answer = {}", json(&service.answer)));
        line(format_args!("max_answers = {}", service.max_answers.get()));
        line(format_args!("ttl = \"{}\"\n", DurationText(service.ttl.get())));
        for reason in &self.advice.reasons {
            line(format_args!("- {reason}"));
        }
        text
    }
}

fn median(trial: &Trial, figure: fn(&Figures) -> f64) -> f64 {
    trial.figure(|figures| Some(figure(figures))).map_or(0.0, |spread| spread.median)
}

fn range(spread: Spread) -> String {
    let (low, high) = (ms(spread.low), ms(spread.high));
    // One unit says it of both.
    match low.strip_suffix("ms") {
        Some(low) if high.ends_with("ms") => format!("{low}-{high}"),
        Some(_) => format!("{low}-{high}"),
        None => format!("{}-{high}", low.trim_end_matches('s')),
    }
}

/// A median in seconds; a dash where no seed has it.
fn seconds(trial: &Trial, figure: fn(&Figures) -> Option<f64>) -> String {
    trial.figure(figure).map_or_else(|| "-".to_owned(), |spread| format!("{:.0}s", spread.median))
}

/// A row of as many cells as there may be TTLs or sizes.
fn cells(label: &str, rest: impl Iterator<Item = String>) -> [String; 8] {
    let mut row: [String; 8] = Default::default();
    label.clone_into(&mut row[0]);
    row[1..].iter_mut().zip(rest).for_each(|(cell, text)| *cell = text);
    row
}

fn name(mode: AnswerMode) -> String {
    json(&mode).trim_matches('"').to_owned()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a word")
}
