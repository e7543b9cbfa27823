//! The registry as a state machine: what is registered, and what each change does to it.
//!
//! No I/O, no clock, no waiting. Only the engine holds it. Every change goes through
//! [`State::apply`], which also notes the events for watchers and the services to publish anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Actor, Change, Declared, Instance, InstanceId, Label, Millis, OperatorState, Revision,
    ServiceName, Settings, SettingsPatch,
};
use crate::registry::checks::{Occasion, adopted};
use crate::registry::instance::{InstanceView, Source, Vitals};
use crate::registry::journal::{Event, EventKind, Reason};
use crate::registry::lapses::Lapses;
use crate::registry::leases::{Due, Leases};
use crate::registry::op::{Key, Op};
use crate::registry::overload::Overload;
use crate::registry::owners::Owners;
use crate::registry::renew::start_lease;
use crate::registry::service::Service;
use crate::registry::tokens::Tokens;
use crate::registry::trail::{Before, Deed, Trail};

/// Everything registered and declared.
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) services: HashMap<ServiceName, Service, foldhash::fast::RandomState>,
    pub(crate) instances: usize,
    /// Bytes of metadata of all registered instances.
    pub(crate) metadata: usize,
    /// Services that only time keeps known, by since when.
    pub(super) idle: BTreeSet<(Millis, ServiceName)>,
    pub(crate) defaults: Settings,
    pub(super) forget_after: Duration,
    /// What the file says, without what operators say.
    pub(super) declared: Arc<Declared>,
    pub(super) operators: HashMap<(ServiceName, InstanceId), OperatorState>,
    pub(crate) leases: Leases,
    pub(super) owners: Owners,
    pub(crate) tokens: Arc<Tokens>,
    /// What the store does not know yet: expiries, and what the file displaced.
    pub(crate) unstored: BTreeSet<Key>,
    pub(super) events: Vec<Event>,
    pub(crate) trail: Trail,
    pub(super) touched: BTreeSet<ServiceName>,
    /// Services with overloaded instances.
    pub(super) overloads: BTreeMap<ServiceName, Overload>,
    /// Leases that ended lately.
    pub(crate) lapses: Lapses,
    /// Services of which suspect instances came back, or settings changed, since the last review.
    pub(super) recovering: BTreeSet<ServiceName>,
    /// Whether too many leases of the registry ended together, and too few came back since.
    pub(super) widespread: bool,
    /// Whether all is there that was there before this process.
    pub(super) begun: bool,
}

impl State {
    /// Applies `op` as part of the current revision. Says whether it changed anything.
    pub(crate) fn apply(&mut self, op: Op, now: Millis) -> bool {
        match op {
            Op::Put { service, instance, generation, owner, registers } => {
                self.put(service, instance, generation, owner.as_ref(), registers, now)
            }
            Op::Renew { service, instance, generation, owner } => {
                if self.has_registered(&service, &instance.id, generation) {
                    return self.renew(&service, &instance.id, now).unwrap_or_default();
                }
                // Its lease ended while this waited, or what it repeats was refused after all; what
                // the store holds is this, and it must not hear otherwise.
                self.unstored.insert(Key::Instance(service.clone(), instance.id.clone()));
                self.put(service, instance, generation, owner.as_ref(), true, now)
            }
            Op::Remove { service, id } => self.remove(&service, &id, Reason::Deregistered, now),
            Op::Override { service, patch } => self.set_override(service, patch, now),
            Op::Operator { service, id, state } => self.operate(&service, &id, state, now),
            Op::Forget { service } => {
                self.lapses.take(&service);
                self.forget(&service)
            }
            // Nothing that anybody could follow.
            Op::Token { id, token } => {
                let before = self.tokens.get(id).cloned();
                self.trail.add(None, Deed::Token { before, after: token.clone() });
                Arc::make_mut(&mut self.tokens).set(id, token);
                false
            }
        }
    }

    /// The instance as it is now.
    pub(crate) fn instance(&self, service: &str, id: &str) -> Option<&InstanceView> {
        self.services.get(service)?.instances.get(id)
    }

    /// Who owns it.
    pub(crate) fn owner(&self, view: &InstanceView) -> Option<&Label> {
        self.owners.of(view)
    }

    /// How many instances `owner` owns.
    pub(crate) fn owned_by(&self, owner: &Label) -> usize {
        self.owners.instances(owner)
    }

    /// Drops names that own nothing any more, once they are many.
    pub(crate) fn prune_owners(&mut self) {
        if self.owners.worth_pruning() {
            self.owners.prune(&self.lapses.owners());
        }
    }

    /// Whether `actor` may write it.
    pub(crate) fn permits(&self, actor: &Actor, view: &InstanceView) -> bool {
        actor.may_write(self.owner(view))
    }

    /// Whether the instance is there by the registration that got `generation`.
    pub(crate) fn has_registered(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        generation: u64,
    ) -> bool {
        let view = self.instance(service.as_str(), id.as_str());
        view.is_some_and(|view| view.generation == generation)
    }

    /// Sets how long an undeclared service without instances stays known, from when it lost its
    /// last one.
    pub(crate) fn set_forget_after(&mut self, forget_after: Duration) {
        if std::mem::replace(&mut self.forget_after, forget_after) == forget_after {
            return;
        }
        for (name, service) in self.services.iter().filter(|(_, service)| service.is_idle()) {
            let at = service.empty_since + forget_after;
            self.leases.schedule(at, Due::Forget(name.clone()));
        }
    }

    /// Whether the service has been without instances for as long as it stays known.
    pub(crate) fn is_forgettable(&self, service: &ServiceName, now: Millis) -> bool {
        let idle = self.services.get(service).filter(|service| service.is_idle());
        idle.is_some_and(|service| service.empty_since + self.forget_after <= now)
    }

    /// How many services only time keeps known.
    pub(crate) fn idle_services(&self) -> usize {
        self.idle.len()
    }

    /// The service that only time has kept known for longest.
    pub(crate) fn longest_idle(&self) -> Option<&ServiceName> {
        self.idle.first().map(|(_, service)| service)
    }

    /// Drops the deadlines of what is gone or has another by now, once they are most of all: those
    /// who register and deregister all day must not fill the memory.
    pub(crate) fn prune_deadlines(&mut self) {
        let alive = self.instances + self.services.len();
        if self.leases.len() < 2 * alive + SPARE_DEADLINES {
            return;
        }
        let (services, forget_after) = (&self.services, self.forget_after);
        self.leases.retain(|at, due| match due {
            Due::Lease(service, id) => {
                let view = services.get(service).and_then(|s| s.instances.get(id.as_str()));
                view.is_some_and(|view| view.vitals.scheduled() == at)
            }
            Due::Forget(service) => services
                .get(service)
                .is_some_and(|s| s.is_idle() && s.empty_since + forget_after == at),
        });
    }

    /// Forgets a service without instances. Part of the current revision.
    pub(crate) fn forget(&mut self, service: &ServiceName) -> bool {
        // It may have got an instance again while this was on its way to the store.
        if !self.services.get(service).is_some_and(Service::is_idle) {
            return false;
        }
        let Some(before) = self.services.remove(service) else { return false };
        self.idle.remove(&(before.empty_since, service.clone()));
        let before = Before::Service(before.settings(&self.defaults));
        self.note(service, before, EventKind::Service(None));
        true
    }

    /// Marks `service` to be published although nothing that has a revision changed.
    pub(crate) fn touch(&mut self, service: &ServiceName) {
        self.touched.insert(service.clone());
    }

    /// The services that are to be published.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &ServiceName> {
        self.touched.iter()
    }

    /// Whether `service` is to be published.
    pub(crate) fn is_touched(&self, service: &ServiceName) -> bool {
        self.touched.contains(service)
    }

    /// The events and the services to publish since the last call.
    pub(crate) fn take_changes(&mut self) -> (Vec<Event>, BTreeSet<ServiceName>) {
        (std::mem::take(&mut self.events), std::mem::take(&mut self.touched))
    }

    /// The change that makes the store agree with this state about `key`.
    pub(crate) fn stored(&self, key: &Key) -> Change {
        match key {
            Key::Instance(service, id) => {
                let view = self.instance(service.as_str(), id.as_str());
                match view.and_then(|view| view.record(self.owner(view))) {
                    Some(record) => Change::Put { service: service.clone(), record },
                    None => Change::Remove { service: service.clone(), id: id.clone() },
                }
            }
            Key::Override(service) => {
                let patch = self.services.get(service).and_then(|s| s.overrides.as_deref());
                let patch = patch.cloned();
                Change::Override { service: service.clone(), patch }
            }
            Key::Operator(service, id) => Change::Operator {
                service: service.clone(),
                id: id.clone(),
                state: self.operator(service, id),
            },
            Key::Token(id) => Change::Token { id: *id, token: self.tokens.get(*id).cloned() },
        }
    }

    fn put(
        &mut self,
        service: ServiceName,
        instance: Arc<Instance>,
        generation: u64,
        owner: Option<&Label>,
        registers: bool,
        now: Millis,
    ) -> bool {
        let revision = self.revision;
        let owner = owner.map(|owner| self.owners.number(owner));
        let entry = self.services.entry(service.clone()).or_default();
        let before = entry.instances.get(instance.id.as_str()).cloned();
        self.owners.change(before.as_ref().and_then(|before| before.owner), owner);
        self.lapses.forget(&service, &instance.id);
        if registers && before.as_ref().is_some_and(InstanceView::is_suspect) {
            self.recovering.insert(service.clone());
        }
        let vitals =
            before.as_ref().map_or_else(|| Arc::new(Vitals::new()), |v| Arc::clone(&v.vitals));
        let checks = entry.checks(&self.defaults);
        let occasion = if registers { Occasion::Registration } else { Occasion::Change };
        let observed = adopted(before.as_ref(), &instance, checks, occasion, now);
        self.instances += usize::from(before.is_none());
        self.metadata -= before.as_ref().map_or(0, InstanceView::metadata_size);
        let view = InstanceView {
            instance,
            source: Source::Api,
            generation,
            owner,
            revision,
            lapsed: false,
            observed,
            vitals,
        };
        self.metadata += view.metadata_size();
        let was = before.as_ref().is_some_and(|before| entry.answers(before));
        entry.note_withdrawal(was, &view, now);
        if registers {
            view.hear_again(now);
            start_lease(&mut self.leases, &service, &view, now);
        }
        entry.instances.insert(view.clone());
        self.note(&service, before.into(), EventKind::Put(view));
        true
    }

    pub(super) fn remove(
        &mut self,
        service: &ServiceName,
        id: &InstanceId,
        reason: Reason,
        now: Millis,
    ) -> bool {
        if reason == Reason::Deregistered {
            self.lapses.forget(service, id);
        }
        let Some(entry) = self.services.get_mut(service) else { return false };
        let Some(before) = entry.instances.get(id.as_str()).cloned() else { return false };
        entry.instances.remove(id);
        self.owners.change(before.owner, None);
        self.instances -= 1;
        self.metadata -= before.metadata_size();
        self.note(service, Before::Instance(before), EventKind::Remove(id.clone(), reason));
        self.note_empty(service, now);
        true
    }

    fn set_override(
        &mut self,
        service: ServiceName,
        patch: Option<SettingsPatch>,
        now: Millis,
    ) -> bool {
        if patch.is_none() && !self.services.contains_key(&service) {
            return false;
        }
        let known = self.services.contains_key(&service);
        let entry = self
            .services
            .entry(service.clone())
            .or_insert_with(|| Service { empty_since: now, ..Service::default() });
        if entry.overrides.as_deref() == patch.as_ref() {
            return false;
        }
        let before = entry.settings(&self.defaults);
        entry.overrides = patch.map(Arc::new);
        let settings = entry.settings(&self.defaults);
        entry.note_settings(&before, &settings, now);
        let before = if known { Before::Service(before) } else { Before::Nothing };
        self.note(&service, before, EventKind::Service(Some(settings)));
        self.adopt_checks(&service, now);
        self.note_empty(&service, now);
        true
    }

    /// Starts the time that a service without instances stays known, unless something declares it.
    pub(super) fn note_empty(&mut self, service: &ServiceName, now: Millis) {
        let Some(entry) = self.services.get_mut(service) else { return };
        if entry.is_idle() && entry.revision == self.revision {
            if entry.listed {
                self.idle.remove(&(entry.empty_since, service.clone()));
            }
            entry.listed = true;
            self.idle.insert((now, service.clone()));
            entry.empty_since = now;
            self.leases.schedule(now + self.forget_after, Due::Forget(service.clone()));
        }
    }

    /// Records that `service` changed in the current revision, from what was `before`.
    pub(super) fn note(&mut self, service: &ServiceName, before: Before, kind: EventKind) {
        if let Some(entry) = self.services.get_mut(service) {
            entry.revision = self.revision;
            if entry.listed && !entry.is_idle() {
                entry.listed = false;
                self.idle.remove(&(entry.empty_since, service.clone()));
            }
        }
        if matches!(kind, EventKind::Service(_)) {
            // It may be protected no longer.
            self.recovering.insert(service.clone());
        }
        self.touched.insert(service.clone());
        let event = Event { revision: self.revision, service: service.clone(), kind };
        self.trail.note(&event, before, |view| self.owners.of(view));
        self.events.push(event);
    }
}

/// Deadlines of what is gone that are not worth a look through all.
const SPARE_DEADLINES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Admin, Image, InstanceSpec, LeaseTtl};

    #[test]
    fn a_renewal_is_no_change_of_the_instance() {
        let mut state = State::new(Image::default(), Duration::from_secs(600), Millis(0));
        let service = ServiceName::new("web").unwrap();
        let spec: InstanceSpec = serde_json::from_str(r#"{"addresses":["10.0.0.1"]}"#).unwrap();
        let id = InstanceId::new("web-1").unwrap();
        let instance = spec.build(id.clone(), Some(LeaseTtl::DEFAULT), Admin::Enabled).unwrap();
        let put = Op::Put {
            service: service.clone(),
            instance: Arc::new(instance),
            generation: 1,
            owner: None,
            registers: true,
        };
        state.apply(put, Millis(0));
        state.services.get_mut(&service).unwrap().instances.show();

        assert_eq!(state.renew(&service, &id, Millis(1_000)), Some(false));

        assert_eq!(state.services[&service].instances.changed(), 0);
    }
}
