//! The table of servers, and the medians that it shows.

use crate::data::Set;
use crate::disturbed::Disturbed;
use crate::results::Results;
use crate::rounds::{Row, Rows, Turn};
use crate::servers::Server;
use crate::visible::Visible;

impl Row {
    /// The median of all rounds.
    pub(crate) fn median(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        median(self.turns.iter().map(figure).collect())
    }

    /// The median of what this costs in a round, compared with `other` in the same round.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        let ratios = self.turns.iter().filter_map(|ours| {
            let theirs = other.turns.iter().find(|theirs| theirs.round == ours.round)?;
            Some(ours.cpu / theirs.cpu)
        });
        median(ratios.collect())
    }
}

/// The peer that spends least on what is asked.
pub(crate) fn best_peer(rows: &Rows, set: Set) -> Option<(Server, &Row)> {
    let peers = rows.iter().filter(|((of, server), _)| *of == set && server.is_peer());
    let cost = |row: &Row| row.median(|turn| turn.cpu);
    peers
        .map(|(&(_, server), row)| (server, row))
        .min_by(|(_, a), (_, b)| cost(a).total_cmp(&cost(b)))
}

/// Writes the table to stdout, at most 100 columns wide.
#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
pub(crate) fn print(rows: &Rows) {
    for set in [Set::All, Set::One, Set::Srv] {
        let none = || "-".to_owned();
        let best = best_peer(rows, set);
        let mut of_set = rows.iter().filter(|((of, _), _)| *of == set).peekable();
        if of_set.peek().is_none() {
            continue;
        }
        println!(
            "{:<24} {:>9} {:>9} {:>12} {:>8} {:>8} {:>8} {:>9}",
            "", "queries/s", "cpu us", "instructions", "p50 us", "p99 us", "MiB", "to best"
        );
        println!("{}", set.title());
        for (&(_, server), row) in of_set {
            let micros = |figure: fn(&Turn) -> f64| row.median(figure) * 1e6;
            #[expect(clippy::cast_precision_loss, reason = "figures for people")]
            let memory = row.median(|turn| turn.memory as f64) / f64::from(1 << 20);
            let instructions = row.instructions.map_or_else(none, |count| format!("{count:.0}"));
            let ratio = best.map_or_else(none, |(_, best)| format!("{:.2}", row.ratio(best)));
            println!(
                "  {:<22} {:>9.0} {:>9.2} {instructions:>12} {:>8.0} {:>8.0} {memory:>8.1} {ratio:>9}",
                server.name(),
                row.median(|turn| turn.rate),
                micros(|turn| turn.cpu),
                micros(|turn| turn.p50),
                micros(|turn| turn.p99),
            );
        }
        println!();
    }
}

/// Writes what was timed by the query.
#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
pub(crate) fn print_times(results: &Results) {
    if let Some(Visible { registrations, p50, p99, stale }) = results.visible {
        println!(
            "{registrations} registrations: in DNS elsewhere {p50:.2?} (p50), {p99:.2?} (p99) after \
             they were sent; {stale} stale answers after the reply"
        );
    }
    for Disturbed { changes, idle, busy } in &results.disturbed {
        println!("p99 of queries: {idle:.0?} idle, {busy:.0?} under {changes:.0} changes a second");
    }
    println!();
}

/// The one in the middle; of none, not a number.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
