//! From state to views: builds what changed anew, hands it to readers, tells watchers.
//!
//! Only the services that changed are built, so a change costs what its service costs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;

use crate::balance::dynamic::Dynamic;
use crate::balance::meter::{Meter, REPORT_TTL};
use crate::balance::slow_start;
use crate::balance::weights::idle_capacity;
use crate::model::{Balance, InstanceId, Millis, Network, RecordTtl, ServiceName, Settings};
use crate::registry::index::Indexer;
use crate::registry::journal::Journal;
use crate::registry::panic::{Panic, Panicking};
use crate::registry::ramps::{Ramp, Ramps};
use crate::registry::state::{Service, State};
use crate::registry::totals::Totals;
use crate::registry::view::{InstanceView, Parts, ServiceView, Views};

/// The writing end of the views and the journal.
pub(crate) struct Publisher {
    views: Arc<Views>,
    journal: Arc<Journal>,
    indexer: Indexer,
    rng: SmallRng,
    /// Services with load reports.
    reporting: BTreeMap<ServiceName, Reports>,
    /// Services with instances that start slowly, and when the next of their weights grows.
    ramping: BTreeMap<ServiceName, (Ramps, Millis)>,
    /// How many services are in panic.
    panicking: usize,
    totals: Totals,
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
        Self {
            views,
            journal,
            indexer,
            rng,
            reporting: BTreeMap::new(),
            ramping: BTreeMap::new(),
            panicking: 0,
            totals: Totals::default(),
        }
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
            self.panicking -= usize::from(before.as_ref().is_some_and(|view| view.panic.is_some()));
            match state.services.get_mut(name) {
                Some(service) => {
                    let view = self.build(name, service, before.as_deref(), &state.defaults, now);
                    self.panicking += usize::from(view.panic.is_some());
                    self.indexer.note(self.views.index(), before.as_deref(), Some(&view));
                    self.totals.note(name, before.as_deref(), Some(&view));
                    self.views.publish(view);
                    built += 1;
                }
                None => {
                    self.ramping.remove(name);
                    self.indexer.note(self.views.index(), before.as_deref(), None);
                    self.totals.note(name, before.as_deref(), None);
                    self.views.forget(name);
                }
            }
        }
        self.totals.log();
        self.indexer.publish(self.views.index());
        if self.views.revision() != state.revision {
            self.views.set_revision(state.revision);
            self.journal.append(events, state.revision);
        }
        built
    }

    /// How many services are in panic.
    pub(crate) fn panicking(&self) -> usize {
        self.panicking
    }

    /// Of all that is published.
    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
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

    /// Touches the services whose weights in force have moved, with the load reported or with the age
    /// of their instances. Neither is a revision.
    pub(crate) fn reweigh(&mut self, state: &mut State, now: Millis) {
        let grown = self.ramping.iter().filter(|(_, (_, next))| *next <= now);
        let mut moved: Vec<ServiceName> = grown.map(|(name, _)| name.clone()).collect();
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
                    published.is_none_or(|view| differ(view.balanced(), &weights))
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
        before: Option<&ServiceView>,
        defaults: &Settings,
        now: Millis,
    ) -> ServiceView {
        let settings = service.settings(defaults);
        let instances = service.instances.show();
        let panic = panic(name, service, before, &settings, &instances, now);
        let mut weights = weights_in_force(&instances, service.dynamic.as_deref(), &settings, now);
        let factors = match &panic {
            None => self.factors(name, before, &settings, &instances, now),
            // Who is healthy is needed now, however new.
            Some(_) => {
                self.ramping.remove(name);
                None
            }
        };
        let ramp = factors.map(|factors| {
            let before = weights.clone().into();
            slow_start::scale(&mut weights, &factors);
            Box::new(Ramp { before, factors })
        });
        let parts = Parts {
            name: name.clone(),
            revision: service.revision,
            declared: service.is_declared(),
            settings,
            overrides: service.overrides.clone(),
            instances,
            weights: weights.into(),
            panic: panic.map(Box::new),
            ramp,
        };
        ServiceView::new(parts, &mut self.rng)
    }

    /// What instances have of their weights since they are new.
    fn factors(
        &mut self,
        name: &ServiceName,
        before: Option<&ServiceView>,
        settings: &Settings,
        instances: &Arc<[InstanceView]>,
        now: Millis,
    ) -> Option<Box<[u16]>> {
        let (mut ramps, _) = self.ramping.remove(name).unwrap_or_default();
        // Keys that move to a new instance bit by bit would move twice.
        let window = settings.slow_start.window();
        let window = window.filter(|_| settings.balance != Balance::ConsistentHash)?;
        ramps.follow(before?, instances, settings.balance, window, now);
        let next = ramps.next(window, now)?;
        let factors = ramps.factors(instances, window, now);
        self.ramping.insert(name.clone(), (ramps, next));
        factors
    }
}

/// Whether the service is in panic now, which is told.
fn panic(
    name: &ServiceName,
    service: &mut Service,
    before: Option<&ServiceView>,
    settings: &Settings,
    instances: &[InstanceView],
    now: Millis,
) -> Option<Panic> {
    let was = service.panic.is_some();
    let answered = || before.map_or_else(Vec::new, ServiceView::active);
    let next = Panicking::next(service.panic.take(), settings, instances, answered);
    let (state, panic) = next.unzip();
    service.panic = state;
    if !was && panic.is_none() {
        return None;
    }
    if let Some(before) = before {
        let answered = (0..).zip(&*before.instances).filter(|(i, _)| before.answers(*i));
        for id in answered.map(|(_, old)| &old.instance.id) {
            let left = instances.binary_search_by(|view| view.instance.id.cmp(id));
            let left = left.ok().map(|at| &instances[at]).filter(|view| !service.answers(view));
            left.inspect(|view| view.vitals.withdraw(now));
        }
    }
    match &panic {
        Some(panic) if !was => {
            let (mode, tier) = (panic.mode.as_str(), panic.tier.get());
            let (healthy, total) = (panic.healthy, panic.total);
            tracing::warn!(service = %name, mode, tier, healthy, total, "service is in panic");
        }
        Some(_) => {}
        None => tracing::info!(service = %name, "service is out of panic"),
    }
    panic
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
