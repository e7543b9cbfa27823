//! What the tests of this module share: pools from a line, and the statistics they are judged by.

use std::ops::Deref;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::balance::owners::Owners;
use crate::balance::pool::{Ask, Member, Pool, PoolSpec};
use crate::model::{AnswerMode, Balance, Millis};

pub(super) fn rng(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

/// Instances web-0, web-1, .. with these weights, each a unit of one record.
pub(super) fn members(weights: &[u32]) -> Vec<Member<'static>> {
    // Few and small: they need no owner.
    let member = |(unit, &weight): (u32, &u32)| Member {
        id: Box::leak(format!("web-{unit}").into_boxed_str()),
        weight,
        base: u16::try_from(weight).unwrap(),
        meter: Box::leak(Box::default()),
        unit,
    };
    (0..).zip(weights).map(member).collect()
}

/// A pool of [`members`] behind caches, with at most 8 in an answer.
pub(super) fn spec(balance: Balance, answer: AnswerMode, weights: &[u32]) -> PoolSpec<'static> {
    PoolSpec {
        members: members(weights),
        records: vec![1; weights.len()],
        balance,
        answer,
        cached: true,
        max_answers: 8,
    }
}

/// A pool with what it was made of, and the owners of keys that the registry makes beside it.
pub(super) struct Stand {
    pool: Pool,
    pub(super) members: Vec<Member<'static>>,
    pub(super) owners: Owners,
}

impl Stand {
    pub(super) fn new(spec: PoolSpec<'static>, seed: u64) -> Self {
        let members = spec.members.clone();
        let owners = Owners::new(&members, spec.records.len(), spec.balance);
        Self { pool: Pool::new(spec, &mut rng(seed)), members, owners }
    }
}

impl Deref for Stand {
    type Target = Pool;
    fn deref(&self) -> &Pool {
        &self.pool
    }
}

pub(super) fn pool(balance: Balance, answer: AnswerMode, weights: &[u32]) -> Stand {
    Stand::new(spec(balance, answer, weights), 42)
}

/// A client that takes any size.
pub(super) fn ask() -> Ask {
    Ask { client: 1, now: Millis(0), fit: 4096, peek: false }
}

/// Fails when `seen` is too far from `expected` (up to a common factor) for chance: 3.09 sigma of
/// the normal approximation (Wilson and Hilferty), p = 0.001. Seeds are fixed: what passes once
/// passes until what it tests changes.
pub(super) fn chi_square_is_plausible(seen: &[u64], expected: &[f64]) {
    let z = chi_square_sigmas(seen, expected);
    assert!(z < 3.09, "{z} sigma: {seen:?}");
}

/// Fails when `seen` of `total` is further than 4 sigma from the probability `p`.
pub(super) fn share_is_plausible(seen: u64, total: u64, p: f64) {
    let sigma = (total as f64 * p * (1.0 - p)).sqrt();
    let z = (seen as f64 - total as f64 * p).abs() / sigma.max(1e-9);
    assert!(z <= 4.0, "{z} sigma: {seen} of {total}, expected {p}");
}

/// How many standard deviations the chi-square statistic is over what chance gives.
pub(super) fn chi_square_sigmas(seen: &[u64], expected: &[f64]) -> f64 {
    assert_eq!(seen.len(), expected.len());
    let total = seen.iter().sum::<u64>() as f64 / expected.iter().sum::<f64>();
    let part = |(&seen, &expected): (&u64, &f64)| {
        (seen as f64 - expected * total).powi(2) / (expected * total)
    };
    let statistic: f64 = seen.iter().zip(expected).map(part).sum();
    let free = (seen.len() - 1) as f64;
    let spread = 2.0 / (9.0 * free);
    ((statistic / free).cbrt() - (1.0 - spread)) / spread.sqrt()
}

pub(super) const BALANCES: [Balance; 5] = [
    Balance::RoundRobin,
    Balance::Random,
    Balance::WeightedRoundRobin,
    Balance::LeastConnections,
    Balance::ConsistentHash,
];
pub(super) const ANSWERS: [AnswerMode; 6] = [
    AnswerMode::Auto,
    AnswerMode::All,
    AnswerMode::Subset,
    AnswerMode::StickySubset,
    AnswerMode::Ordered,
    AnswerMode::Single,
];
