//! From state to views: builds what changed anew, hands it to readers, tells watchers.
//!
//! Only the services that changed are built, so a change costs what its service costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::SmallRng;

use crate::balance::in_force::{Reports, Seat, in_force, moved};
use crate::balance::traffic::Traffic;
use crate::model::{
    AnswerMode, Balance, HotKeyReplicas, Millis, Network, RecordTtl, ServiceName, Settings,
};
use crate::registry::command::EngineStats;
use crate::registry::index::Indexer;
use crate::registry::journal::Journal;
use crate::registry::narrow::Looks;
use crate::registry::state::{Service, State};
use crate::registry::view::{InstanceView, Parts, ServiceView, Views};

/// The writing end of the views and the journal.
pub(crate) struct Publisher {
    views: Arc<Views>,
    journal: Arc<Journal>,
    indexer: Indexer,
    looks: Looks,
    rng: SmallRng,
    /// Services with load reports.
    reporting: BTreeMap<ServiceName, Reports>,
}

impl Publisher {
    pub(crate) fn new(
        views: Arc<Views>,
        journal: Arc<Journal>,
        stats: Arc<EngineStats>,
        rng: SmallRng,
    ) -> Self {
        let (indexer, looks) = (Indexer::default(), Looks::new(stats));
        Self { views, journal, indexer, looks, rng, reporting: BTreeMap::new() }
    }

    /// From now on readers find the owners of addresses in `ranges`, and of no others.
    pub(crate) fn cover(&mut self, ranges: &[Network]) {
        self.indexer.cover(&self.views, ranges);
    }

    /// Publishes everything that changed since the last call, and says how many views it built.
    pub(crate) fn publish(&mut self, state: &mut State, now: Millis) -> usize {
        let (events, touched) = state.take_changes();
        let mut built = 0;
        for name in &touched {
            let before = self.views.service(name.as_str());
            match state.services.get_mut(name) {
                Some(service) => {
                    let view = self.build(name, service, &state.defaults, now);
                    self.looks.note(name, service.traffic.is_some());
                    self.indexer.note(self.views.index(), before.as_deref(), Some(&view));
                    self.views.publish(view);
                    built += 1;
                }
                None => {
                    self.indexer.note(self.views.index(), before.as_deref(), None);
                    self.looks.note(name, false);
                    self.views.forget(name);
                }
            }
        }
        self.indexer.publish(self.views.index());
        if self.views.revision() != state.revision {
            self.views.set_revision(state.revision);
            self.journal.append(events, state.revision);
        }
        built
    }

    /// Remembers that an instance of `service` reported load.
    pub(crate) fn note_report(&mut self, service: &ServiceName, now: Millis) {
        match self.reporting.get_mut(service) {
            Some(reports) => reports.note(now),
            None => {
                self.reporting.insert(service.clone(), Reports::since(now));
            }
        }
    }

    /// Touches the services whose weights in force have moved with the load reported. Load is no
    /// revision.
    pub(crate) fn reweigh(&mut self, state: &mut State, now: Millis) {
        let mut reweighed = Vec::new();
        self.reporting.retain(|name, reports| {
            if !reports.look(now) {
                return true;
            }
            let Some(service) = state.services.get_mut(name) else { return false };
            let Settings { balance, ttl, .. } = service.settings(&state.defaults);
            let instances = service.instances.show();
            let published = self.views.service(name.as_str());
            let published = published.as_ref().map(|view| &*view.weights);
            if moved(balance, ttl, &seats(&instances), &mut service.dynamic, published, now) {
                reweighed.push(name.clone());
            }
            !reports.over(now)
        });
        for name in reweighed {
            state.touch(&name);
        }
        self.looks.look(&self.views, now);
    }

    fn build(
        &mut self,
        name: &ServiceName,
        service: &mut Service,
        defaults: &Settings,
        now: Millis,
    ) -> ServiceView {
        let settings = service.settings(defaults);
        let instances = service.instances.show();
        let Settings { balance, ttl, .. } = settings;
        let weights = in_force(balance, ttl, &seats(&instances), service.dynamic.as_deref(), now);
        let ttl = ttl.get();
        service.traffic = service.traffic.take().filter(|traffic| traffic.record_ttl() == ttl);
        if !depends_on_traffic(&settings, instances.len()) {
            service.traffic = None;
        } else if service.traffic.is_none() {
            service.traffic = Some(Arc::new(Traffic::new(ttl, self.rng.next_u64())));
        }
        let parts = Parts {
            name: name.clone(),
            revision: service.revision,
            declared: service.is_declared(),
            settings,
            overrides: service.overrides.clone(),
            instances,
            weights: weights.into(),
            traffic: service.traffic.clone(),
        };
        ServiceView::new(parts, &mut self.rng)
    }
}

fn seats(instances: &[InstanceView]) -> Vec<Seat<'_>> {
    instances
        .iter()
        .map(|view| Seat {
            id: &view.instance.id,
            base: view.instance.weight.get(),
            meter: &view.vitals.meter,
        })
        .collect()
}

/// Whether it makes a difference who asks, and how much: where caches may keep answers of a part of
/// the instances, and where keys may be too much for one.
fn depends_on_traffic(settings: &Settings, instances: usize) -> bool {
    let in_part = match settings.answer {
        AnswerMode::Auto => {
            settings.balance != Balance::RoundRobin
                || instances > usize::from(settings.max_answers.get())
        }
        AnswerMode::Subset | AnswerMode::StickySubset | AnswerMode::Single => true,
        AnswerMode::All | AnswerMode::Ordered => false,
    };
    let cached = settings.ttl > RecordTtl::ZERO;
    let keyed = settings.hot_key_replicas > HotKeyReplicas::default();
    instances > 1 && (keyed || (cached && in_part && settings.balance != Balance::ConsistentHash))
}
