//! The end of leases, and what keeps it from emptying a service when the fault is not theirs: when
//! too many end together, those instances are kept as suspect.
//!
//! | the lease of | ends | the instance |
//! |---|---|---|
//! | an instance | alone, or with few others | goes; a declared one lapses |
//! | an instance | with more than the share that is protected | is suspect, and so are those that went just before |
//! | a suspect instance | when the protection is over | goes; a declared one lapses |

use std::sync::Arc;

use crate::model::{InstanceId, LeaseTtl, Limits, Millis, ServiceName, Settings, Share};
use crate::registry::checks::{Occasion, adopted};
use crate::registry::instance::{InstanceView, Source};
use crate::registry::journal::{EventKind, Reason};
use crate::registry::observed::{Observed, Suspect};
use crate::registry::op::Key;
use crate::registry::renew::end_lease_at;
use crate::registry::service::Service;
use crate::registry::state::State;
use crate::registry::trail::Before;

/// What decides, beside the settings of services.
#[derive(Clone, Copy)]
pub(crate) struct Protection<'p> {
    /// The share of all instances.
    pub(crate) share: Share,
    /// What those that come back are held to.
    pub(crate) limits: &'p Limits,
    /// How many instances of all services are suspect.
    pub(crate) suspects: usize,
}

impl State {
    /// Ends the leases that are `due`, sorted, as one revision for each service.
    pub(crate) fn end_leases(
        &mut self,
        due: &[(ServiceName, InstanceId)],
        protection: Protection<'_>,
        now: Millis,
    ) {
        self.lapses.pass(now);
        let lapses = self.lapses.all();
        let fresh = due.iter().filter(|(service, id)| !self.has_suspect(service, id)).count();
        let silent = protection.suspects + lapses.ended + fresh;
        let whole = self.instances + lapses.gone;
        let everywhere = fresh > 0 && protection.share.is_exceeded(silent, whole);
        self.widespread |= everywhere;
        for same in due.chunk_by(|a, b| a.0 == b.0) {
            self.end_some(&same[0].0, same, protection, everywhere, now);
        }
        if everywhere {
            for service in self.lapses.services() {
                self.revision = self.revision.next();
                self.keep(&service, &[], Suspect::Registry, protection.limits, now);
            }
        }
    }

    /// Ends the leases that are `due`, all of one service.
    fn end_some(
        &mut self,
        service: &ServiceName,
        due: &[(ServiceName, InstanceId)],
        protection: Protection<'_>,
        everywhere: bool,
        now: Millis,
    ) {
        self.revision = self.revision.next();
        let ids = due.iter().map(|(_, id)| id);
        let (over, fresh) = ids.partition::<Vec<_>, _>(|id| self.has_suspect(service, id));
        for id in over {
            self.expire(service, id, now);
        }
        if fresh.is_empty() {
            return;
        }
        let share = self.settings_of(service).protect;
        if everywhere {
            self.keep(service, &fresh, Suspect::Registry, protection.limits, now);
        } else if self.are_many(service, share, fresh.len()) {
            self.keep(service, &fresh, Suspect::Service, protection.limits, now);
        } else {
            let noted = !(share.is_off() && protection.share.is_off());
            for id in fresh {
                let view = self.instance(service.as_str(), id.as_str()).filter(|_| noted).cloned();
                if let Some(view) = view {
                    self.lapses.note(service, view, protection.limits.instances, now);
                }
                self.expire(service, id, now);
            }
        }
    }

    /// Ends the lease of an instance: a registered one goes, a declared one lapses. Part of the
    /// current revision.
    fn expire(&mut self, service: &ServiceName, id: &InstanceId, now: Millis) {
        let revision = self.revision;
        let Some(entry) = self.services.get_mut(service) else { return };
        let Some(source) = entry.instances.get(id.as_str()).map(|view| view.source) else { return };
        match source {
            Source::Api => {
                self.remove(service, id, Reason::Expired, now);
                self.unstored.insert(Key::Instance(service.clone(), id.clone()));
            }
            Source::File => {
                let was = entry.instances.get(id.as_str()).is_some_and(|view| entry.answers(view));
                let Some(view) = entry.instances.get_mut(id.as_str()) else { return };
                let before = Before::Instance(view.clone());
                view.lapsed = true;
                view.clear_suspicion();
                view.revision = revision;
                let view = view.clone();
                entry.note_withdrawal(was, &view, now);
                self.note(service, before, EventKind::Put(view));
            }
        }
    }

    /// Gives suspect instances one more ttl where others came back, so that those that are left are
    /// no longer too many to be failures of their own.
    pub(crate) fn review_suspects(&mut self, protection: Protection<'_>, now: Millis) {
        if protection.share.is_exceeded(protection.suspects, self.instances) {
            return;
        }
        let mut services = std::mem::take(&mut self.recovering);
        if std::mem::take(&mut self.widespread) {
            // Those of a service where nobody came back were kept for the others' sake.
            let kept = |service: &Service| service.instances.iter().any(InstanceView::is_suspect);
            let kept = self.services.iter().filter(|(_, service)| kept(service));
            services.extend(kept.map(|(name, _)| name.clone()));
        }
        for service in services {
            let share = self.settings_of(&service).protect;
            if self.are_many(&service, share, 0) {
                continue;
            }
            let Some(entry) = self.services.get(&service) else { continue };
            for view in entry.instances.iter().filter(|view| view.is_suspect()) {
                let ttl = view.instance.ttl.map(LeaseTtl::get).unwrap_or_default();
                let end = view.vitals.deadline().unwrap_or(Millis::NEVER).min(now + ttl);
                end_lease_at(&mut self.leases, &service, view, Some(end));
            }
        }
    }

    fn has_suspect(&self, service: &ServiceName, id: &InstanceId) -> bool {
        self.instance(service.as_str(), id.as_str()).is_some_and(InstanceView::is_suspect)
    }

    /// Whether those of `service` that are silent, with as many more, are more than the share that is
    /// protected.
    fn are_many(&self, service: &ServiceName, share: Share, more: usize) -> bool {
        let Some(entry) = self.services.get(service).filter(|_| !share.is_off()) else {
            return false;
        };
        let suspects = entry.instances.iter().filter(|view| view.is_suspect()).count();
        let lapses = self.lapses.of(service);
        share.is_exceeded(suspects + lapses.ended + more, entry.instances.len() + lapses.gone)
    }

    /// Makes `fresh` suspect, and what ended just before them. Part of the current revision.
    fn keep(
        &mut self,
        service: &ServiceName,
        fresh: &[&InstanceId],
        suspect: Suspect,
        limits: &Limits,
        now: Millis,
    ) {
        let until = now + self.settings_of(service).protect_for.get();
        for id in fresh {
            self.suspect(service, id, suspect, until);
        }
        for view in self.lapses.take(service) {
            let id = view.instance.id.clone();
            match self.instance(service.as_str(), id.as_str()) {
                // A declared one is still there; another has come in the place of the others.
                Some(there) if there.lapsed => self.suspect(service, &id, suspect, until),
                Some(_) => {}
                None => self.take_back(service, view, suspect, until, limits, now),
            }
        }
    }

    /// Makes an instance that is there suspect.
    fn suspect(&mut self, service: &ServiceName, id: &InstanceId, suspect: Suspect, until: Millis) {
        let revision = self.revision;
        let Some(entry) = self.services.get_mut(service) else { return };
        let Some(view) = entry.instances.get_mut(id.as_str()) else { return };
        let before = Before::Instance(view.clone());
        view.lapsed = false;
        view.revision = revision;
        set_suspect(view, suspect);
        end_lease_at(&mut self.leases, service, view, Some(until));
        let kind = EventKind::Put(view.clone());
        self.note(service, before, kind);
    }

    /// Makes an instance that has gone suspect, where there is room for it.
    fn take_back(
        &mut self,
        service: &ServiceName,
        mut view: InstanceView,
        suspect: Suspect,
        until: Millis,
        limits: &Limits,
        now: Millis,
    ) {
        let others = self.services.get(service).map_or(0, |entry| entry.instances.len());
        let full = self.instances >= limits.instances
            || others >= limits.instances_per_service
            || self.metadata + view.metadata_size() > limits.metadata_total;
        if view.source == Source::File || full {
            return;
        }
        let entry = self.services.entry(service.clone()).or_default();
        view.revision = self.revision;
        // What clients and its load said of it went with it, and other checks may have come.
        view.observed = view.observed.as_deref().and_then(Observed::of_checks);
        let checks = entry.checks(&self.defaults);
        view.observed = adopted(Some(&view), &view.instance, checks, Occasion::Change, now);
        set_suspect(&mut view, suspect);
        end_lease_at(&mut self.leases, service, &view, Some(until));
        self.owners.change(None, view.owner);
        entry.instances.insert(view.clone());
        self.instances += 1;
        self.metadata += view.metadata_size();
        // The store may have heard of its end.
        self.unstored.insert(Key::Instance(service.clone(), view.instance.id.clone()));
        self.note(service, Before::Nothing, EventKind::Put(view));
    }

    fn settings_of(&self, service: &ServiceName) -> Settings {
        let entry = self.services.get(service);
        entry.map_or_else(|| self.defaults.clone(), |entry| entry.settings(&self.defaults))
    }
}

fn set_suspect(view: &mut InstanceView, suspect: Suspect) {
    let mut observed = view.observed.as_deref().cloned().unwrap_or_default();
    observed.suspect = Some(suspect);
    view.observed = Some(Arc::new(observed));
}
