//! The algorithm of a pool: which units it is for one, a sample, or the first of an order.

use rand::Rng;

use crate::balance::gauges::Gauges;
use crate::balance::least_connections::LeastConnections;
use crate::balance::owners::{Owners, lasting};
use crate::balance::pool::{Ask, Member};
use crate::balance::random::Random;
use crate::balance::rate::Estimate;
use crate::balance::round_robin::RoundRobin;
use crate::balance::units::Units;
use crate::balance::weighted_round_robin::WeightedRoundRobin;
use crate::model::Balance;

/// One of the algorithms, ready to choose.
#[derive(Debug)]
pub(super) enum Selector {
    RoundRobin(RoundRobin),
    Random(Random),
    WeightedRoundRobin(WeightedRoundRobin),
    LeastConnections(Box<(LeastConnections, Gauges)>),
    ConsistentHash(Box<Owners>),
}

/// Which counter an order takes its turn from. Clients ask for addresses and for SRV in step: with
/// one counter for both, addresses would see every other turn only.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Address answers.
    Answers,
    /// Orders of every unit.
    Orders,
}

/// What a selector is made of.
pub(super) struct Needs<'m> {
    /// The instances.
    pub(super) members: &'m [Member<'m>],
    /// Their weights.
    pub(super) units: &'m Units,
    pub(super) balance: Balance,
    /// Whether answers may be cached.
    pub(super) cached: bool,
    /// Whether answers hold one, or a sample.
    pub(super) one: bool,
    pub(super) sampled: bool,
    /// How many answers hold.
    pub(super) k: usize,
}

impl Selector {
    pub(super) fn new(needs: Needs<'_>, rng: &mut impl Rng) -> Self {
        let Needs { members, units, balance, cached, one, sampled, k } = needs;
        match balance {
            Balance::RoundRobin => Self::RoundRobin(RoundRobin::new(units, rng)),
            Balance::Random => Self::Random(Random::new(units, sampled, rng)),
            Balance::WeightedRoundRobin => {
                Self::WeightedRoundRobin(WeightedRoundRobin::new(units, sampled, rng))
            }
            Balance::LeastConnections => {
                let sampled = sampled || (cached && one);
                let gauges = Gauges::new(members, units.len(), |member| lasting(member, balance));
                let selector = LeastConnections::new(units, &gauges, cached, sampled, k, rng);
                Self::LeastConnections(Box::new((selector, gauges)))
            }
            Balance::ConsistentHash => {
                Self::ConsistentHash(Box::new(Owners::new(members, units.len(), balance)))
            }
        }
    }

    /// One unit. `behind` is what is known of those behind the client.
    #[inline]
    pub(super) fn one(&self, ask: &Ask, behind: Estimate, rng: &mut impl Rng) -> Option<u32> {
        match self {
            Self::RoundRobin(turns) => turns.one(ask),
            Self::Random(random) => random.one(rng),
            Self::WeightedRoundRobin(turns) => turns.one(ask),
            Self::LeastConnections(least) => least.0.one(&least.1, ask, behind, rng),
            Self::ConsistentHash(owners) => owners.owner(ask.client, ask),
        }
    }

    /// Appends a sample of `k`.
    #[inline]
    pub(super) fn sample(
        &self,
        k: usize,
        ask: &Ask,
        behind: Estimate,
        rng: &mut impl Rng,
        out: &mut Vec<u32>,
    ) {
        match self {
            Self::RoundRobin(turns) => turns.sample(k, ask, rng, out),
            Self::Random(random) => random.sample(k, rng, out),
            Self::WeightedRoundRobin(turns) => turns.sample(k, ask, rng, out),
            Self::LeastConnections(least) => least.0.sample(k, &least.1, ask, behind, rng, out),
            Self::ConsistentHash(owners) => owners.rank(ask.client, k, ask, out),
        }
    }

    /// Appends the first `k` of an order.
    #[inline]
    pub(super) fn front(
        &self,
        k: usize,
        lane: Lane,
        ask: &Ask,
        rng: &mut impl Rng,
        out: &mut Vec<u32>,
    ) {
        match self {
            Self::RoundRobin(turns) => turns.front(k, lane, ask, rng, out),
            Self::Random(random) => random.front(k, rng, out),
            Self::WeightedRoundRobin(turns) => turns.front(k, lane, ask, rng, out),
            Self::LeastConnections(least) => least.0.front(k, &least.1, ask, rng, out),
            Self::ConsistentHash(owners) => owners.rank(ask.client, k, ask, out),
        }
    }

    /// Who owns a key, where the algorithm itself goes by that.
    pub(super) fn owners(&self) -> Option<&Owners> {
        match self {
            Self::ConsistentHash(owners) => Some(owners),
            Self::RoundRobin(_)
            | Self::Random(_)
            | Self::WeightedRoundRobin(_)
            | Self::LeastConnections(_) => None,
        }
    }

    /// Whether it counts what it hands out.
    #[inline]
    pub(super) fn counts_load(&self) -> bool {
        matches!(self, Self::LeastConnections(_))
    }
}
