//! Who of a service has more to do than it can: by its own word, or by its connections.
//!
//! Kept are those whose last report says so; whether that takes them out of the answers depends on
//! the others of its tier: where all have too much to do, nothing is won. The state keeps one of
//! these for each service with such an instance.

use std::collections::{BTreeMap, BTreeSet};

use crate::balance::meter::REPORT_TTL;
use crate::model::{InstanceId, Load, Millis, ServiceName, Tier};
use crate::registry::instance::InstanceView;
use crate::registry::observed::OVERLOADED;
use crate::registry::state::State;

/// The overloaded instances of one service.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    hot: BTreeMap<InstanceId, Hot>,
    /// When to look at them again: at once, or when the first of their reports goes stale.
    look_at: Millis,
}

#[derive(Debug)]
struct Hot {
    /// Whether its connections say so too; else it is its word alone.
    full: bool,
    reported: Millis,
}

impl Overload {
    /// Takes a report of an instance, and says whether that makes it hot.
    pub(crate) fn hear(&mut self, id: &InstanceId, load: &Load, now: Millis) -> bool {
        let before = self.hot.get(id);
        let was = before.is_some();
        let full = is_full(load, before.is_some_and(|hot| hot.full));
        let hot = full || load.overloaded == Some(true);
        if hot {
            self.hot.insert(id.clone(), Hot { full, reported: now });
        } else {
            self.hot.remove(id);
        }
        if hot != was {
            self.look_at = now;
        }
        hot
    }

    /// Whether who is taken out may be others than at the last look.
    pub(crate) fn is_due(&self, now: Millis) -> bool {
        self.look_at <= now
    }

    /// Whether nobody is hot.
    pub(crate) fn is_empty(&self) -> bool {
        self.hot.is_empty()
    }

    /// Who of `instances` is taken out: those that are hot, unless that would take out all of their
    /// tier that could be answered. Forgets reports that are stale, and instances that are gone.
    pub(crate) fn settle<'i>(
        &mut self,
        instances: impl Iterator<Item = &'i InstanceView>,
        now: Millis,
    ) -> BTreeSet<InstanceId> {
        let all: BTreeMap<&InstanceId, &InstanceView> =
            instances.map(|view| (&view.instance.id, view)).collect();
        // One that has reported nothing is another under the same id.
        self.hot.retain(|id, hot| {
            let known = all.get(id).is_some_and(|view| view.load().is_some());
            known && now.since(hot.reported) < REPORT_TTL
        });
        let stale = self.hot.values().map(|hot| hot.reported + REPORT_TTL);
        self.look_at = stale.min().unwrap_or(Millis::NEVER);
        let cool = all
            .values()
            .filter(|view| usable_otherwise(view) && !self.hot.contains_key(&view.instance.id));
        let tiers: BTreeSet<Tier> = cool.map(|view| view.instance.tier).collect();
        let out = |id: &&InstanceId| all.get(*id).is_some_and(|v| tiers.contains(&v.instance.tier));
        self.hot.keys().filter(out).cloned().collect()
    }
}

impl State {
    /// Takes what an instance that is there reported, as far as it makes it overloaded.
    pub(crate) fn hear_load(
        &mut self,
        service: &ServiceName,
        id: &InstanceId,
        load: &Load,
        now: Millis,
    ) {
        if let Some(overload) = self.overloads.get_mut(service) {
            overload.hear(id, load, now);
            return;
        }
        let mut overload = Overload::default();
        if overload.hear(id, load, now) {
            self.overloads.insert(service.clone(), overload);
        }
    }

    /// Takes overloaded instances out and lets others back, where reports or the instances
    /// themselves have changed. A revision of its own, if there is anything to do.
    pub(crate) fn settle_overloads(&mut self, now: Millis) {
        let touched = &self.touched;
        let due = |(name, overload): &(&ServiceName, &mut Overload)| {
            overload.is_due(now) || touched.contains(*name)
        };
        let mut moves: Vec<(ServiceName, InstanceId, bool)> = Vec::new();
        for (name, overload) in self.overloads.iter_mut().filter(due) {
            let Some(service) = self.services.get(name) else { continue };
            let out = overload.settle(service.instances.iter(), now);
            for view in service.instances.iter() {
                let (id, overloaded) = (&view.instance.id, out.contains(&view.instance.id));
                if overloaded != is_out(view) {
                    moves.push((name.clone(), id.clone(), overloaded));
                }
            }
        }
        let services = &self.services;
        self.overloads.retain(|name, left| !left.is_empty() && services.contains_key(name));
        if moves.is_empty() {
            return;
        }
        self.revision = self.revision.next();
        for (service, id, overloaded) in moves {
            self.observe(&service, &id, now, |observed| observed.overloaded = overloaded);
        }
    }
}

/// Whether nothing but having too much to do makes an instance unusable, if anything does.
fn usable_otherwise(view: &InstanceView) -> bool {
    view.reasons().iter().all(|reason| *reason == OVERLOADED)
}

/// Whether an instance is taken out.
fn is_out(view: &InstanceView) -> bool {
    view.observed.as_ref().is_some_and(|observed| observed.overloaded)
}

/// Whether an instance is full, which only counts what it said of both.
///
/// | connections | was full | full |
/// |---|---|---|
/// | not told, or of no capacity told | | no |
/// | the capacity or more | | yes |
/// | 80 % of it or more | yes | yes |
/// | 80 % of it or more | no | no |
/// | less | | no |
fn is_full(load: &Load, was: bool) -> bool {
    let (Some(connections), Some(capacity)) = (load.connections, load.capacity) else {
        return false;
    };
    connections >= capacity * if was { CLOSE } else { 1.0 }
}

/// What an instance that was full must be below to have room again.
const CLOSE: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::*;

    fn load(connections: f64, capacity: f64) -> Load {
        Load { connections: Some(connections), capacity: Some(capacity), ..Load::default() }
    }

    #[test]
    fn full_is_full_until_a_fifth_is_free() {
        let mut full = false;
        let mut hear = |connections| {
            full = is_full(&load(connections, 50.0), full);
            full
        };

        assert_eq!([40.0, 49.9, 50.0, 60.0].map(&mut hear), [false, false, true, true]);
        assert_eq!([45.0, 40.0, 39.9, 45.0].map(&mut hear), [true, true, false, false]);
    }

    #[test]
    fn what_is_not_told_fills_nobody() {
        let told = load(1_000.0, 1.0);
        assert!(is_full(&told, false));
        assert!(!is_full(&Load { capacity: None, ..told }, true));
        assert!(!is_full(&Load { connections: None, ..told }, true));
        assert!(is_full(&load(0.0, 0.0), false), "one that can hold nothing");
    }

    #[test]
    fn the_word_of_an_instance_goes_with_its_word() {
        let mut overload = Overload::default();
        let id = InstanceId::new("web-1").unwrap();
        let mut hear = |load: &Load| overload.hear(&id, load, Millis(0));
        let said = |overloaded| Load { overloaded, ..load(45.0, 50.0) };

        // It was never full by its connections: 90 % is no reason to stay out.
        assert!(hear(&said(Some(true))));
        assert!(!hear(&said(None)));
        assert!(hear(&said(Some(true))));
        assert!(!hear(&said(Some(false))));
        // Full whatever it says.
        assert!(hear(&Load { overloaded: Some(false), ..load(50.0, 50.0) }));
        assert!(hear(&said(Some(false))));
        assert!(!hear(&load(39.0, 50.0)));
    }
}
