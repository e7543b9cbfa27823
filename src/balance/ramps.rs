//! Who of a service is new, and so starts slowly.
//!
//! The registry and the simulator say who is new; one of these is kept for each service with a slow
//! start.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::balance::slow_start::{WHOLE, factor, next_step};
use crate::model::{InstanceId, Millis, Tier};

/// The new instances of one service, and since when they are.
#[derive(Debug, Default)]
pub struct Ramps(BTreeMap<InstanceId, Millis>);

/// An instance that may be answered.
#[derive(Debug, Clone, Copy)]
pub struct Usable<'i> {
    /// Its id.
    pub id: &'i InstanceId,
    /// Its tier.
    pub tier: Tier,
    /// What it weighs when it is new no longer.
    pub weight: u64,
}

impl Ramps {
    /// An instance is new from `now` on.
    pub fn note(&mut self, id: &InstanceId, now: Millis) {
        self.0.insert(id.clone(), now);
    }

    /// Forgets who has grown and who is not `usable`.
    ///
    /// Those of a tier that is new for more than half of its weight are new no longer: the others
    /// could not carry what is kept from them.
    pub fn settle<'i>(
        &mut self,
        usable: impl Iterator<Item = Usable<'i>>,
        window: Duration,
        now: Millis,
    ) {
        if self.0.is_empty() {
            return;
        }
        let mut growing = Vec::new();
        let mut tiers: BTreeMap<Tier, (u64, u64)> = BTreeMap::new();
        for Usable { id, tier, weight } in usable {
            let (new, all) = tiers.entry(tier).or_default();
            *all += weight;
            let since = self.0.get(id).copied();
            if let Some(since) = since.filter(|since| factor(*since, now, window) < WHOLE) {
                *new += weight;
                growing.push((tier, id.clone(), since));
            }
        }
        growing.retain(|(tier, ..)| tiers.get(tier).is_some_and(|(new, all)| *new * 2 <= *all));
        self.0 = growing.into_iter().map(|(_, id, since)| (id, since)).collect();
    }

    /// What an instance has of its weight, in thousandths.
    #[must_use]
    pub fn factor(&self, id: &InstanceId, window: Duration, now: Millis) -> u16 {
        self.0.get(id).map_or(WHOLE, |since| factor(*since, now, window))
    }

    /// When a weight grows next; `None` when nobody is new.
    #[must_use]
    pub fn next(&self, window: Duration, now: Millis) -> Option<Millis> {
        (!self.0.is_empty()).then(|| next_step(now, window))
    }
}
