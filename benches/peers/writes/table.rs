//! The table of writes.

use std::collections::BTreeMap;

use crate::table::median;
use crate::writes::{Turn, Work};

/// All turns by what was written and over how many connections.
pub(crate) type Written = BTreeMap<(Work, usize), Vec<Turn>>;

/// The median of all rounds.
pub(crate) fn rate(written: &Written, work: Work, connections: usize) -> f64 {
    of(written.get(&(work, connections)), |turn| turn.rate)
}

fn of(turns: Option<&Vec<Turn>>, figure: impl Fn(&Turn) -> f64) -> f64 {
    median(turns.into_iter().flatten().map(figure).collect())
}

/// Writes the table to stdout.
#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
pub(crate) fn print(written: &Written) {
    if written.is_empty() {
        return;
    }
    println!(
        "{:<24} {:>11} {:>10} {:>9} {:>8} {:>8} {:>9}",
        "", "connections", "writes/s", "cpu us", "p50 ms", "p99 ms", "to etcd"
    );
    for (&(work, connections), turns) in written {
        let turns = Some(turns);
        let ratio = of(turns, |turn| turn.rate) / rate(written, Work::Put, connections);
        let ratio = if ratio.is_nan() { "-".to_owned() } else { format!("{ratio:.1}") };
        println!(
            "{:<24} {connections:>11} {:>10.0} {:>9.2} {:>8.2} {:>8.2} {ratio:>9}",
            work.name(),
            of(turns, |turn| turn.rate),
            of(turns, |turn| turn.cpu) * 1e6,
            of(turns, |turn| turn.p50) * 1e3,
            of(turns, |turn| turn.p99) * 1e3,
        );
    }
    println!();
}
