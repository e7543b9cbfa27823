//! The instances that may be answered now, and the shaper: how many of them and in what order.

use std::sync::Arc;

use rand::Rng;
use rand::seq::SliceRandom;

use crate::balance::meter::Meter;
use crate::balance::weights::equal;
use crate::model::{AnswerMode, Balance, Millis};

/// One instance of a pool, as the selector sees it.
#[derive(Debug, Clone)]
pub struct Member {
    /// [`instance_hash`](crate::balance::hash::instance_hash) of its id.
    pub hash: u64,
    /// The weight in force; 0 takes nothing unless all are 0.
    pub weight: u32,
    /// The static weight.
    pub base: u16,
    /// What is known of its load.
    pub meter: Arc<Meter>,
    /// The unit it belongs to: an index into [`PoolSpec::records`].
    pub unit: u32,
}

/// What a pool is made of. A unit is the instances that share an address, usually one: they are
/// one record with their weights summed.
#[derive(Debug, Clone)]
pub struct PoolSpec {
    /// The instances; every unit has at least one.
    pub members: Vec<Member>,
    /// How many records of the type each unit brings, 1-8.
    pub records: Vec<u8>,
    /// The algorithm.
    pub balance: Balance,
    /// How many are answered.
    pub answer: AnswerMode,
    /// Whether answers may be cached: the record ttl is over 0.
    pub cached: bool,
    /// The most records of a `subset`, `sticky_subset` or `ordered` answer.
    pub max_answers: u16,
}

/// What a selector is asked with.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// [`client_hash`](crate::balance::hash::client_hash) of the client's prefix.
    pub client: u64,
    /// The time.
    pub now: Millis,
    /// How many records fit the message.
    pub fit: usize,
    /// Only explain: move no counter, hand nothing out.
    pub peek: bool,
}

/// The instances that may be answered now, ready to be picked from.
#[derive(Debug)]
pub struct Pool {
    members: Box<[Member]>,
    units: usize,
    mode: AnswerMode,
    k: usize,
}

impl Pool {
    /// Computes all that can be computed before a query comes.
    pub fn new(spec: PoolSpec, _rng: &mut impl Rng) -> Self {
        let units = spec.records.len();
        let weights: Vec<u32> = spec.members.iter().map(|m| m.weight).collect();
        let max = usize::from(spec.max_answers.max(1));
        let same = spec.balance == Balance::RoundRobin || equal(&weights);
        let mode = match spec.answer {
            AnswerMode::Auto if spec.balance == Balance::ConsistentHash => AnswerMode::Single,
            AnswerMode::Auto if !spec.cached => AnswerMode::Ordered,
            AnswerMode::Auto if units <= max && same => AnswerMode::All,
            AnswerMode::Auto => AnswerMode::Subset,
            chosen => chosen,
        };
        let k = match mode {
            AnswerMode::All => units,
            AnswerMode::Single => 1,
            _ => max.min(units),
        };
        Self { members: spec.members.into(), units, mode, k }
    }

    /// How many units are answered and why: never `Auto`.
    #[must_use]
    pub fn mode(&self) -> AnswerMode {
        self.mode
    }

    /// How many units an answer holds.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// How many units there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.units
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units == 0
    }

    /// The instances, in the order given.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The units of an address answer, in its order: at most k, and so few that their records
    /// fit, but at least one. In mode `All` every unit: truncation is the caller's matter.
    /// `out` is cleared first.
    pub fn pick(&self, ask: &Ask, rng: &mut impl Rng, out: &mut Vec<u32>) {
        self.order(ask, rng, out);
        let fit = if self.mode == AnswerMode::All { self.units } else { ask.fit.max(1) };
        out.truncate(self.k.min(fit));
    }

    /// Every unit, in the algorithm's order: SRV. `out` is cleared first.
    pub fn order(&self, _ask: &Ask, rng: &mut impl Rng, out: &mut Vec<u32>) {
        out.clear();
        out.extend(self.members.iter().map(|m| m.unit));
        out.sort_unstable();
        out.dedup();
        out.shuffle(rng);
    }

    /// Every unit by its rank for a key, best first: weighted rendezvous hashing. `out` is
    /// cleared first.
    pub fn ranked(&self, key: u64, out: &mut Vec<u32>) {
        out.clear();
        out.extend(0..u32::try_from(self.units).unwrap_or(0));
        out.sort_by_key(|u| (key ^ u64::from(*u)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    /// The unit that owns a key: the best ranked one whose load is within 1.25 of its share, when
    /// load is reported. `None` when the pool is empty.
    #[must_use]
    pub fn owner(&self, key: u64, _ask: &Ask) -> Option<u32> {
        let mut out = Vec::new();
        self.ranked(key, &mut out);
        out.first().copied()
    }
}
