//! Who of a service is new, and so starts slowly.
//!
//! New is who could not be answered in the view before and can now: registered, or back from what
//! made it unusable. Nobody is new at the start of the process, nor is who was there then and has
//! had its first check since. The publisher keeps one of these for each service with a slow start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::slow_start::{WHOLE, factor, next_step};
use crate::model::{Balance, InstanceId, Millis, Tier};
use crate::registry::instance::InstanceView;
use crate::registry::view::ServiceView;

/// The new instances of one service, and since when they are.
#[derive(Debug, Default)]
pub(crate) struct Ramps(BTreeMap<InstanceId, Millis>);

impl Ramps {
    /// Takes in who is in `instances`, which are sorted by id. None of them is in panic.
    ///
    /// Those of a tier that is new for more than half of its weight are new no longer: the others
    /// could not carry what is kept from them.
    pub(crate) fn follow(
        &mut self,
        before: &ServiceView,
        instances: &Arc<[InstanceView]>,
        balance: Balance,
        window: Duration,
        now: Millis,
    ) {
        if !Arc::ptr_eq(&before.instances, instances) || before.panic.is_some() {
            self.note_new(before, instances, now);
        }
        let usable = |id: &InstanceId| {
            let found = instances.binary_search_by(|view| view.instance.id.cmp(id));
            found.is_ok_and(|at| instances[at].usable())
        };
        self.0.retain(|id, since| factor(*since, now, window) < WHOLE && usable(id));
        if self.0.is_empty() {
            return;
        }
        let mut tiers: BTreeMap<Tier, (u64, u64)> = BTreeMap::new();
        for view in instances.iter().filter(|view| view.usable()) {
            let weight = match balance {
                Balance::RoundRobin => 1,
                Balance::Random
                | Balance::WeightedRoundRobin
                | Balance::LeastConnections
                | Balance::ConsistentHash => u64::from(view.instance.weight.get()),
            };
            let (new, all) = tiers.entry(view.instance.tier).or_default();
            *new += if self.0.contains_key(&view.instance.id) { weight } else { 0 };
            *all += weight;
        }
        tiers.retain(|_, (new, all)| *new * 2 > *all);
        if !tiers.is_empty() {
            for view in instances.iter().filter(|view| tiers.contains_key(&view.instance.tier)) {
                self.0.remove(&view.instance.id);
            }
        }
    }

    /// What each instance has of its weight, in thousandths; `None` when all have all of it.
    pub(crate) fn factors(
        &self,
        instances: &[InstanceView],
        window: Duration,
        now: Millis,
    ) -> Option<Box<[u16]>> {
        if self.0.is_empty() {
            return None;
        }
        let of = |view: &InstanceView| {
            self.0.get(&view.instance.id).map_or(WHOLE, |since| factor(*since, now, window))
        };
        Some(instances.iter().map(of).collect())
    }

    /// When a weight grows next; `None` when none does.
    pub(crate) fn next(&self, window: Duration, now: Millis) -> Option<Millis> {
        (!self.0.is_empty()).then(|| next_step(now, window))
    }

    fn note_new(&mut self, before: &ServiceView, instances: &[InstanceView], now: Millis) {
        let mut old = (0..).zip(&*before.instances).peekable();
        for view in instances.iter().filter(|view| view.usable()) {
            let id = &view.instance.id;
            while old.next_if(|(_, old)| old.instance.id < *id).is_some() {}
            let same = old.next_if(|(_, old)| old.instance.id == *id);
            let old =
                |(index, old): (u32, &InstanceView)| before.answers(index) || old.is_resumed();
            if !same.is_some_and(old) {
                self.0.insert(id.clone(), now);
            }
        }
    }
}

/// What slow start makes of weights.
#[derive(Debug)]
pub(crate) struct Ramp {
    /// The weights that it is applied to.
    pub(crate) before: Box<[u32]>,
    /// In thousandths.
    pub(crate) factors: Box<[u16]>,
}

/// How the weight of an instance came about. Of the weights of a service only the ratios count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weighing {
    /// Its static weight.
    pub fixed: u16,
    /// What the algorithm makes of that: nothing, or what load has to do with it.
    pub balanced: u32,
    /// What it has of its weight while it is new, in thousandths.
    pub slow_start: u16,
    /// The weight in force.
    pub in_force: u32,
}

impl ServiceView {
    /// The weights that the algorithm goes by, before what slow start makes of them.
    pub(crate) fn balanced(&self) -> &[u32] {
        self.ramp.as_ref().map_or(&self.weights, |ramp| &ramp.before)
    }

    /// How the weight of an instance came about.
    #[must_use]
    pub fn weighing(&self, instance: u32) -> Weighing {
        let at = instance as usize;
        let (fixed, in_force) = (self.instances[at].instance.weight.get(), self.weights[at]);
        match &self.ramp {
            None => Weighing { fixed, balanced: in_force, slow_start: WHOLE, in_force },
            Some(ramp) => {
                let (balanced, slow_start) = (ramp.before[at], ramp.factors[at]);
                Weighing { fixed, balanced, slow_start, in_force }
            }
        }
    }
}
