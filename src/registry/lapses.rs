//! Leases that ended lately without deregistration: how many tell a mass failure, and what ended is
//! kept for as long as it may be taken back.
//!
//! Only the state holds it. Nothing is noted where nobody is protected.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::model::{InstanceId, LeaseTtl, Millis, ServiceName};
use crate::registry::instance::{InstanceView, Source};
use crate::registry::owners::OwnerNumber;

/// What ended, by service and instance.
#[derive(Default)]
pub(crate) struct Lapses {
    services: HashMap<ServiceName, BTreeMap<InstanceId, Lapse>>,
    /// When each is to be forgotten.
    agenda: BTreeSet<(Millis, ServiceName, InstanceId)>,
    gone: usize,
}

struct Lapse {
    /// The instance as it was last answered.
    view: InstanceView,
    until: Millis,
}

/// How many leases ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count {
    /// All of them.
    pub(crate) ended: usize,
    /// Those whose instances are no longer there: declared ones still are.
    pub(crate) gone: usize,
}

impl Lapses {
    /// Notes that the lease of `view` ended. It counts for as long as the leases that one failure of
    /// the network ends take to end: each of them was renewed at most its ttl before. Of more than
    /// `most` the first are forgotten.
    pub(crate) fn note(
        &mut self,
        service: &ServiceName,
        view: InstanceView,
        most: usize,
        now: Millis,
    ) {
        let id = view.instance.id.clone();
        self.forget(service, &id);
        let until = now + view.instance.ttl.map_or(SHORTEST, LeaseTtl::get).max(SHORTEST);
        self.gone += usize::from(view.source == Source::Api);
        self.agenda.insert((until, service.clone(), id.clone()));
        self.services.entry(service.clone()).or_default().insert(id, Lapse { view, until });
        if self.agenda.len() > most {
            self.forget_first();
        }
    }

    /// Forgets what came back, or is not to come back.
    pub(crate) fn forget(&mut self, service: &ServiceName, id: &InstanceId) {
        let Some(own) = self.services.get_mut(service) else { return };
        let Some(Lapse { view, until }) = own.remove(id) else { return };
        if own.is_empty() {
            self.services.remove(service);
        }
        self.gone -= usize::from(view.source == Source::Api);
        self.agenda.remove(&(until, service.clone(), id.clone()));
    }

    /// Forgets what no longer counts.
    pub(crate) fn pass(&mut self, now: Millis) {
        while self.agenda.first().is_some_and(|(until, _, _)| *until <= now) {
            self.forget_first();
        }
    }

    /// Takes all of `service`, by id.
    pub(crate) fn take(&mut self, service: &ServiceName) -> Vec<InstanceView> {
        let own = self.services.remove(service).unwrap_or_default();
        let mut views = Vec::with_capacity(own.len());
        for (id, Lapse { view, until }) in own {
            self.gone -= usize::from(view.source == Source::Api);
            self.agenda.remove(&(until, service.clone(), id));
            views.push(view);
        }
        views
    }

    /// The instance as it was last answered, if its lease ended lately.
    pub(crate) fn view(&self, service: &ServiceName, id: &InstanceId) -> Option<&InstanceView> {
        self.services.get(service)?.get(id).map(|lapse| &lapse.view)
    }

    /// How many of `service` ended.
    pub(crate) fn of(&self, service: &ServiceName) -> Count {
        let Some(own) = self.services.get(service) else { return Count::default() };
        let gone = own.values().filter(|lapse| lapse.view.source == Source::Api).count();
        Count { ended: own.len(), gone }
    }

    /// How many ended in all.
    pub(crate) fn all(&self) -> Count {
        Count { ended: self.agenda.len(), gone: self.gone }
    }

    /// The services of which any ended, sorted.
    pub(crate) fn services(&self) -> BTreeSet<ServiceName> {
        self.services.keys().cloned().collect()
    }

    /// Who owned any of them.
    pub(crate) fn owners(&self) -> HashSet<OwnerNumber> {
        let lapses = self.services.values().flat_map(BTreeMap::values);
        lapses.filter_map(|lapse| lapse.view.owner).collect()
    }

    fn forget_first(&mut self) {
        let first = self.agenda.first().map(|(_, service, id)| (service.clone(), id.clone()));
        if let Some((service, id)) = first {
            self.forget(&service, &id);
        }
    }
}

/// How long an end counts at least.
const SHORTEST: Duration = Duration::from_secs(10);
