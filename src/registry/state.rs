//! The registry as a state machine: what is registered, and what each change does to it.
//!
//! No I/O, no clock, no waiting. Only the engine holds it. Every change goes through
//! [`State::apply`], which also notes the events for watchers and the services to publish anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::balance::dynamic::Dynamic;
use crate::model::{
    Change, Declared, Image, Instance, InstanceId, LeaseTtl, Millis, OperatorState, Record,
    Revision, ServiceName, Settings, SettingsPatch,
};
use crate::registry::journal::{Event, EventKind, Reason};
use crate::registry::leases::{Due, Leases};
use crate::registry::op::{Key, Op};
use crate::registry::view::{InstanceView, Source, Vitals};

/// Everything registered and declared.
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) services: HashMap<ServiceName, Service, foldhash::fast::RandomState>,
    pub(crate) instances: usize,
    pub(crate) defaults: Settings,
    forget_after: Duration,
    /// What the file says, without what operators say.
    declared: Arc<Declared>,
    operators: HashMap<(ServiceName, InstanceId), OperatorState>,
    pub(crate) leases: Leases,
    /// What the store does not know yet: expiries, and what the file displaced.
    pub(crate) unstored: BTreeSet<Key>,
    events: Vec<Event>,
    touched: BTreeSet<ServiceName>,
}

/// One service and its instances.
#[derive(Default)]
pub(crate) struct Service {
    pub(crate) revision: Revision,
    /// What the file gives; `None` when the file does not declare it.
    pub(crate) declared: Option<SettingsPatch>,
    /// The override by API; `None` when there is none.
    pub(crate) overrides: Option<SettingsPatch>,
    pub(crate) instances: BTreeMap<InstanceId, InstanceView>,
    pub(crate) dynamic: Dynamic,
    /// When it lost its last instance or was made without one.
    pub(crate) empty_since: Millis,
}

impl Service {
    /// Whether it stays known without instances.
    pub(crate) fn is_declared(&self) -> bool {
        self.declared.is_some() || self.overrides.is_some()
    }

    /// Whether nothing but time keeps it known.
    fn is_idle(&self) -> bool {
        self.instances.is_empty() && !self.is_declared()
    }

    /// The settings in force: override, else file, else defaults, key by key.
    pub(crate) fn settings(&self, defaults: &Settings) -> Settings {
        let layers = [&self.declared, &self.overrides];
        layers.into_iter().flatten().fold(defaults.clone(), |below, patch| below.patched(patch))
    }
}

impl State {
    /// The state that `image` stores, before anything is declared. Leases start at `now`.
    pub(crate) fn new(image: Image, forget_after: Duration, now: Millis) -> Self {
        let mut state = Self {
            revision: image.revision.next(),
            services: HashMap::default(),
            instances: 0,
            defaults: Settings::default(),
            forget_after,
            declared: Arc::default(),
            operators: HashMap::new(),
            leases: Leases::default(),
            unstored: BTreeSet::new(),
            events: Vec::new(),
            touched: BTreeSet::new(),
        };
        state.operators.extend(image.operators.into_iter().map(|(s, i, o)| ((s, i), o)));
        for (service, patch) in image.overrides {
            state.apply(Op::Override { service, patch: Some(patch) }, now);
        }
        for (service, Record { instance, generation }) in image.instances {
            state.apply(Op::Put { service, instance, generation, registers: true }, now);
        }
        state
    }

    /// Applies `op` as part of the current revision. Says whether it changed anything.
    pub(crate) fn apply(&mut self, op: Op, now: Millis) -> bool {
        match op {
            Op::Put { service, instance, generation, registers } => {
                self.put(service, instance, generation, registers, now)
            }
            Op::Renew { service, instance, generation } => {
                if self.renew(&service, &instance.id, now) {
                    return false;
                }
                // Its lease ended while this waited; the store has not heard of that yet.
                self.unstored.insert(Key::Instance(service.clone(), instance.id.clone()));
                self.put(service, instance, generation, true, now)
            }
            Op::Remove { service, id } => self.remove(&service, &id, Reason::Deregistered, now),
            Op::Override { service, patch } => self.set_override(service, patch, now),
            Op::Operator { service, id, state } => self.operate(&service, &id, state, now),
            Op::Forget { service } => self.forget(&service),
        }
    }

    /// The instance as it is now.
    pub(crate) fn instance(&self, service: &str, id: &str) -> Option<&InstanceView> {
        self.services.get(service)?.instances.get(id)
    }

    /// What the operator said of a declared instance.
    pub(crate) fn operator(&self, service: &ServiceName, id: &InstanceId) -> OperatorState {
        // The key is a pair of owned names; clones only count references.
        self.operators.get(&(service.clone(), id.clone())).copied().unwrap_or_default()
    }

    /// Restarts the lease, counted from `from`, and says whether the instance exists. A declared
    /// instance whose lease had ended is usable again. A renewal that another has overtaken takes
    /// nothing away from it.
    pub(crate) fn renew(&mut self, service: &ServiceName, id: &InstanceId, from: Millis) -> bool {
        let revision = self.revision;
        let Some(entry) = self.services.get_mut(service) else { return false };
        let Some(view) = entry.instances.get_mut(id) else { return false };
        let ends = view.instance.ttl.map_or(Millis::NEVER, |ttl| from + ttl.get());
        if view.lapsed || view.vitals.deadline().is_none_or(|deadline| deadline < ends) {
            start_lease(&mut self.leases, service, view, from);
        }
        if view.lapsed {
            view.lapsed = false;
            view.revision = revision;
            let kind = EventKind::Put(view.clone());
            self.note(service, kind);
        }
        true
    }

    /// Gives every lease one full fresh ttl from `now`.
    pub(crate) fn refresh_leases(&self, now: Millis) {
        for view in self.services.values().flat_map(|s| s.instances.values()) {
            if !view.lapsed {
                view.vitals.set_deadline(view.instance.ttl.map(|ttl| now + ttl.get()));
            }
        }
    }

    /// Ends the lease of an instance: a registered one goes, a declared one lapses. Part of the
    /// current revision.
    pub(crate) fn expire(&mut self, service: &ServiceName, id: &InstanceId, now: Millis) {
        let revision = self.revision;
        let Some(view) = self.services.get_mut(service).and_then(|s| s.instances.get_mut(id))
        else {
            return;
        };
        match view.source {
            Source::Api => {
                self.remove(service, id, Reason::Expired, now);
                self.unstored.insert(Key::Instance(service.clone(), id.clone()));
            }
            Source::File => {
                let was_usable = view.usable();
                view.lapsed = true;
                view.revision = revision;
                view.vitals.note_withdrawal(was_usable, view, now);
                let kind = EventKind::Put(view.clone());
                self.note(service, kind);
            }
        }
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
                let view = services.get(service).and_then(|s| s.instances.get(id));
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
        self.services.remove(service);
        self.note(service, EventKind::Service(None));
        true
    }

    /// Marks `service` to be published although nothing that has a revision changed.
    pub(crate) fn touch(&mut self, service: &ServiceName) {
        self.touched.insert(service.clone());
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
                match view.filter(|view| view.source == Source::Api) {
                    Some(view) => Change::Put {
                        service: service.clone(),
                        record: Record {
                            instance: Arc::clone(&view.instance),
                            generation: view.generation,
                        },
                    },
                    None => Change::Remove { service: service.clone(), id: id.clone() },
                }
            }
            Key::Override(service) => {
                let patch = self.services.get(service).and_then(|s| s.overrides.clone());
                Change::Override { service: service.clone(), patch }
            }
            Key::Operator(service, id) => Change::Operator {
                service: service.clone(),
                id: id.clone(),
                state: self.operator(service, id),
            },
        }
    }

    fn put(
        &mut self,
        service: ServiceName,
        instance: Arc<Instance>,
        generation: u64,
        registers: bool,
        now: Millis,
    ) -> bool {
        let revision = self.revision;
        let entry = self.services.entry(service.clone()).or_default();
        let before = entry.instances.get(&instance.id).cloned();
        let vitals =
            before.as_ref().map_or_else(|| Arc::new(Vitals::new()), |v| Arc::clone(&v.vitals));
        self.instances += usize::from(before.is_none());
        let view = InstanceView {
            instance,
            source: Source::Api,
            generation,
            revision,
            lapsed: false,
            vitals,
        };
        view.vitals.note_withdrawal(before.as_ref().is_some_and(InstanceView::usable), &view, now);
        if registers {
            start_lease(&mut self.leases, &service, &view, now);
        }
        entry.instances.insert(view.instance.id.clone(), view.clone());
        self.note(&service, EventKind::Put(view));
        true
    }

    fn remove(
        &mut self,
        service: &ServiceName,
        id: &InstanceId,
        reason: Reason,
        now: Millis,
    ) -> bool {
        let Some(entry) = self.services.get_mut(service) else { return false };
        if entry.instances.remove(id).is_none() {
            return false;
        }
        self.instances -= 1;
        self.note(service, EventKind::Remove(id.clone(), reason));
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
        let entry = self
            .services
            .entry(service.clone())
            .or_insert_with(|| Service { empty_since: now, ..Service::default() });
        if entry.overrides == patch {
            return false;
        }
        entry.overrides = patch;
        let settings = entry.settings(&self.defaults);
        self.note(&service, EventKind::Service(Some(settings)));
        self.note_empty(&service, now);
        true
    }

    fn operate(
        &mut self,
        service: &ServiceName,
        id: &InstanceId,
        state: OperatorState,
        now: Millis,
    ) -> bool {
        let revision = self.revision;
        let key = (service.clone(), id.clone());
        if state.is_empty() {
            self.operators.remove(&key);
        } else {
            self.operators.insert(key, state);
        }
        let declared = self.declared.services.get(service);
        let declared = declared.and_then(|s| s.instances.iter().find(|i| i.id == *id));
        let view = self.services.get_mut(service).and_then(|s| s.instances.get_mut(id));
        let (Some(declared), Some(view)) = (declared, view) else { return false };
        let instance = operated(declared, state);
        if instance == *view.instance {
            return false;
        }
        let was_usable = view.usable();
        view.instance = Arc::new(instance);
        view.revision = revision;
        view.vitals.note_withdrawal(was_usable, view, now);
        let kind = EventKind::Put(view.clone());
        self.note(service, kind);
        true
    }

    /// Makes `declared` what the file says, and tells whether that changes anything. Part of the
    /// current revision. The file is durable itself, so nothing waits for the store.
    pub(crate) fn declare(&mut self, declared: &Arc<Declared>, now: Millis) -> bool {
        let before = self.events.len();
        self.declared = Arc::clone(declared);
        let names: BTreeSet<ServiceName> =
            self.services.keys().chain(declared.services.keys()).cloned().collect();
        let old_defaults = std::mem::replace(&mut self.defaults, declared.defaults.clone());
        for name in names {
            let new = declared.services.get(&name);
            let entry = self
                .services
                .entry(name.clone())
                .or_insert_with(|| Service { empty_since: now, ..Service::default() });
            let known = entry.revision != Revision::default();
            let old_settings = entry.settings(&old_defaults);
            let was_declared = entry.is_declared();
            entry.declared = new.map(|service| service.settings.clone());
            let settings = entry.settings(&self.defaults);
            if !known || settings != old_settings || entry.is_declared() != was_declared {
                self.note(&name, EventKind::Service(Some(settings)));
            }
            let instances = new.map_or(&[][..], |service| &service.instances);
            self.declare_instances(&name, instances, now);
            self.note_empty(&name, now);
        }
        self.drop_operators();
        self.events.len() > before
    }

    /// What operators said of an instance ends with its declaration.
    fn drop_operators(&mut self) {
        let services = &self.services;
        let undeclared = self.operators.extract_if(|(service, id), _| {
            let view = services.get(service).and_then(|s| s.instances.get(id));
            view.is_none_or(|view| view.source != Source::File)
        });
        self.unstored.extend(undeclared.map(|((service, id), _)| Key::Operator(service, id)));
    }

    fn declare_instances(&mut self, service: &ServiceName, declared: &[Instance], now: Millis) {
        let Some(entry) = self.services.get(service) else { return };
        let ids: BTreeSet<&InstanceId> = declared.iter().map(|instance| &instance.id).collect();
        let gone = entry.instances.values().filter(|view| view.source == Source::File);
        let gone = gone.map(|view| &view.instance.id).filter(|id| !ids.contains(id));
        let gone: Vec<InstanceId> = gone.cloned().collect();
        for id in gone {
            self.remove(service, &id, Reason::File, now);
        }
        for instance in declared {
            self.declare_instance(service, instance, now);
        }
    }

    fn declare_instance(&mut self, service: &ServiceName, declared: &Instance, now: Millis) {
        let revision = self.revision;
        let instance = operated(declared, self.operator(service, &declared.id));
        let entry = self.services.entry(service.clone()).or_default();
        let before = entry.instances.get(&instance.id);
        if before.is_some_and(|v| v.source == Source::File && *v.instance == instance) {
            return;
        }
        self.instances += usize::from(before.is_none());
        if before.is_some_and(|v| v.source == Source::Api) {
            self.unstored.insert(Key::Instance(service.clone(), instance.id.clone()));
        }
        let same_lease =
            before.filter(|v| v.source == Source::File && v.instance.ttl == instance.ttl);
        let view = InstanceView {
            source: Source::File,
            generation: 0,
            revision,
            lapsed: same_lease.is_some_and(|v| v.lapsed),
            vitals: before.map_or_else(|| Arc::new(Vitals::new()), |v| Arc::clone(&v.vitals)),
            instance: Arc::new(instance),
        };
        view.vitals.note_withdrawal(before.is_some_and(InstanceView::usable), &view, now);
        if same_lease.is_none() {
            start_lease(&mut self.leases, service, &view, now);
        }
        entry.instances.insert(view.instance.id.clone(), view.clone());
        self.note(service, EventKind::Put(view));
    }

    /// Starts the time that a service without instances stays known, unless something declares it.
    fn note_empty(&mut self, service: &ServiceName, now: Millis) {
        let Some(entry) = self.services.get_mut(service) else { return };
        if entry.is_idle() && entry.revision == self.revision {
            entry.empty_since = now;
            self.leases.schedule(now + self.forget_after, Due::Forget(service.clone()));
        }
    }

    /// Records that `service` changed in the current revision.
    fn note(&mut self, service: &ServiceName, kind: EventKind) {
        if let Some(entry) = self.services.get_mut(service) {
            entry.revision = self.revision;
        }
        self.touched.insert(service.clone());
        self.events.push(Event { revision: self.revision, service: service.clone(), kind });
    }
}

/// `instance` as the operator wants it.
fn operated(instance: &Instance, state: OperatorState) -> Instance {
    let mut instance = instance.clone();
    instance.admin = state.admin.unwrap_or(instance.admin);
    instance.status = state.status.unwrap_or(instance.status);
    instance
}

fn start_lease(leases: &mut Leases, service: &ServiceName, view: &InstanceView, from: Millis) {
    let deadline = view.instance.ttl.map(LeaseTtl::get).map(|ttl| from + ttl);
    view.vitals.set_deadline(deadline);
    // A later deadline is found when the timer comes to the entry that is already there.
    if let Some(deadline) = deadline.filter(|deadline| *deadline < view.vitals.scheduled()) {
        view.vitals.set_scheduled(deadline);
        leases.schedule(deadline, Due::Lease(service.clone(), view.instance.id.clone()));
    }
}

/// Deadlines of what is gone that are not worth a look through all.
const SPARE_DEADLINES: usize = 1_024;
