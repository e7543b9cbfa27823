//! From state to views: builds what changed anew, hands it to readers, tells watchers.
//!
//! Only the services that changed are built, so a change costs what its service costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::SmallRng;

use crate::balance::in_force::{Reports, Seat, in_force, moved};
use crate::balance::ramps::Ramps;
use crate::balance::slow_start;
use crate::balance::traffic::Traffic;
use crate::model::{
    AnswerMode, Balance, HotKeyReplicas, Millis, Network, RecordTtl, ServiceName, Settings,
};
use crate::registry::command::EngineStats;
use crate::registry::index::Indexer;
use crate::registry::instance::InstanceView;
use crate::registry::journal::Journal;
use crate::registry::narrow::Looks;
use crate::registry::panic::{Panic, Panicking};
use crate::registry::ramps::{Ramp, follow};
use crate::registry::service::Service;
use crate::registry::state::State;
use crate::registry::totals::Totals;
use crate::registry::view::{Parts, ServiceView};
use crate::registry::views::Views;

/// The writing end of the views and the journal.
pub(crate) struct Publisher {
    views: Arc<Views>,
    journal: Arc<Journal>,
    indexer: Indexer,
    /// The settings of services that have none of their own.
    defaults: Arc<Settings>,
    looks: Looks,
    rng: SmallRng,
    /// Services with load reports.
    reporting: BTreeMap<ServiceName, Reports>,
    /// Services with instances that start slowly, and when the next of their weights grows.
    ramping: BTreeMap<ServiceName, (Ramps, Millis)>,
    /// How many services are in panic.
    panicking: usize,
    totals: Totals,
}

impl Publisher {
    pub(crate) fn new(
        views: Arc<Views>,
        journal: Arc<Journal>,
        stats: Arc<EngineStats>,
        rng: SmallRng,
    ) -> Self {
        let indexer = Indexer::default();
        Self {
            views,
            journal,
            indexer,
            defaults: Arc::default(),
            rng,
            reporting: BTreeMap::new(),
            ramping: BTreeMap::new(),
            panicking: 0,
            looks: Looks::new(stats),
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
                    self.looks.note(name, service.traffic.is_some());
                    self.indexer.note(self.views.index(), before.as_deref(), Some(&view));
                    self.totals.note(name, before.as_deref(), Some(&view));
                    self.views.publish(view);
                    built += 1;
                }
                None => {
                    self.ramping.remove(name);
                    self.indexer.note(self.views.index(), before.as_deref(), None);
                    self.totals.note(name, before.as_deref(), None);
                    self.looks.note(name, false);
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
            Some(reports) => reports.note(now),
            None => {
                self.reporting.insert(service.clone(), Reports::since(now));
            }
        }
    }

    /// Touches the services whose weights in force have moved, with the load reported or with the age
    /// of their instances. Neither is a revision.
    pub(crate) fn reweigh(&mut self, state: &mut State, now: Millis) {
        let grown = self.ramping.iter().filter(|(_, (_, next))| *next <= now);
        let mut reweighed: Vec<ServiceName> = grown.map(|(name, _)| name.clone()).collect();
        let mut room = self.looks.room();
        self.reporting.retain(|name, reports| {
            let Some(service) = state.services.get_mut(name) else { return false };
            if !reports.look(service.instances.len(), now) {
                return true;
            }
            let instances = service.instances.show();
            let published = self.views.service(name.as_str());
            let settings = service.settings(&state.defaults);
            // Queries are counted from the first report on.
            let uncounted = service.traffic.is_none()
                && depends_on_traffic(&settings, instances.len())
                && room > 0;
            room -= usize::from(uncounted);
            // And until they have gone stale.
            let over = reports.over(now);
            let forgotten = over && service.traffic.is_some();
            let published = published.as_ref().map(|view| view.balanced());
            let (seats, dynamic) = (seats(&instances), &mut service.dynamic);
            let moved = moved(settings.balance, settings.ttl, &seats, dynamic, published, now);
            if moved || uncounted || forgotten {
                reweighed.push(name.clone());
            }
            !over
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
        before: Option<&ServiceView>,
        defaults: &Settings,
        now: Millis,
    ) -> ServiceView {
        let settings = self.share(service.settings(defaults), defaults);
        let instances = service.instances.show();
        let panic = panic(name, service, before, &settings, &instances, now);
        let Settings { balance, ttl, .. } = *settings;
        let mut weights =
            in_force(balance, ttl, &seats(&instances), service.dynamic.as_deref(), now);
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
        let ttl = ttl.get();
        service.traffic = service.traffic.take().filter(|traffic| traffic.record_ttl() == ttl);
        let reports = self.reporting.contains_key(name);
        if !reports || !depends_on_traffic(&settings, instances.len()) {
            service.traffic = None;
        } else if service.traffic.is_none() && self.looks.room() > 0 {
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
            panic: panic.map(Box::new),
            ramp,
            traffic: service.traffic.clone(),
        };
        ServiceView::new(parts, &mut self.rng)
    }

    /// One copy of `settings` for all services that have nothing of their own.
    fn share(&mut self, settings: Settings, defaults: &Settings) -> Arc<Settings> {
        if *self.defaults != *defaults {
            self.defaults = Arc::new(defaults.clone());
        }
        if settings == *defaults { Arc::clone(&self.defaults) } else { Arc::new(settings) }
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
        follow(&mut ramps, before?, instances, settings.balance, window, now);
        let next = ramps.next(window, now)?;
        let factor = |view: &InstanceView| ramps.factor(&view.instance.id, window, now);
        let factors = instances.iter().map(factor).collect();
        self.ramping.insert(name.clone(), (ramps, next));
        Some(factors)
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

/// Whether it makes a difference who asks, and how much, once load is reported: where caches may keep
/// answers of a part of the instances, and where keys may be too much for one.
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
