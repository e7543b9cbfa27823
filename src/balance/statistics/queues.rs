//! Two choices, `least_connections` where nothing is cached: queues as short as theory says.

use rand::RngExt;

use crate::balance::cast;
use crate::balance::pool::{Ask, PoolSpec};
use crate::balance::testing::{Stand, ask, rng, spec};
use crate::model::{AnswerMode, Balance, Load, Millis};

fn stand(servers: usize) -> Stand {
    let spec = spec(Balance::LeastConnections, AnswerMode::Single, &vec![1; servers]);
    Stand::new(PoolSpec { cached: false, ..spec }, 1)
}

/// The share of servers with at least `i` requests is rho^((d^i - 1) / (d - 1)), which makes a mean
/// time of the sum of rho^((d^i - d) / (d - 1)) service times (Mitzenmacher, the supermarket model).
fn share_with(rho: f64, i: i32, choices: i32) -> f64 {
    if choices == 1 { rho.powi(i) } else { rho.powi(2_i32.pow(i.unsigned_abs().min(20)) - 1) }
}

/// The mean time of a request in service times: exponential arrivals and services, one server each,
/// reports without delay. One event a step, by Little's law.
fn mean_time(rho: f64, servers: usize, steps: u64, random: bool) -> f64 {
    let pool = stand(servers);
    let say = |unit: u32, queue: u32| {
        let load = Load { connections: Some(queue.into()), ..Load::default() };
        pool.members[unit as usize].meter.meter().report(load, Millis(0));
    };
    let (mut rng, mut out) = (rng(40), Vec::new());
    // As it is in the long run, so that there is nothing to wait for.
    let choices = if random { 1 } else { 2 };
    let mut queues = vec![0_u32; servers];
    for i in 1..200 {
        let with = cast::index(cast::whole((share_with(rho, i, choices) * servers as f64).round()));
        queues[..with].iter_mut().for_each(|queue| *queue += 1);
    }
    (0..).zip(&queues).for_each(|(unit, queue)| say(unit, *queue));
    let mut all: u64 = queues.iter().copied().map(u64::from).sum();
    let mut area = 0;
    for _ in 0..steps {
        let unit = if rng.random_bool(rho / (1.0 + rho)) {
            let unit = if random {
                rng.random_range(0..servers)
            } else {
                pool.pick(&Ask { peek: true, ..ask() }, &mut rng, &mut out);
                out[0] as usize
            };
            queues[unit] += 1;
            all += 1;
            unit
        } else {
            let unit = rng.random_range(0..servers);
            let served = queues[unit].min(1);
            queues[unit] -= served;
            all -= u64::from(served);
            unit
        };
        if !random {
            say(u32::try_from(unit).unwrap(), queues[unit]);
        }
        area += all;
    }
    area as f64 / steps as f64 / servers as f64 / rho
}

#[test]
fn times_are_those_of_the_supermarket_model() {
    for (rho, steps, expected) in
        [(0.8, 300_000, 1.95), (0.9, 400_000, 2.61), (0.95, 600_000, 3.38), (0.99, 1_200_000, 5.43)]
    {
        let theory: f64 = (1..12).map(|i| share_with(rho, i, 2)).sum::<f64>() / rho;
        assert!((theory - expected).abs() < 0.01, "{theory}");

        let time = mean_time(rho, 200, steps, false);
        println!("{rho}: {time:.3} for {expected}, {} at random", 1.0 / (1.0 - rho));

        assert!((time / expected - 1.0).abs() <= 0.05, "{rho}: {time} for {expected}");
    }
}

/// That the model above is one: what is known of queues by chance comes out.
#[test]
fn times_by_chance_are_those_of_single_queues() {
    for rho in [0.8, 0.9] {
        let time = mean_time(rho, 200, 1_000_000, true);

        assert!((time * (1.0 - rho) - 1.0).abs() <= 0.1, "{rho}: {time}");
    }
}

/// A thousand answers to a thousand servers: by chance some have five and more, by two choices the
/// most is ln ln n / ln 2 and a little (Azar, Broder, Karlin, Upfal).
#[test]
fn what_is_handed_out_is_spread_as_two_choices_spread() {
    const SERVERS: u32 = 1_000;
    let most = |balance: Balance, seed: u64| {
        let spec = spec(balance, AnswerMode::Single, &vec![1; SERVERS as usize]);
        let pool = Stand::new(PoolSpec { cached: false, ..spec }, seed);
        let (mut rng, mut out) = (rng(seed), Vec::new());
        let mut counts = vec![0_u32; SERVERS as usize];
        for _ in 0..SERVERS {
            pool.pick(&ask(), &mut rng, &mut out);
            counts[out[0] as usize] += 1;
        }
        counts.into_iter().max().unwrap()
    };

    for seed in 0..10 {
        let (two, one) = (most(Balance::LeastConnections, seed), most(Balance::Random, seed));

        let bound = f64::from(SERVERS).ln().ln() / 2_f64.ln() + 1.5;
        assert!(f64::from(two) <= bound, "seed {seed}: {two} of at most {bound}");
        assert!(one > two, "seed {seed}: {one} by chance, {two} by two choices");
    }
}
