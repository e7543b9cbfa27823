//! Dynamic weights of `weighted_round_robin` in a fleet of two speeds with queues: after they have
//! settled, loads are as even as if the true speeds had been written down.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::balance::dynamic::Dynamic;
use crate::balance::exponential::exponential;
use crate::balance::meter::Meter;
use crate::balance::pool::{Ask, Pool, PoolSpec};
use crate::balance::testing::{ask, rng, spec};
use crate::model::{AnswerMode, Balance, InstanceId, Load, Millis};

/// Requests per second of each: ten of one speed, ten three times as fast.
const SPEEDS: [f64; 20] = [
    30.0, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0, 90.0, 90.0, 90.0, 90.0, 90.0, 90.0,
    90.0, 90.0, 90.0, 90.0,
];
/// What is offered of all that they can do: without weights, nine tenths of what a slow one can.
const LOAD: f64 = 0.45;

/// One server, which does one request at a time.
#[derive(Default)]
struct Server {
    /// When each request that it has will be done.
    ends: VecDeque<f64>,
    /// When it will have done all of them.
    free: f64,
    /// How much of this second it works.
    busy: f64,
}

impl Server {
    /// A request of `service` seconds arrives at `now`, in the second that ends at `end`.
    fn take(&mut self, now: f64, service: f64, end: f64) {
        let start = self.free.max(now);
        self.free = start + service;
        self.busy += self.free.min(end) - start.min(end);
        self.ends.push_back(self.free);
    }

    /// The second that ends at `now` is over: requests done in it, and how much of it was work.
    fn tick(&mut self, now: f64) -> (f64, f64) {
        let done = self.ends.iter().take_while(|end| **end <= now).count();
        self.ends.drain(..done);
        let busy = std::mem::replace(&mut self.busy, (self.free - now).clamp(0.0, 1.0));
        (done as f64, busy)
    }
}

/// Runs the fleet with nothing cached. `weights` are those in force before anything is measured,
/// and stay where `dynamic` is not. Returns the utilisation of each server in each second.
fn fleet(weights: &[u16; 20], dynamic: bool, seconds: u32) -> Vec<[f64; 20]> {
    let rate: f64 = SPEEDS.iter().sum::<f64>() * LOAD;
    let mut rng: SmallRng = rng(50);
    let members: Vec<(InstanceId, u16, Arc<Meter>)> = weights
        .iter()
        .enumerate()
        .map(|(i, &weight)| {
            (InstanceId::new(&format!("web-{i}")).unwrap(), weight, Arc::new(Meter::new()))
        })
        .collect();
    let mut measured = Dynamic::new();
    let mut pool = pool_of(&weights.map(u32::from), &mut rng);
    let mut servers: [Server; 20] = Default::default();
    let (mut out, mut history, mut arrival) = (Vec::new(), Vec::new(), 0.0);
    for second in 1..=seconds {
        let (now, end) = (Millis(u64::from(second) * 1000), f64::from(second));
        while arrival < end {
            pool.pick(&Ask { now, ..ask() }, &mut rng, &mut out);
            let chosen = out[0] as usize;
            servers[chosen].take(arrival, exponential(rng.random()) / SPEEDS[chosen], end);
            arrival += exponential(rng.random()) / rate;
        }
        let mut utilisation = [0.0; 20];
        for (i, (.., meter)) in members.iter().enumerate() {
            let (completed, busy) = servers[i].tick(end);
            let load = Load { qps: Some(completed), cpu: Some(busy), ..Load::default() };
            meter.report(load, now);
            utilisation[i] = busy;
        }
        history.push(utilisation);
        if dynamic && let Some(new) = measured.update(&members, Duration::ZERO, now) {
            pool = pool_of(&new, &mut rng);
        }
    }
    history
}

fn pool_of(weights: &[u32], rng: &mut SmallRng) -> Pool {
    let mut spec = spec(Balance::WeightedRoundRobin, AnswerMode::Ordered, &[1; 20]);
    spec.members.iter_mut().zip(weights).for_each(|(member, weight)| member.weight = *weight);
    Pool::new(PoolSpec { cached: false, ..spec }, rng)
}

/// The standard deviation of utilisations over servers and seconds.
fn deviation(history: &[[f64; 20]]) -> f64 {
    let all: Vec<f64> = history.iter().flatten().copied().collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    (all.iter().map(|busy| (busy - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt()
}

#[test]
fn loads_become_as_even_as_with_the_true_weights() {
    let mut truth = [1; 20];
    truth[10..].fill(3);

    let (learned, known) = (fleet(&[1; 20], true, 150), fleet(&truth, false, 150));

    // Three time constants of 10 s after the 10 s in which nothing is believed yet.
    let (first, settled) = (deviation(&learned[..10]), deviation(&learned[40..]));
    let ideal = deviation(&known[40..]);
    println!("first {first:.3}, settled {settled:.3}, with true weights {ideal:.3}");
    assert!(settled <= 1.1 * ideal, "{settled} for {ideal}");
    assert!(first > 1.3 * ideal, "it was uneven before: {first} for {ideal}");
}
