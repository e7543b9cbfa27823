//! Requests: when they come, through which resolver, and what work they are.
//!
//! The same seed makes the same requests whatever answers them, so that algorithms are compared
//! under the same load.

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::simulate::cast;
use crate::simulate::plan::{Plan, ServiceSpread};

/// All requests of a run.
#[derive(Debug)]
pub(super) struct Demand {
    rng: SmallRng,
    rate: f64,
    now: f64,
    work: f64,
    spread: ServiceSpread,
    /// The end of each resolver's share, of 1; empty when clients ask for themselves.
    shares: Vec<f64>,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Request {
    /// When it comes.
    pub(super) at: f64,
    /// Who asks the name server for it.
    pub(super) asker: usize,
    /// The seconds that it takes at speed 1.
    pub(super) work: f64,
    /// What decides for it where something is left to chance.
    pub(super) luck: u64,
}

/// How many clients there are when each asks for itself.
pub(super) const CLIENTS: usize = 10_000;

impl Demand {
    pub(super) fn new(plan: &Plan, seed: u64) -> Self {
        let mut end = 0.0;
        let shares = plan.shares().into_iter().map(|share| {
            end += share;
            end
        });
        Self {
            rng: SmallRng::seed_from_u64(seed),
            rate: plan.rate(),
            now: 0.0,
            work: cast::seconds(plan.fleet.service_time.0),
            spread: plan.fleet.service_spread,
            shares: shares.collect(),
        }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Request {
        self.now += exponential(&mut self.rng) / self.rate;
        let asker = match self.shares.len() {
            0 => cast::below(self.rng.next_u64(), CLIENTS),
            n => {
                let point: f64 = self.rng.random();
                self.shares.partition_point(|end| *end <= point).min(n - 1)
            }
        };
        let work = self.work * self.spread.draw(&mut self.rng);
        Request { at: self.now, asker, work, luck: self.rng.next_u64() }
    }
}

impl ServiceSpread {
    /// A draw with a mean of 1.
    fn draw(self, rng: &mut SmallRng) -> f64 {
        match self {
            Self::Fixed => 1.0,
            Self::Exponential => exponential(rng),
            // 0.9 x 1/1.9 + 0.1 x 10/1.9 is 1.
            Self::Bimodal => {
                if rng.random::<f64>() < 0.1 {
                    10.0 / 1.9
                } else {
                    1.0 / 1.9
                }
            }
            Self::Lognormal => (SIGMA * normal(rng) - SIGMA * SIGMA / 2.0).exp(),
        }
    }
}

fn exponential(rng: &mut SmallRng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}

/// Box and Muller.
fn normal(rng: &mut SmallRng) -> f64 {
    let radius = (2.0 * exponential(rng)).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

const SIGMA: f64 = 1.2;
