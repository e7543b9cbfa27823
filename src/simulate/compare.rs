//! Many runs, as many at a time as there are cores, and what they have in common.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Serialize, Serializer};

use crate::model::{AnswerMode, Balance};
use crate::simulate::outcome::{Figures, Outcome};
use crate::simulate::plan::{Plan, Service};
use crate::simulate::run::run;

/// A service under a plan, and what came out of it with each seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The service.
    pub service: Service,
    /// One a seed.
    pub outcomes: Vec<Outcome>,
}

/// What to run: each with every seed.
#[derive(Debug, Clone, Copy)]
pub struct Job<'p> {
    /// The world.
    pub plan: &'p Plan,
    /// The service in it.
    pub service: Service,
}

/// How runs are made.
#[derive(Clone, Copy)]
pub struct Runner<'r> {
    /// The seeds; every service sees the same requests under each of them.
    pub seeds: &'r [u64],
    /// Runs at a time.
    pub threads: usize,
    /// Called after each run with what was done: how many requests.
    pub progress: &'r (dyn Fn(u64) + Sync),
}

impl Runner<'_> {
    /// Runs each job with each seed. The results are in the order of the jobs, and do not depend on
    /// how many threads there are.
    #[must_use]
    pub fn trials(&self, jobs: &[Job<'_>]) -> Vec<Trial> {
        let runs: Vec<(&Job<'_>, u64)> =
            jobs.iter().flat_map(|job| self.seeds.iter().map(move |seed| (job, *seed))).collect();
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::new());
        let work = || {
            while let Some((number, (job, seed))) = numbered(&runs, &next) {
                let outcome = run(job.plan, &job.service, *seed);
                done.lock().expect("nobody panics with it").push((number, outcome));
                (self.progress)(job.plan.clients.requests);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, runs.len().max(1)) {
                scope.spawn(work);
            }
        });
        let mut outcomes = done.into_inner().expect("nobody panics with it");
        outcomes.sort_by_key(|(number, _)| *number);
        let mut outcomes = outcomes.into_iter().map(|(_, outcome)| outcome);
        let trial = |job: &Job<'_>| Trial {
            service: job.service,
            outcomes: outcomes.by_ref().take(self.seeds.len()).collect(),
        };
        jobs.iter().map(trial).collect()
    }
}

fn numbered<'r, T>(runs: &'r [T], next: &AtomicUsize) -> Option<(usize, &'r T)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    runs.get(number).map(|run| (number, run))
}

/// The middle of what the seeds gave, and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the seeds gave at most this.
    pub median: f64,
    /// From 6 seeds on the median of all there could be is over this, and under `high`, with a
    /// confidence of 95 %. With fewer it is the least.
    pub low: f64,
    /// With fewer than 6 seeds the most.
    pub high: f64,
}

impl Spread {
    fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let cut = beyond(numbers.len());
        let (low, high) = (*numbers.get(cut)?, *numbers.get(numbers.len() - 1 - cut)?);
        let half = numbers.len() / 2;
        let even = numbers.len().is_multiple_of(2);
        let median = if even { (numbers[half - 1] + numbers[half]) / 2.0 } else { numbers[half] };
        Some(Self { median, low, high })
    }
}

/// How many of `n` sorted numbers are left out on either side, so that those that stay hold the
/// median of their distribution with a confidence of 95 %, whatever that is: each is below it with a
/// chance of one half.
fn beyond(n: usize) -> usize {
    let (mut cut, mut chance, mut tail) =
        (0, 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX)), 0.0);
    while cut < n / 2 {
        tail += chance;
        if tail > 0.025 {
            break;
        }
        chance *= (n - cut) as f64 / (cut + 1) as f64;
        cut += 1;
    }
    cut.saturating_sub(1)
}

/// A figure by name.
pub type Figure = (&'static str, fn(&Figures) -> Option<f64>);

/// Every figure that a run is judged by.
pub const FIGURES: [Figure; 16] = [
    ("p50_ms", |f| Some(f.p50_ms)),
    ("p99_ms", |f| Some(f.p99_ms)),
    ("p999_ms", |f| Some(f.p999_ms)),
    ("mean_ms", |f| Some(f.mean_ms)),
    ("imbalance", |f| Some(f.imbalance)),
    ("imbalance_cv", |f| Some(f.imbalance_cv)),
    ("utilisation_stdev", |f| Some(f.utilisation_stdev)),
    ("jain", |f| Some(f.jain)),
    ("stale", |f| Some(f.stale)),
    ("stale_s", |f| f.stale_s),
    ("moves", |f| Some(f.moves)),
    ("errors", |f| Some(f.errors)),
    ("dns_qps", |f| Some(f.dns_qps)),
    ("answer_bytes", |f| Some(f.answer_bytes)),
    ("settle_s", |f| f.settle_s),
    ("weight_swing", |f| Some(f.weight_swing)),
];

impl Trial {
    /// A figure over all seeds that have it.
    #[must_use]
    pub fn figure(&self, of: impl Fn(&Figures) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.outcomes.iter().filter_map(|outcome| of(&outcome.figures)).collect())
    }

    /// The median of the 99th percentiles, in milliseconds.
    #[must_use]
    pub fn p99(&self) -> f64 {
        self.figure(|f| Some(f.p99_ms)).map_or(0.0, |spread| spread.median)
    }

    /// The median share of requests that failed.
    #[must_use]
    pub fn errors(&self) -> f64 {
        self.figure(|f| Some(f.errors)).map_or(0.0, |spread| spread.median)
    }

    /// How answers were chosen, and how many instances they had.
    #[must_use]
    pub fn shape(&self) -> (AnswerMode, usize) {
        self.outcomes.first().map_or((self.service.answer, 0), |first| (first.answer, first.k))
    }

    /// The mean over the seeds of a series.
    #[must_use]
    pub fn series(&self, of: fn(&Outcome) -> &[f64]) -> Vec<f64> {
        let longest = self.outcomes.iter().map(|outcome| of(outcome).len()).min().unwrap_or(0);
        let mean = |i: usize| {
            self.outcomes.iter().map(|outcome| of(outcome)[i]).sum::<f64>()
                / self.outcomes.len() as f64
        };
        (0..longest).map(mean).collect()
    }
}

impl Service {
    /// What it is called in results.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self.balance {
            Balance::RoundRobin => "round_robin",
            Balance::Random => "random",
            Balance::WeightedRoundRobin if self.reports => "weighted_round_robin+load",
            Balance::WeightedRoundRobin => "weighted_round_robin",
            Balance::LeastConnections => "least_connections",
            Balance::ConsistentHash => "consistent_hash",
        }
    }
}

impl Serialize for Trial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'t> {
            algorithm: &'static str,
            service: &'t Service,
            answer: AnswerMode,
            k: usize,
            figures: All<'t>,
            shares: Vec<f64>,
            weights: &'t [u32],
            imbalance: Vec<f64>,
            watched: Vec<f64>,
        }
        let (answer, k) = self.shape();
        Shown {
            algorithm: self.service.label(),
            service: &self.service,
            answer,
            k,
            figures: All(self),
            shares: self.series(|outcome| &outcome.shares),
            weights: self.outcomes.first().map_or(&[], |outcome| &outcome.weights),
            imbalance: self.series(|outcome| &outcome.imbalance),
            watched: self.series(|outcome| &outcome.watched),
        }
        .serialize(serializer)
    }
}

/// Every figure of a trial, in the order of [`FIGURES`].
struct All<'t>(&'t Trial);

impl Serialize for All<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(FIGURES.into_iter().map(|(name, of)| (name, self.0.figure(of))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_six_seeds_on_the_median_has_an_interval() {
        assert_eq!([0, 1, 3, 5, 6, 9, 20, 100].map(beyond), [0, 0, 0, 0, 0, 1, 5, 39]);

        let spread = Spread::of((1..=20).rev().map(f64::from).collect());
        assert_eq!(spread, Some(Spread { median: 10.5, low: 6.0, high: 15.0 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
