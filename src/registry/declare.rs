//! What the configuration file says, and what operators say of it, as part of the state.
//!
//! The file is durable itself, so nothing of it waits for the store; what operators say is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{Declared, Instance, InstanceId, Millis, OperatorState, Revision, ServiceName};
use crate::registry::checks::{Occasion, adopted};
use crate::registry::instance::{InstanceView, Source, Vitals};
use crate::registry::journal::{EventKind, Reason};
use crate::registry::op::Key;
use crate::registry::renew::start_lease;
use crate::registry::service::Service;
use crate::registry::state::State;
use crate::registry::trail::Before;

impl State {
    /// What the operator said of a declared instance.
    pub(crate) fn operator(&self, service: &ServiceName, id: &InstanceId) -> OperatorState {
        // The key is a pair of owned names; clones only count references.
        self.operators.get(&(service.clone(), id.clone())).copied().unwrap_or_default()
    }

    pub(super) fn operate(
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
        let Some(entry) = self.services.get_mut(service) else { return false };
        let before = entry.instances.get(id.as_str());
        let (Some(declared), Some(before)) = (declared, before) else { return false };
        let instance = operated(declared, state);
        if instance == *before.instance {
            return false;
        }
        let was = entry.answers(before);
        let before = before.clone();
        let view = InstanceView { instance: Arc::new(instance), revision, ..before.clone() };
        entry.instances.insert(view.clone());
        entry.note_withdrawal(was, &view, now);
        self.note(service, Before::Instance(before), EventKind::Put(view));
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
            entry.declared = new.map(|service| Box::new(service.settings.clone()));
            let settings = entry.settings(&self.defaults);
            let other_checks = settings.checks != old_settings.checks;
            if known {
                entry.note_settings(&old_settings, &settings, now);
            }
            if !known || settings != old_settings || entry.is_declared() != was_declared {
                let before = if known { Before::Service(old_settings) } else { Before::Nothing };
                self.note(&name, before, EventKind::Service(Some(settings)));
            }
            let instances = new.map_or(&[][..], |service| &service.instances);
            self.declare_instances(&name, instances, now);
            if other_checks {
                self.adopt_checks(&name, now);
            }
            self.note_empty(&name, now);
        }
        self.drop_operators();
        self.events.len() > before
    }

    /// What operators said of an instance ends with its declaration.
    fn drop_operators(&mut self) {
        let services = &self.services;
        let undeclared = self.operators.extract_if(|(service, id), _| {
            let view = services.get(service).and_then(|s| s.instances.get(id.as_str()));
            view.is_none_or(|view| view.source != Source::File)
        });
        self.unstored.extend(undeclared.map(|((service, id), _)| Key::Operator(service, id)));
    }

    fn declare_instances(&mut self, service: &ServiceName, declared: &[Instance], now: Millis) {
        let Some(entry) = self.services.get(service) else { return };
        let ids: BTreeSet<&InstanceId> = declared.iter().map(|instance| &instance.id).collect();
        let gone = entry.instances.iter().filter(|view| view.source == Source::File);
        let gone = gone.map(|view| &view.instance.id).filter(|id| !ids.contains(id));
        let mut gone: Vec<InstanceId> = gone.cloned().collect();
        gone.sort_unstable();
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
        let (change, register) =
            (self.occasion(Occasion::Change), self.occasion(Occasion::Registration));
        let entry = self.services.entry(service.clone()).or_default();
        let before = entry.instances.get(instance.id.as_str()).cloned();
        if before.as_ref().is_some_and(|v| v.source == Source::File && *v.instance == instance) {
            return;
        }
        self.instances += usize::from(before.is_none());
        if before.as_ref().is_some_and(|v| v.source == Source::Api) {
            self.unstored.insert(Key::Instance(service.clone(), instance.id.clone()));
        }
        self.owners.change(before.as_ref().and_then(|before| before.owner), None);
        self.metadata -= before.as_ref().map_or(0, InstanceView::metadata_size);
        let same_lease =
            before.as_ref().filter(|v| v.source == Source::File && v.instance.ttl == instance.ttl);
        let checks = entry.checks(&self.defaults);
        let occasion = if same_lease.is_some() { change } else { register };
        let view = InstanceView {
            source: Source::File,
            generation: 0,
            owner: None,
            revision,
            lapsed: same_lease.is_some_and(|v| v.lapsed),
            observed: adopted(before.as_ref(), &instance, checks, occasion, now),
            vitals: before
                .as_ref()
                .map_or_else(|| Arc::new(Vitals::new()), |v| Arc::clone(&v.vitals)),
            instance: Arc::new(instance),
        };
        let was = before.as_ref().is_some_and(|before| entry.answers(before));
        entry.note_withdrawal(was, &view, now);
        if same_lease.is_none() {
            start_lease(&mut self.leases, service, &view, now);
        }
        entry.instances.insert(view.clone());
        self.note(service, before.into(), EventKind::Put(view));
    }
}

/// `instance` as the operator wants it.
fn operated(instance: &Instance, state: OperatorState) -> Instance {
    let mut instance = instance.clone();
    instance.admin = state.admin.unwrap_or(instance.admin);
    instance.status = state.status.unwrap_or(instance.status);
    instance
}
