//! The rounds: each server has its turn in each, so that a machine that gets slower does so for all.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::data::{Data, Set};
use crate::flood::{Flood, Until};
use crate::instructions;
use crate::latency::Latencies;
use crate::options::Options;
use crate::servers::Server;

/// What was measured of a server that was asked one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) turns: Vec<Turn>,
    pub(crate) instructions: Option<f64>,
}

/// In one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) round: usize,
    /// Queries per second under full load.
    pub(crate) rate: f64,
    /// Seconds of the processor for a query, under full load.
    pub(crate) cpu: f64,
    /// Seconds from query to reply at a low rate: half of all, and 99 of 100.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Bytes after all that.
    pub(crate) memory: u64,
}

/// All rows by what was asked and who answered.
pub(crate) type Rows = BTreeMap<(Set, Server), Row>;

/// Runs all rounds, then counts instructions. A server that fails is named and left out of the round.
#[expect(clippy::print_stderr, reason = "progress of a benchmark")]
pub(crate) fn run(servers: &[Server], data: Data, options: &Options) -> Rows {
    let mut rows = Rows::new();
    for round in 0..options.rounds {
        for &server in servers {
            eprint!("\rround {} of {}: {:<24}", round + 1, options.rounds, server.name());
            if let Err(error) = turn(server, round, data, options.time(), &mut rows) {
                eprintln!("\n{}: {error}", server.name());
            }
        }
    }
    if !options.no_instructions {
        for (&(set, server), row) in rows.iter_mut().filter(|((_, s), _)| s.runs_in_valgrind()) {
            eprint!("\rinstructions: {:<24}", server.name());
            match instructions::per_query(server, data, set) {
                Ok(count) => row.instructions = Some(count),
                Err(error) => eprintln!("\n{}: {error}", server.name()),
            }
        }
    }
    eprintln!("\r{:60}", "");
    rows
}

fn turn(
    server: Server,
    round: usize,
    data: Data,
    time: Duration,
    rows: &mut Rows,
) -> io::Result<()> {
    let running = server.start(data, &[])?;
    running.process.settle();
    for &set in server.sets() {
        let mut flood = Flood::new(running.dns, data.questions(set))?;
        flood.run(Until::After(WARM_UP))?;
        let before = running.process.cpu();
        let tally = flood.run(Until::After(time))?;
        let cpu = running.process.cpu() - before;
        if tally.wrong > 0 || tally.answered == 0 {
            return Err(io::Error::other(format!("{}: {tally:?}", set.title())));
        }
        drop(flood);
        let latencies = Latencies::measure(running.dns, data.questions(set), CALM, time / 2)?;
        let quantile =
            |per_mille| latencies.quantile(per_mille).map_or(f64::NAN, |time| time.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let answered = tally.answered as f64;
        let turn = Turn {
            round,
            rate: answered / time.as_secs_f64(),
            cpu: cpu.as_secs_f64() / answered,
            p50: quantile(500),
            p99: quantile(990),
            memory: running.process.memory(),
        };
        rows.entry((set, server)).or_default().turns.push(turn);
    }
    Ok(())
}

/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// Queries per second where their times are of interest: far below what anybody can.
const CALM: u32 = 10_000;
