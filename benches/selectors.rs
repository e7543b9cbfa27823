//! What a pick costs, per algorithm, answer and size of the pool. Targets: one of a pool in 50 ns
//! (two choices 80), a sample of 8 of 64 in 300, an owner of 64 in 1,000.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use signpost::balance::meter::LazyMeter;
use signpost::balance::pool::{Ask, Member, Pool, PoolSpec};
use signpost::model::{AnswerMode, Balance, Load, Millis};

const SIZES: [u32; 4] = [4, 64, 1_000, 10_000];

/// Weights 1-7, and a load report of each when `loaded`.
fn spec(balance: Balance, answer: AnswerMode, n: u32, loaded: bool) -> PoolSpec<'static> {
    let member = |unit: u32| {
        let meter: &LazyMeter = Box::leak(Box::default());
        if loaded {
            let connections = Some(f64::from(unit % 40));
            meter.meter().report(Load { connections, ..Load::default() }, Millis(0));
        }
        let base = if n < 8 { 1 } else { 1 + u16::try_from(unit % 7).expect("below 7") };
        let id = Box::leak(format!("web-{unit}").into_boxed_str());
        Member { id, weight: base.into(), base, meter, unit }
    };
    PoolSpec {
        members: (0..n).map(member).collect(),
        records: vec![1; n as usize],
        balance,
        answer,
        cached: balance != Balance::LeastConnections || answer == AnswerMode::Subset,
        max_answers: 8,
    }
}

fn picks(c: &mut Criterion) {
    use AnswerMode::{All, Ordered, Single, StickySubset, Subset};
    use Balance::{ConsistentHash, LeastConnections, Random, RoundRobin, WeightedRoundRobin};
    for (name, balance, answer, loaded) in [
        ("round_robin single", RoundRobin, Single, false),
        ("round_robin subset", RoundRobin, Subset, false),
        ("round_robin ordered", RoundRobin, Ordered, false),
        ("round_robin all", RoundRobin, All, false),
        ("random single", Random, Single, false),
        ("random subset", Random, Subset, false),
        ("random ordered", Random, Ordered, false),
        ("random all", Random, All, false),
        ("weighted_round_robin single", WeightedRoundRobin, Single, false),
        ("weighted_round_robin subset", WeightedRoundRobin, Subset, false),
        ("weighted_round_robin ordered", WeightedRoundRobin, Ordered, false),
        ("least_connections single", LeastConnections, Single, true),
        ("least_connections single silent", LeastConnections, Single, false),
        ("least_connections subset", LeastConnections, Subset, true),
        ("least_connections ordered", LeastConnections, Ordered, true),
        ("consistent_hash single", ConsistentHash, Single, false),
        ("consistent_hash single loaded", ConsistentHash, Single, true),
        ("consistent_hash all", ConsistentHash, All, false),
        ("sticky_subset", Random, StickySubset, false),
    ] {
        let mut group = c.benchmark_group(name);
        for n in SIZES {
            let mut rng = SmallRng::seed_from_u64(1);
            let pool = Pool::new(spec(balance, answer, n, loaded), &mut rng);
            let mut ask = Ask { client: 0, now: Millis(1), fit: 74, peek: false };
            let mut out = Vec::with_capacity(n as usize);
            group.bench_function(BenchmarkId::from_parameter(n), |b| {
                b.iter(|| {
                    ask.client = ask.client.wrapping_add(0x9e37_79b9);
                    pool.pick(black_box(&ask), &mut rng, &mut out);
                    out.last().copied()
                });
            });
        }
        group.finish();
    }
}

fn builds(c: &mut Criterion) {
    let mut group = c.benchmark_group("build weighted_round_robin subset");
    for n in SIZES {
        let mut rng = SmallRng::seed_from_u64(1);
        let spec = spec(Balance::WeightedRoundRobin, AnswerMode::Subset, n, false);
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter_batched(|| spec.clone(), |s| Pool::new(s, &mut rng), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500))
}

criterion_group! { name = selectors; config = quick(); targets = picks, builds }
criterion_main!(selectors);
