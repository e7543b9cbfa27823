//! What slow start makes of the weights of a service, and who of its instances is new.
//!
//! New is who could not be answered in the view before and can now: registered, or back from what
//! made it unusable. Nobody is new at the start of the process, nor is who was there then and has
//! had its first check since.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::ramps::{Ramps, Usable};
use crate::balance::slow_start::WHOLE;
use crate::model::{Balance, Millis};
use crate::registry::instance::InstanceView;
use crate::registry::view::ServiceView;

/// Takes into `ramps` who is in `instances`, which are sorted by id. None of them is in panic.
pub(crate) fn follow(
    ramps: &mut Ramps,
    before: &ServiceView,
    instances: &Arc<[InstanceView]>,
    balance: Balance,
    window: Duration,
    now: Millis,
) {
    if !Arc::ptr_eq(&before.instances, instances) || before.panic.is_some() {
        note_new(ramps, before, instances, now);
    }
    let weight = |view: &InstanceView| match balance {
        Balance::RoundRobin => 1,
        Balance::Random
        | Balance::WeightedRoundRobin
        | Balance::LeastConnections
        | Balance::ConsistentHash => u64::from(view.instance.weight.get()),
    };
    let usable = instances.iter().filter(|view| view.usable()).map(|view| Usable {
        id: &view.instance.id,
        tier: view.instance.tier,
        weight: weight(view),
    });
    ramps.settle(usable, window, now);
}

fn note_new(ramps: &mut Ramps, before: &ServiceView, instances: &[InstanceView], now: Millis) {
    let mut old = (0..).zip(&*before.instances).peekable();
    for view in instances.iter().filter(|view| view.usable()) {
        let id = &view.instance.id;
        while old.next_if(|(_, old)| old.instance.id < *id).is_some() {}
        let same = old.next_if(|(_, old)| old.instance.id == *id);
        let old = |(index, old): (u32, &InstanceView)| before.answers(index) || old.is_resumed();
        if !same.is_some_and(old) {
            ramps.note(id, now);
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
