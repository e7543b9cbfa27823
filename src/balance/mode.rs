//! What an answer is, where the setting leaves that open.

use crate::balance::units::Units;
use crate::balance::weights::equal;
use crate::model::{AnswerMode, Balance};

/// What an answer is.
///
/// | answer | algorithm | ttl | small and alike | mode |
/// |---|---|---|---|---|
/// | auto | consistent_hash | | | single |
/// | auto | other | 0 | | ordered |
/// | auto | other | over 0 | yes | all |
/// | auto | other | over 0 | no | subset |
/// | any other | | | | as set |
pub(super) fn mode(
    answer: AnswerMode,
    balance: Balance,
    cached: bool,
    small_and_alike: bool,
) -> AnswerMode {
    match answer {
        AnswerMode::Auto if balance == Balance::ConsistentHash => AnswerMode::Single,
        AnswerMode::Auto if !cached => AnswerMode::Ordered,
        AnswerMode::Auto if small_and_alike => AnswerMode::All,
        AnswerMode::Auto => AnswerMode::Subset,
        AnswerMode::All
        | AnswerMode::Subset
        | AnswerMode::StickySubset
        | AnswerMode::Ordered
        | AnswerMode::Single => answer,
    }
}

/// Whether weights make no difference.
pub(super) fn alike(balance: Balance, units: &Units) -> bool {
    balance == Balance::RoundRobin || equal(units.weights())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::pool::{Pool, PoolSpec};
    use crate::balance::testing::{rng, spec};

    fn resolved(spec: PoolSpec<'_>) -> (AnswerMode, usize) {
        let pool = Pool::new(spec, &mut rng(1));
        (pool.mode(), pool.k())
    }

    #[test]
    fn auto_is_resolved_by_algorithm_ttl_and_weights() {
        use AnswerMode::{All, Auto, Ordered, Single, Subset};
        use Balance::{ConsistentHash, LeastConnections, Random, RoundRobin, WeightedRoundRobin};
        for (balance, weights, direct, cached) in [
            (ConsistentHash, &[1; 3][..], (Single, 1), (Single, 1)),
            (RoundRobin, &[1, 2, 3], (Ordered, 3), (All, 3)),
            (RoundRobin, &[1; 9], (Ordered, 8), (Subset, 8)),
            (Random, &[10, 11, 10], (Ordered, 3), (All, 3)),
            (Random, &[1, 2, 3], (Ordered, 3), (Subset, 2)),
            (WeightedRoundRobin, &[1, 2, 3], (Ordered, 3), (Subset, 2)),
            (WeightedRoundRobin, &[1; 20], (Ordered, 8), (Subset, 8)),
            (LeastConnections, &[4, 4, 0], (Ordered, 3), (Subset, 2)),
            (LeastConnections, &[99, 1], (Ordered, 2), (Subset, 1)),
        ] {
            let uncached = PoolSpec { cached: false, ..spec(balance, Auto, weights) };

            assert_eq!(resolved(uncached), direct, "{balance:?} {weights:?}");
            assert_eq!(resolved(spec(balance, Auto, weights)), cached, "{balance:?} {weights:?}");
        }
    }

    #[test]
    fn records_of_several_addresses_lower_k() {
        let mut subset = spec(Balance::RoundRobin, AnswerMode::Subset, &[1; 10]);
        subset.records = vec![1, 3, 1, 1, 1, 2, 1, 1, 1, 1];
        assert_eq!(resolved(subset.clone()), (AnswerMode::Subset, 5));

        // All is all, and never less than one.
        subset.answer = AnswerMode::All;
        assert_eq!(resolved(subset.clone()), (AnswerMode::All, 10));
        (subset.answer, subset.max_answers) = (AnswerMode::Ordered, 2);
        assert_eq!(resolved(subset), (AnswerMode::Ordered, 1));
    }
}
