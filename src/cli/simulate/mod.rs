//! `simulate`: what algorithms and TTLs would do to a fleet, without a server.

mod args;
mod plot;
mod report;
mod values;

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};

use clap::CommandFactory;
use clap::error::ErrorKind;

pub(super) use args::SimulateArgs;

use crate::cli::args::{Cli, OutputFormat};
use crate::cli::error::{ClientError, Exit};
use crate::cli::output::{print, print_error};
use crate::cli::simulate::report::Report;
use crate::cli::table::Layout;
use crate::simulate::advice::{advise, work};
use crate::simulate::compare::{Job, Runner};
use crate::simulate::plan::{Plan, Service};

/// Simulates, and shows what came out.
pub(super) fn simulate(args: &SimulateArgs) -> Exit {
    match args.plan() {
        Ok(plan) => match shown(args, &plan) {
            Ok(()) => Exit::Done,
            Err(error) => {
                print_error(&error.report());
                error.exit()
            }
        },
        Err(reason) => {
            // Its own usage, not that of all commands.
            let mut root = Cli::command();
            let command = root.find_subcommand_mut("simulate").expect("this command");
            let mut command = command.clone().bin_name("signpost simulate");
            drop(command.error(ErrorKind::ValueValidation, reason).print());
            Exit::Usage
        }
    }
}

fn shown(args: &SimulateArgs, plan: &Plan) -> Result<(), ClientError> {
    // Not after minutes of work.
    if let Some(folder) = &args.plot {
        std::fs::create_dir_all(folder)
            .map_err(|error| ClientError::Write { file: folder.clone(), error })?;
    }
    let services = args.services();
    let seeds: Vec<u64> = (0..args.seeds).map(|i| args.seed.wrapping_add(i)).collect();
    let progress = Progress::new(plan, services.len(), seeds.len());
    let runner = Runner {
        seeds: &seeds,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        progress: &|requests| progress.note(requests),
    };
    let jobs: Vec<Job<'_>> =
        services.iter().map(|service: &Service| Job { plan, service: *service }).collect();
    let trials = runner.trials(&jobs);
    let advice = advise(plan, &trials, &runner).expect("there is an algorithm");
    progress.end();

    let report = Report {
        rate: plan.rate(),
        seconds: plan.seconds(),
        seeds: &seeds,
        plan,
        trials: &trials,
        advice: &advice,
    };
    if let Some(folder) = &args.plot {
        for (name, svg) in plot::plots(&report) {
            let file = folder.join(name);
            std::fs::write(&file, svg).map_err(|error| ClientError::Write { file, error })?;
        }
    }
    print(&match args.output {
        OutputFormat::Table => report.text(Layout::of_stdout()),
        OutputFormat::Json => report.json(),
    })
}

/// How far it is, on a terminal, when it takes long.
struct Progress {
    done: AtomicU64,
    all: u64,
}

impl Progress {
    fn new(plan: &Plan, services: usize, seeds: usize) -> Self {
        let (runs, requests) = work(plan, services);
        let all = services as u64 * plan.clients.requests + runs as u64 * requests;
        let all = all * seeds as u64;
        let watched = all > LONG && stderr().is_terminal();
        Self { done: AtomicU64::new(0), all: if watched { all } else { 0 } }
    }

    fn note(&self, requests: u64) {
        let done = self.done.fetch_add(requests, Ordering::Relaxed) + requests;
        if let Some(percent) = (done.min(self.all) * 100).checked_div(self.all) {
            let bar = "#".repeat(usize::try_from(percent / 4).unwrap_or(0));
            print_error(&format!("\rsimulating [{bar:<25}] {percent:>3} %"));
        }
    }

    fn end(&self) {
        if self.all > 0 {
            print_error(&format!("\r{:45}\r", ""));
        }
    }
}

/// Requests that take more than a moment.
const LONG: u64 = 5_000_000;
