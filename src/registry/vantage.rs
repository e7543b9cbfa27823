//! What clients at a locality see: weights that share them between near and far instances.
//!
//! Computed when a pool is built, from the weights that are in force for everybody, and of those
//! instances alone that have what is asked for: an address of the family, or the port.

use std::collections::BTreeMap;

use crate::balance::meter::LazyMeter;
use crate::balance::nearness::{FINE, LEVELS, Level, Nearness, parts, weigh};
use crate::balance::slow_start::WHOLE;
use crate::model::{AnswerMode, Balance, Instance, Locality, Tier};
use crate::registry::pools::Stock;

/// What clients at a locality look at.
#[derive(Debug)]
pub(super) struct Vantage {
    client: Locality,
    enabled: Box<[u32]>,
}

/// The weights in force for clients at a locality.
#[derive(Debug)]
pub(crate) struct Weighed {
    /// By instance; of others than those that were weighed what they are for everybody.
    weights: Vec<u32>,
    /// In place of the static weights, where these count.
    statics: Option<Vec<u16>>,
    /// By instance: left out, since nearer ones are enough.
    far: Vec<bool>,
    /// Whether more than one nearness has a part.
    shared: bool,
    /// The load of those left out: none, since others bring it, and it is no measure of the near.
    silent: LazyMeter,
}

/// An instance as clients see it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    instance: u32,
    nearness: Nearness,
    /// The weight in force.
    weight: u32,
    /// What it counts in its level: its static weight, where the algorithm goes by weights.
    size: u16,
    /// What of that it is able to take already, in thousandths.
    ready: u16,
}

/// The instances of one tier.
#[derive(Debug, Default)]
struct Layer {
    usable: Vec<Seen>,
    /// What those that should be there count, by nearness, in thousandths.
    enabled: [u64; LEVELS],
}

impl Layer {
    /// The usable instances, and the part of each nearness.
    fn parted(self) -> (Vec<Seen>, [u32; LEVELS]) {
        let Self { mut usable, enabled } = self;
        if usable.iter().all(|seen| seen.weight == 0) {
            // Where all are full, it is as if none were.
            usable.iter_mut().for_each(|seen| seen.weight = seen.size.into());
        }
        let mut levels = enabled.map(|enabled| Level { enabled, ..Level::default() });
        for seen in &usable {
            let level = &mut levels[seen.nearness as usize];
            level.usable += u64::from(seen.size) * u64::from(seen.ready);
            level.open |= seen.weight > 0;
        }
        (usable, parts(levels))
    }
}

impl Vantage {
    /// Of clients at `client`; `enabled` are the instances that should be there.
    pub(super) fn new(client: Locality, enabled: Box<[u32]>) -> Self {
        Self { client, enabled }
    }

    /// Weighs those `listed` that have what is asked for, tier by tier, for an answer of this mode.
    pub(super) fn weigh(
        &self,
        stock: Stock<'_>,
        listed: &[u32],
        answer: AnswerMode,
        has: impl Fn(&Instance) -> bool,
    ) -> Weighed {
        let mut weighed = Weighed {
            weights: stock.weights.to_vec(),
            far: vec![false; stock.instances.len()],
            statics: None,
            shared: false,
            silent: LazyMeter::default(),
        };
        let mut tiers: BTreeMap<Tier, Layer> = BTreeMap::new();
        let having = |i: &&u32| has(stock.instance(**i));
        for i in listed.iter().filter(having) {
            tiers.entry(stock.instance(*i).tier).or_default().usable.push(self.see(stock, *i));
        }
        for i in self.enabled.iter().filter(having) {
            if let Some(tier) = tiers.get_mut(&stock.instance(*i).tier) {
                let seen = self.see(stock, *i);
                tier.enabled[seen.nearness as usize] += u64::from(seen.size) * u64::from(WHOLE);
            }
        }
        let tiers: Vec<_> = tiers.into_values().map(Layer::parted).collect();
        let several = |parts: &[u32; LEVELS]| parts.iter().filter(|part| **part > 0).count() > 1;
        weighed.shared = tiers.iter().any(|(_, parts)| several(parts));
        for (members, parts) in &tiers {
            weighed.set(members, *parts);
        }
        // What an instance can hold goes by its static weight.
        let by_load = stock.settings.balance == Balance::LeastConnections;
        if weighed.shared && (!by_load || answer == AnswerMode::StickySubset) {
            weighed.statics = Some(statics(stock, &tiers));
        }
        weighed
    }

    fn see(&self, stock: Stock<'_>, i: u32) -> Seen {
        let instance = stock.instance(i);
        Seen {
            instance: i,
            nearness: Nearness::of(&self.client, instance.locality.get()),
            weight: stock.weights[i as usize],
            ready: stock.ramp.map_or(WHOLE, |ramp| ramp[i as usize]),
            size: match stock.settings.balance {
                Balance::RoundRobin => 1,
                Balance::Random
                | Balance::WeightedRoundRobin
                | Balance::LeastConnections
                | Balance::ConsistentHash => instance.weight.get(),
            },
        }
    }
}

impl Weighed {
    /// Sets the weights of one tier. All tiers are as fine as the finest, since SRV compares them.
    fn set(&mut self, members: &[Seen], parts: [u32; LEVELS]) {
        let weights = members.iter().map(|seen| (seen.nearness, seen.weight));
        for (seen, weight) in members.iter().zip(weigh(weights, parts, self.shared)) {
            self.weights[seen.instance as usize] = weight;
            self.far[seen.instance as usize] = parts[seen.nearness as usize] == 0;
        }
    }

    /// `stock` with these weights.
    pub(super) fn stock<'w>(&'w self, stock: Stock<'w>) -> Stock<'w> {
        Stock { weights: &self.weights, weighed: Some(self), ..stock }
    }

    /// Whether more than one nearness has a part.
    pub(super) fn shared(&self) -> bool {
        self.shared
    }

    /// The weight of an instance.
    pub(super) fn weight(&self, instance: u32) -> u32 {
        self.weights[instance as usize]
    }

    /// What stands for the static weight of an instance; `None`: its own.
    pub(super) fn static_weight(&self, instance: u32) -> Option<u16> {
        self.statics.as_ref().map(|statics| statics[instance as usize])
    }

    /// What stands for the meter of an instance; `None`: its own.
    pub(super) fn meter(&self, instance: u32) -> Option<&LazyMeter> {
        self.far(instance).then_some(&self.silent)
    }

    /// Whether an instance is left out, since nearer ones are enough.
    pub(super) fn far(&self, instance: u32) -> bool {
        self.far[instance as usize]
    }
}

/// Static weights, by instance, that have the parts of the traffic as weights in force do.
fn statics(stock: Stock<'_>, tiers: &[(Vec<Seen>, [u32; LEVELS])]) -> Vec<u16> {
    let mut statics = vec![1; stock.instances.len()];
    for (members, parts) in tiers {
        let sizes = members.iter().map(|seen| (seen.nearness, seen.size.into()));
        for (seen, size) in members.iter().zip(weigh(sizes, *parts, true)) {
            let size = u16::try_from(size >> (FINE.ilog2() - 16)).unwrap_or(u16::MAX);
            statics[seen.instance as usize] = size.max(1);
        }
    }
    statics
}
