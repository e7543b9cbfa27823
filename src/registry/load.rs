//! How the state begins: with what the store has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Checks, Image, Millis, Record, ServiceName, Settings};
use crate::registry::checks::{Occasion, adopted};
use crate::registry::instance::{InstanceView, Source, Vitals};
use crate::registry::lapses::Lapses;
use crate::registry::leases::Leases;
use crate::registry::op::Op;
use crate::registry::owners::Owners;
use crate::registry::renew::start_lease;
use crate::registry::state::State;
use crate::registry::trail::Trail;

impl State {
    /// The state that `image` stores, before anything is declared. Leases start at `now`.
    pub(crate) fn new(image: Image, forget_after: Duration, now: Millis) -> Self {
        let mut state = Self {
            revision: image.revision.next(),
            services: HashMap::default(),
            instances: 0,
            metadata: 0,
            idle: BTreeSet::new(),
            defaults: Settings::default(),
            forget_after,
            declared: Arc::default(),
            operators: HashMap::new(),
            leases: Leases::default(),
            owners: Owners::default(),
            tokens: Arc::new(image.tokens.into_iter().collect()),
            unstored: BTreeSet::new(),
            events: Vec::new(),
            trail: Trail::default(),
            touched: BTreeSet::new(),
            overloads: BTreeMap::new(),
            lapses: Lapses::default(),
            recovering: BTreeSet::new(),
            widespread: false,
            begun: false,
        };
        state.operators.extend(image.operators.into_iter().map(|(s, i, o)| ((s, i), o)));
        for (service, patch) in image.overrides {
            state.apply(Op::Override { service, patch: Some(patch) }, now);
        }
        state.load(image.instances, now);
        state
    }

    /// Takes in what is stored, which is in the order of names. Nobody watches yet, and so there
    /// are no events.
    fn load(&mut self, instances: Vec<(ServiceName, Record)>, now: Millis) {
        let mut rest = instances.into_iter().peekable();
        while let Some((service, first)) = rest.next() {
            let others = std::iter::from_fn(|| rest.next_if(|(other, _)| *other == service));
            let records = std::iter::once(first).chain(others.map(|(_, record)| record));
            let checks = self.services.get(&service).map(|entry| entry.checks(&self.defaults));
            let checks = checks.cloned().unwrap_or_default();
            let loaded = |record| self.loaded(&service, record, &checks, now);
            let views: Vec<InstanceView> = records.map(loaded).collect();
            self.instances += views.len();
            self.metadata += views.iter().map(InstanceView::metadata_size).sum::<usize>();
            let entry = self.services.entry(service.clone()).or_default();
            entry.revision = self.revision;
            entry.instances = views.into();
            self.touched.insert(service);
        }
    }

    fn loaded(
        &mut self,
        service: &ServiceName,
        record: Record,
        checks: &Checks,
        now: Millis,
    ) -> InstanceView {
        let owner = record.owner.as_ref().map(|owner| self.owners.number(owner));
        self.owners.change(None, owner);
        let view = InstanceView {
            observed: adopted(None, &record.instance, checks, Occasion::Start, now),
            instance: record.instance,
            source: Source::Api,
            generation: record.generation,
            owner,
            revision: self.revision,
            lapsed: false,
            vitals: Arc::new(Vitals::new()),
        };
        start_lease(&mut self.leases, service, &view, now);
        view
    }

    /// What is there `now` is what was there before this process, as far as it still holds. Counts
    /// who is not answered as taken out: they may have been in answers until then.
    pub(crate) fn begin(&mut self, now: Millis) {
        self.begun = true;
        let views = self.services.values().flat_map(|service| service.instances.iter());
        views.filter(|view| !view.usable()).for_each(|view| view.vitals.withdraw(now));
    }
}
