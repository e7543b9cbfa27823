//! Leases that begin, and begin again: signs of life, and a fresh start for all of them.
//!
//! What their end does is `protect`'s.

use crate::model::{InstanceId, Millis, ServiceName};
use crate::registry::instance::InstanceView;
use crate::registry::journal::EventKind;
use crate::registry::leases::{Due, Leases};
use crate::registry::state::State;
use crate::registry::trail::Before;

impl State {
    /// Restarts the lease, counted from `from`. Says whether that is a change, as it is of an
    /// instance whose lease had ended: a declared one is usable again, a suspect one no longer
    /// suspect. `None`: there is no such instance. A renewal that another has overtaken takes
    /// nothing away from it.
    pub(crate) fn renew(
        &mut self,
        service: &ServiceName,
        id: &InstanceId,
        from: Millis,
    ) -> Option<bool> {
        let revision = self.revision;
        let entry = self.services.get_mut(service)?;
        let view = entry.instances.get(id.as_str())?;
        let ended = view.lapsed || view.is_suspect();
        let ends = view.instance.ttl.map_or(Millis::NEVER, |ttl| from + ttl.get());
        view.hear(from);
        if ended || view.vitals.deadline().is_none_or(|deadline| deadline < ends) {
            start_lease(&mut self.leases, service, view, from);
        }
        // What is looked at to be changed counts as changed, which most renewals are not.
        if ended && let Some(view) = entry.instances.get_mut(id.as_str()) {
            if view.is_suspect() {
                self.recovering.insert(service.clone());
            }
            self.lapses.forget(service, id);
            let before = Before::Instance(view.clone());
            view.lapsed = false;
            view.clear_suspicion();
            view.revision = revision;
            let kind = EventKind::Put(view.clone());
            self.note(service, before, kind);
        }
        Some(ended)
    }

    /// Gives every lease one full fresh ttl from `now`.
    pub(crate) fn refresh_leases(&self, now: Millis) {
        for view in self.services.values().flat_map(|s| s.instances.iter()) {
            view.hear_again(now);
            let fresh = view.instance.ttl.map(|ttl| now + ttl.get());
            if view.is_suspect() {
                // It may have longer than a ttl.
                view.vitals.set_deadline(view.vitals.deadline().max(fresh));
            } else if !view.lapsed {
                view.vitals.set_deadline(fresh);
            }
        }
    }
}

/// Starts the lease of `view` from `from`.
pub(super) fn start_lease(
    leases: &mut Leases,
    service: &ServiceName,
    view: &InstanceView,
    from: Millis,
) {
    end_lease_at(leases, service, view, view.instance.ttl.map(|ttl| from + ttl.get()));
}

/// Has the lease of `view` end at `deadline`.
pub(super) fn end_lease_at(
    leases: &mut Leases,
    service: &ServiceName,
    view: &InstanceView,
    deadline: Option<Millis>,
) {
    view.vitals.set_deadline(deadline);
    // A later deadline is found when the timer comes to the entry that is already there.
    if let Some(deadline) = deadline.filter(|deadline| *deadline < view.vitals.scheduled()) {
        view.vitals.set_scheduled(deadline);
        leases.schedule(deadline, Due::Lease(service.clone(), view.instance.id.clone()));
    }
}
