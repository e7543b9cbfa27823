//! What can be said on the command line, after `cargo bench --bench peers --`.

use std::time::Duration;

use clap::Parser;

/// Compares signpost with other name servers, on this machine.
#[derive(Debug, Parser)]
#[command(name = "peers")]
pub(crate) struct Options {
    /// How often each server has its turn; figures are medians.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// How long each is asked in a turn.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only these servers, by the names in the table.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// One round of half a second, for a first look.
    #[arg(long)]
    quick: bool,
    /// Do not count instructions.
    #[arg(long)]
    pub(crate) no_instructions: bool,
    /// Also grow a registry to a million instances, and draw what a query costs: docs/cost.svg.
    #[arg(long)]
    pub(crate) plot: bool,
    /// Install what is missing, with apt-get, as root.
    #[arg(long)]
    pub(crate) install: bool,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

impl Options {
    /// As given, with what `--quick` stands for.
    pub(crate) fn read() -> Self {
        let mut options = Self::parse();
        if options.quick {
            (options.rounds, options.seconds) = (1, 0.5);
        }
        options
    }

    /// How long a measurement takes.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Whether this one is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(name))
    }
}
