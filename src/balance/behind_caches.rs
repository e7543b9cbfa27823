//! `least_connections` behind caches of very different size, as a closed loop: what is handed out
//! becomes connections, and reports of these, some seconds old, become weights.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use crate::balance::cast;
use crate::balance::exponential::exponential;
use crate::balance::hash::key_hash;
use crate::balance::pool::{Ask, Pool, PoolSpec};
use crate::balance::testing::{ask, rng, spec};
use crate::balance::traffic::{Asked, Stream, Traffic};
use crate::balance::weights::idle_capacity;
use crate::model::{AnswerMode, Balance, Load, Millis};

/// Milliseconds that a request takes.
const LATENCY: f64 = 200.0;
/// How old reports get, and how long answers are kept.
const SECONDS: u64 = 5;
const SERVERS: usize = 20;

/// A resolver: its requests per second, whom it sends them to, and when it asks next.
struct Resolver {
    rate: f64,
    answer: Vec<u32>,
    asks: u64,
}

/// The worst server's connections over the mean, on average over ten minutes, with resolvers of
/// Zipf's sizes.
fn imbalance(counted: bool, resolvers: usize, seed: u64) -> f64 {
    let (mut rng, mut out) = (rng(seed), Vec::new());
    let mut spec = PoolSpec {
        max_answers: 4,
        ..spec(Balance::LeastConnections, AnswerMode::Subset, &[1; SERVERS])
    };
    let meters: Vec<_> = spec.members.iter().map(|member| &**member.meter.meter()).collect();
    let traffic = Arc::new(Traffic::new(Duration::from_secs(SECONDS), 1));
    let mut build = |weights: &[u32]| {
        for (member, weight) in spec.members.iter_mut().zip(weights) {
            member.weight = *weight;
        }
        let pool = Pool::new(spec.clone(), &mut self::rng(seed + 1));
        if counted { pool.counting(Stream::new(&traffic, Asked::V4), 1) } else { pool }
    };
    let all: f64 = (1..=resolvers).map(|i| 1.0 / i as f64).sum();
    // Half of what 20 servers of 100 connections can hold.
    let total = 0.5 * 100.0 * SERVERS as f64 * 1_000.0 / LATENCY;
    let resolver = |i| Resolver {
        rate: total / all / i as f64,
        answer: Vec::new(),
        asks: rng.random_range(0..SECONDS * 1_000),
    };
    let mut resolvers: Vec<Resolver> = (1..=resolvers).map(resolver).collect();
    let (mut pool, mut sum, mut looks) = (build(&[1; SERVERS]), 0.0, 0.0);
    let mut weights = Vec::new();
    for now in (0..660_000).step_by(50) {
        for (i, resolver) in resolvers.iter_mut().enumerate().filter(|(_, r)| r.asks <= now) {
            let client = key_hash(&i.to_be_bytes());
            pool.pick(&Ask { client, now: Millis(resolver.asks), ..ask() }, &mut rng, &mut out);
            resolver.answer.clone_from(&out);
            let idle = exponential(rng.random()) / resolver.rate * 1_000.0;
            resolver.asks += SECONDS * 1_000 + cast::whole(idle);
        }
        let mut connections = [0.0; SERVERS];
        for resolver in &resolvers {
            let each = resolver.rate * LATENCY / 1_000.0 / resolver.answer.len().max(1) as f64;
            resolver.answer.iter().for_each(|unit| connections[*unit as usize] += each);
        }
        for (i, meter) in meters.iter().enumerate() {
            // One after the other, not all at once.
            if (now / 50 + i as u64 * 5).is_multiple_of(SECONDS * 20) {
                let latency_ms = Some(LATENCY);
                let connections = Some(connections[i]);
                meter.report(Load { connections, latency_ms, ..Load::default() }, Millis(now));
            }
        }
        if now % 200 == 0 {
            idle_capacity(&[1; SERVERS], &meters, Millis(now), &mut weights);
            pool = build(&weights);
        }
        if now >= 60_000 {
            let mean = connections.iter().sum::<f64>() / SERVERS as f64;
            sum += connections.iter().fold(0.0, |a: f64, b| a.max(*b)) / mean;
            looks += 1.0;
        }
    }
    sum / looks
}

#[test]
fn counting_those_behind_a_cache_evens_the_load() {
    for resolvers in [20, 100, 400] {
        let (mut plain, mut counted) = (0.0, 0.0);
        for seed in 0..4 {
            plain += imbalance(false, resolvers, seed) / 4.0;
            counted += imbalance(true, resolvers, seed) / 4.0;
        }
        println!("{resolvers} resolvers: worst over mean {plain:.3} plain, {counted:.3} counted");

        assert!(counted < plain, "{resolvers}: {counted}, {plain}");
    }
}
