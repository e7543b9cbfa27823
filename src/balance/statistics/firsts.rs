//! Who is first right after a rebuild, and who is in the place of a first that has died.

use crate::balance::pool::Pool;
use crate::balance::testing::{ask, pool, rng, share_is_plausible, spec};
use crate::model::{AnswerMode, Balance};

/// With frequent changes the first answer of a pool is nearly all that there is of it: it must have
/// the light ones too.
#[test]
fn the_first_answer_after_a_rebuild_goes_by_weight() {
    const REBUILDS: u64 = 10_000;
    for (balance, weights) in [
        (Balance::WeightedRoundRobin, [50, 1, 1, 0]),
        (Balance::WeightedRoundRobin, [10, 10, 5, 1]),
        (Balance::LeastConnections, [10, 10, 5, 1]),
        (Balance::Random, [10, 10, 5, 1]),
        (Balance::RoundRobin, [1, 1, 1, 1]),
    ] {
        for mode in [AnswerMode::Single, AnswerMode::Subset, AnswerMode::Ordered] {
            let mut spec = spec(balance, mode, &weights);
            // Half of them at most, also where there are no weights.
            spec.max_answers = 2;
            let (mut rng, mut out, mut seen) = (rng(5), Vec::new(), [0_u64; 4]);
            for _ in 0..REBUILDS {
                Pool::new(spec.clone(), &mut rng).pick(&ask(), &mut rng, &mut out);
                seen[out[0] as usize] += 1;
            }

            let total = f64::from(weights.iter().sum::<u32>());
            for (seen, weight) in seen.into_iter().zip(weights) {
                share_is_plausible(seen, REBUILDS, f64::from(weight) / total);
            }
        }
    }
}

/// Who comes second where the first is unit 0, which has died.
fn heirs(pool: &Pool, m: u32) -> Vec<u64> {
    let (mut rng, mut out, mut seen) = (rng(30), Vec::new(), vec![0; pool.len()]);
    for _ in 0..m {
        pool.pick(&ask(), &mut rng, &mut out);
        if out[0] == 0 {
            seen[out[1] as usize] += 1;
        }
    }
    seen
}

/// The share of the heir that has most.
fn largest(heirs: &[u64]) -> f64 {
    let most = heirs.iter().copied().max().unwrap();
    most as f64 / heirs.iter().sum::<u64>() as f64
}

#[test]
fn the_clients_of_a_dead_first_go_to_all_others_alike() {
    for balance in [
        Balance::RoundRobin,
        Balance::Random,
        Balance::WeightedRoundRobin,
        Balance::LeastConnections,
    ] {
        for mode in [AnswerMode::All, AnswerMode::Ordered] {
            let heirs = heirs(&pool(balance, mode, &[1; 6]), 200_000);

            // A plain rotation sends all of them to one: 5.
            let excess = largest(&heirs) * 5.0;
            assert!(excess <= 1.05, "{balance:?} {mode:?}: {heirs:?}");
        }
    }
}

#[test]
fn in_samples_they_go_to_all_others_of_the_sets_alike() {
    for balance in [Balance::RoundRobin, Balance::Random, Balance::WeightedRoundRobin] {
        let mut spec = spec(balance, AnswerMode::Subset, &[1; 16]);
        spec.max_answers = 4;
        let heirs = heirs(&Pool::new(spec, &mut rng(31)), 400_000);

        // Neighbours may always be together; then each has a third, and nobody more.
        let excess = largest(&heirs) * 3.0;
        assert!(excess <= 1.05, "{balance:?}: {heirs:?}");
    }
}
