//! From state to views: builds what changed anew, hands it to readers, tells watchers.
//!
//! Only the services that changed are built, so a change costs what its service costs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;

use crate::balance::dynamic::Dynamic;
use crate::balance::meter::{Meter, REPORT_TTL};
use crate::balance::weights::idle_capacity;
use crate::model::{Balance, InstanceId, Millis, Network, RecordTtl, ServiceName, Settings};
use crate::registry::index::Indexer;
use crate::registry::journal::Journal;
use crate::registry::state::{Service, State};
use crate::registry::view::{InstanceView, Parts, ServiceView, Views};

/// The writing end of the views and the journal.
pub(crate) struct Publisher {
    views: Arc<Views>,
    journal: Arc<Journal>,
    indexer: Indexer,
    rng: SmallRng,
    /// Services with load reports.
    reporting: BTreeMap<ServiceName, Reports>,
    totals: Totals,
}

/// Of all instances that are published.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    /// How many are ejected.
    pub(crate) ejected: usize,
    /// How many are suspect.
    pub(crate) suspect: usize,
    /// How often a service came to have suspect instances.
    pub(crate) protections: u64,
}

/// Services whose instances turned suspect, or are no longer, in one publication. One line of the log
/// for all of them: a failure of the network concerns many.
#[derive(Default)]
struct Turned {
    services: usize,
    first: Option<ServiceName>,
}

impl Turned {
    fn note(&mut self, service: &ServiceName) {
        self.services += 1;
        self.first.get_or_insert_with(|| service.clone());
    }
}

/// The load reports of one service.
#[derive(Debug, Clone, Copy)]
struct Reports {
    /// When the last one came.
    last: Millis,
    /// When weights were last computed from them.
    looked: Millis,
}

impl Publisher {
    pub(crate) fn new(views: Arc<Views>, journal: Arc<Journal>, rng: SmallRng) -> Self {
        let indexer = Indexer::default();
        let (reporting, totals) = (BTreeMap::new(), Totals::default());
        Self { views, journal, indexer, rng, reporting, totals }
    }

    /// From now on readers find the owners of addresses in `ranges`, and of no others.
    pub(crate) fn cover(&mut self, ranges: &[Network]) {
        self.indexer.cover(&self.views, ranges);
    }

    /// Publishes everything that changed since the last call, and says how many views it built.
    pub(crate) fn publish(&mut self, state: &mut State, now: Millis) -> usize {
        let (events, touched) = state.take_changes();
        let mut built = 0;
        let (mut kept, mut over) = (Turned::default(), Turned::default());
        for name in &touched {
            let before = self.views.service(name.as_str());
            let was_suspect = before.as_ref().map_or(0, |view| view.suspect);
            let mut suspect = 0;
            self.totals.ejected -= before.as_ref().map_or(0, |view| view.ejected);
            match state.services.get_mut(name) {
                Some(service) => {
                    let view = self.build(name, service, &state.defaults, now);
                    self.indexer.note(self.views.index(), before.as_deref(), Some(&view));
                    self.totals.ejected += view.ejected;
                    suspect = view.suspect;
                    self.views.publish(view);
                    built += 1;
                }
                None => {
                    self.indexer.note(self.views.index(), before.as_deref(), None);
                    self.views.forget(name);
                }
            }
            self.totals.suspect = self.totals.suspect - was_suspect + suspect;
            match (was_suspect, suspect) {
                (0, 1..) => kept.note(name),
                (1.., 0) => over.note(name),
                (0, 0) | (1.., 1..) => {}
            }
        }
        self.totals.protections += kept.services as u64;
        self.log_turned(&kept, &over);
        self.indexer.publish(self.views.index());
        if self.views.revision() != state.revision {
            self.views.set_revision(state.revision);
            self.journal.append(events, state.revision);
        }
        built
    }

    fn log_turned(&self, kept: &Turned, over: &Turned) {
        let suspect = self.totals.suspect;
        if let Turned { services, first: Some(first) } = kept {
            tracing::warn!(services, %first, suspect, "many leases ended together, instances are kept as suspect");
        }
        if let Turned { services, first: Some(first) } = over {
            tracing::info!(services, %first, suspect, "no instance is suspect any more");
        }
    }

    /// Of all that is published.
    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// Remembers that an instance of `service` reported load.
    pub(crate) fn note_report(&mut self, service: &ServiceName, now: Millis) {
        match self.reporting.get_mut(service) {
            Some(reports) => reports.last = now,
            None => {
                let reports = Reports { last: now, looked: Millis(0) };
                self.reporting.insert(service.clone(), reports);
            }
        }
    }

    /// Touches the services whose weights in force have moved with the load reported. Load is no
    /// revision.
    pub(crate) fn reweigh(&mut self, state: &mut State, now: Millis) {
        let mut moved = Vec::new();
        self.reporting.retain(|name, reports| {
            // Without news, weights still move as reports fade and go stale.
            if reports.last < reports.looked && now.since(reports.looked) < LOOK_AGAIN {
                return true;
            }
            reports.looked = now;
            let Some(service) = state.services.get_mut(name) else { return false };
            let settings = service.settings(&state.defaults);
            let published = self.views.service(name.as_str());
            let changed = match settings.balance {
                Balance::WeightedRoundRobin => {
                    let members: Vec<_> = service.instances.show().iter().map(reporter).collect();
                    let dynamic = service.dynamic.get_or_insert_default();
                    dynamic.update(&members, settings.ttl.get(), now).is_some()
                }
                Balance::LeastConnections => {
                    let instances = service.instances.show();
                    let weights = weights_in_force(&instances, None, &settings, now);
                    published.is_none_or(|view| differ(&view.weights, &weights))
                }
                Balance::RoundRobin | Balance::Random | Balance::ConsistentHash => false,
            };
            if changed {
                moved.push(name.clone());
            }
            // One more look after the reports have gone stale, so that weights go back.
            now.since(reports.last) <= REPORT_TTL + LOOK_AGAIN
        });
        for name in moved {
            state.touch(&name);
        }
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
        let weights = weights_in_force(&instances, service.dynamic.as_deref(), &settings, now);
        let parts = Parts {
            name: name.clone(),
            revision: service.revision,
            declared: service.is_declared(),
            settings,
            overrides: service.overrides.clone(),
            instances,
            weights: weights.into(),
        };
        ServiceView::new(parts, &mut self.rng)
    }
}

fn reporter(view: &InstanceView) -> (InstanceId, u16, Arc<Meter>) {
    let instance = &view.instance;
    (instance.id.clone(), instance.weight.get(), Arc::clone(view.vitals.meter()))
}

/// The weight of each instance that its algorithm goes by, in the order of ids.
fn weights_in_force(
    instances: &[InstanceView],
    dynamic: Option<&Dynamic>,
    settings: &Settings,
    now: Millis,
) -> Vec<u32> {
    let bases = instances.iter().map(|view| view.instance.weight.get());
    match settings.balance {
        // Each in turn, whatever its weight.
        Balance::RoundRobin => vec![1; instances.len()],
        Balance::Random | Balance::ConsistentHash => bases.map(u32::from).collect(),
        Balance::WeightedRoundRobin => match dynamic {
            None => bases.map(u32::from).collect(),
            Some(dynamic) => {
                let ids = instances.iter().map(|view| &view.instance.id);
                ids.zip(bases).map(|(id, base)| dynamic.current(id, base)).collect()
            }
        },
        // Where nothing is cached, two choices look at the load itself.
        Balance::LeastConnections if settings.ttl == RecordTtl::ZERO => {
            bases.map(u32::from).collect()
        }
        Balance::LeastConnections => {
            let bases: Vec<u16> = bases.collect();
            let meters: Vec<&Meter> = instances.iter().map(|view| &**view.vitals.meter()).collect();
            let mut weights = Vec::with_capacity(bases.len());
            idle_capacity(&bases, &meters, now, &mut weights);
            weights
        }
    }
}

/// Whether weights moved enough to build a service anew: by over 5 %, or from or to nothing.
fn differ(old: &[u32], new: &[u32]) -> bool {
    let moved = |(old, new): (&u32, &u32)| {
        let (low, high) = (u64::from(*old.min(new)), u64::from(*old.max(new)));
        (low == 0 && high > 0) || high * 100 > low * 105
    };
    old.len() != new.len() || old.iter().zip(new).any(moved)
}

/// How often weights are computed anew although no report came.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
