//! The instances of a service as clients at one locality see them.
//!
//! A selection knows which localities its instances have, and keeps for each that somebody asked
//! from another selection, whose pools go by how near everybody is. Which networks are where is no
//! matter of the registry: it is told a client's locality. Nothing here grows but with localities
//! that both instances have and the configuration names, and all ends with the view.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use crate::balance::nearness::{FINE, LEVELS, Level, Nearness, parts, weigh};
use crate::model::{
    Admin, AnswerMode, Balance, Instance, Label, Locality, LocalityPolicy, Settings, Tier,
};
use crate::registry::pools::Stock;
use crate::registry::selection::Selection;
use crate::registry::view::{InstanceView, index};

/// Whose selection it is.
#[derive(Debug)]
pub(super) enum Outlook {
    /// Everybody's: localities make no difference.
    Same,
    /// That of clients of no known locality; others may have one of their own.
    Elsewhere(Box<Places>),
    /// That of the clients at a locality.
    From(Box<Vantage>),
}

/// The localities of a selection's instances.
#[derive(Debug)]
pub(super) struct Places {
    /// All that match the selector and should be there, usable or not.
    enabled: Box<[u32]>,
    /// Sorted. A client is at its zone where any instance is in that, else at its region.
    seen: Box<[(Locality, OnceLock<Box<Selection>>)]>,
}

/// What clients at a locality look at.
#[derive(Debug)]
pub(super) struct Vantage {
    client: Locality,
    enabled: Box<[u32]>,
}

impl Outlook {
    /// Of the instances that match.
    pub(super) fn new(stock: Stock<'_>, matches: impl Fn(&InstanceView) -> bool) -> Self {
        if stock.settings.locality == LocalityPolicy::Off {
            return Self::Same;
        }
        let all = || stock.instances.iter().enumerate();
        let enabled = || all().filter(|(_, v)| v.instance.admin == Admin::Enabled && matches(v));
        // Where nobody may be answered now, too: what is missing there spills over from there.
        let mut places: BTreeSet<Locality> = BTreeSet::new();
        for locality in enabled().filter_map(|(_, view)| view.instance.locality.get()) {
            if !places.contains(locality) {
                places.insert(locality.clone());
                places.insert(Locality { zone: None, ..locality.clone() });
            }
        }
        places.remove(&Locality::default());
        if places.is_empty() {
            return Self::Same;
        }
        Self::Elsewhere(Box::new(Places {
            enabled: enabled().map(|(i, _)| index(i)).collect(),
            seen: places.into_iter().map(|place| (place, OnceLock::new())).collect(),
        }))
    }
}

impl Places {
    /// Where `client` is among these, and its selection if somebody there has asked; `None` when no
    /// instance is near.
    pub(super) fn of(&self, client: &Locality) -> Option<&(Locality, OnceLock<Box<Selection>>)> {
        let (region, zone) = (client.region.as_ref(), client.zone.as_ref());
        let find = |region: Option<&Label>, zone: Option<&Label>| {
            let asked = (region, zone);
            let key = |place: &Locality| (place.region.as_ref(), place.zone.as_ref()).cmp(&asked);
            Some(&self.seen[self.seen.binary_search_by(|(place, _)| key(place)).ok()?])
        };
        let in_zone = zone.and_then(|_| find(region, zone).or_else(|| find(None, zone)));
        in_zone.or_else(|| find(region, None))
    }

    /// What clients at `client` look at.
    pub(super) fn vantage(&self, client: Locality) -> Vantage {
        Vantage { client, enabled: self.enabled.clone() }
    }
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
    /// In place of the service's.
    settings: Option<Settings>,
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
}

/// The instances of one tier.
#[derive(Debug, Default)]
struct Layer {
    usable: Vec<Seen>,
    /// What those that should be there count, by nearness.
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
            level.usable += u64::from(seen.size);
            level.open |= seen.weight > 0;
        }
        (usable, parts(levels))
    }
}

impl Vantage {
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
            settings: None,
        };
        let mut tiers: BTreeMap<Tier, Layer> = BTreeMap::new();
        let having = |i: &&u32| has(stock.instance(**i));
        for i in listed.iter().filter(having) {
            tiers.entry(stock.instance(*i).tier).or_default().usable.push(self.see(stock, *i));
        }
        for i in self.enabled.iter().filter(having) {
            if let Some(tier) = tiers.get_mut(&stock.instance(*i).tier) {
                let seen = self.see(stock, *i);
                tier.enabled[seen.nearness as usize] += u64::from(seen.size);
            }
        }
        let tiers: Vec<_> = tiers.into_values().map(Layer::parted).collect();
        let shared = |parts: &[u32; LEVELS]| parts.iter().filter(|part| **part > 0).count() > 1;
        let fine = tiers.iter().any(|(_, parts)| shared(parts));
        for (members, parts) in &tiers {
            weighed.weigh(members, *parts, fine);
        }
        if fine {
            weighed.share(stock, &tiers, answer);
        }
        weighed
    }

    fn see(&self, stock: Stock<'_>, i: u32) -> Seen {
        let instance = stock.instance(i);
        Seen {
            instance: i,
            nearness: Nearness::of(&self.client, instance.locality.get()),
            weight: stock.weights[i as usize],
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
    fn weigh(&mut self, members: &[Seen], parts: [u32; LEVELS], fine: bool) {
        let weights = members.iter().map(|seen| (seen.nearness, seen.weight));
        for (seen, weight) in members.iter().zip(weigh(weights, parts, fine)) {
            self.weights[seen.instance as usize] = weight;
            self.far[seen.instance as usize] = parts[seen.nearness as usize] == 0;
        }
    }

    /// What else differs where more than one nearness has a part.
    fn share(
        &mut self,
        stock: Stock<'_>,
        tiers: &[(Vec<Seen>, [u32; LEVELS])],
        answer: AnswerMode,
    ) {
        if stock.settings.balance == Balance::RoundRobin {
            // Turns know no weights.
            let balance = Balance::WeightedRoundRobin;
            self.settings = Some(Settings { balance, ..stock.settings.clone() });
        }
        // What an instance can hold goes by its static weight.
        let by_load = stock.settings.balance == Balance::LeastConnections;
        if by_load && answer != AnswerMode::StickySubset {
            return;
        }
        let mut statics = vec![1; stock.instances.len()];
        for (members, parts) in tiers {
            let sizes = members.iter().map(|seen| (seen.nearness, seen.size.into()));
            for (seen, size) in members.iter().zip(weigh(sizes, *parts, true)) {
                let size = u16::try_from(size >> (FINE.ilog2() - 16)).unwrap_or(u16::MAX);
                statics[seen.instance as usize] = size.max(1);
            }
        }
        self.statics = Some(statics);
    }

    /// `stock` with these weights.
    pub(super) fn stock<'w>(&'w self, stock: Stock<'w>) -> Stock<'w> {
        Stock {
            weights: &self.weights,
            settings: self.settings.as_ref().unwrap_or(stock.settings),
            weighed: Some(self),
            ..stock
        }
    }

    /// The weight of an instance.
    pub(super) fn weight(&self, instance: u32) -> u32 {
        self.weights[instance as usize]
    }

    /// What stands for the static weight of an instance; `None`: its own.
    pub(super) fn static_weight(&self, instance: u32) -> Option<u16> {
        self.statics.as_ref().map(|statics| statics[instance as usize])
    }

    /// Whether an instance is left out, since nearer ones are enough.
    pub(super) fn far(&self, instance: u32) -> bool {
        self.far[instance as usize]
    }
}
