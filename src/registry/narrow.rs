//! Services whose answers hold too few instances for how their traffic is concentrated: when one
//! cache answers many, all of its clients go to the few that it was given.
//!
//! Known of services that report load alone: others are not counted, and cost nothing.
//!
//! Looked at a part of the services at a time; the engine tells the log when one comes or goes, and
//! metrics read which there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::balance::meter::REPORT_TTL;
use crate::balance::pool::Pool;
use crate::model::{Load, Millis, ServiceName};
use crate::registry::command::EngineStats;
use crate::registry::instance::InstanceView;
use crate::registry::selection::Family;
use crate::registry::view::ServiceView;
use crate::registry::views::Views;

/// How many instances an answer of each such service needs.
#[derive(Debug, Default)]
pub struct Narrow(ArcSwap<BTreeMap<ServiceName, usize>>);

impl Narrow {
    /// As of the last look, by service.
    #[must_use]
    pub fn needs(&self) -> Arc<BTreeMap<ServiceName, usize>> {
        self.0.load_full()
    }
}

/// The looking.
#[derive(Debug)]
pub(crate) struct Looks {
    /// Services whose queries are counted.
    counted: BTreeSet<ServiceName>,
    /// Where the next look begins.
    after: Option<ServiceName>,
    looked: Millis,
    stats: Arc<EngineStats>,
}

impl Looks {
    pub(crate) fn new(stats: Arc<EngineStats>) -> Self {
        Self { counted: BTreeSet::new(), after: None, looked: Millis(0), stats }
    }

    /// Notes whether queries for `service` are counted.
    pub(crate) fn note(&mut self, service: &ServiceName, counted: bool) {
        if !counted {
            self.counted.remove(service);
            self.show(service, None);
        } else if !self.counted.contains(service) {
            self.counted.insert(service.clone());
        }
    }

    /// How many more services may have their queries counted.
    pub(crate) fn room(&self) -> usize {
        COUNTED.saturating_sub(self.counted.len())
    }

    /// Looks at the next services, when it is time.
    pub(crate) fn look(&mut self, views: &Views, now: Millis) {
        if now.since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        let from = self.after.take().map_or(Bound::Unbounded, Bound::Excluded);
        let next: Vec<_> =
            self.counted.range((from, Bound::Unbounded)).take(MOST).cloned().collect();
        self.after = next.last().filter(|_| next.len() == MOST).cloned();
        for service in next {
            let Some(view) = views.service(service.as_str()) else { continue };
            let before = self.stats.narrow.0.load().contains_key(&service);
            self.show(&service, needed(&view, before, now));
        }
    }

    fn show(&self, service: &ServiceName, needs: Option<usize>) {
        let shown = self.stats.narrow.0.load();
        let before = shown.get(service).copied();
        if before == needs {
            return;
        }
        match (before, needs) {
            (None, Some(k)) => tracing::warn!(
                %service,
                k,
                "one cache answers so many that answers should hold more instances"
            ),
            (Some(_), None) => tracing::info!(%service, "answers hold instances enough again"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let mut all = BTreeMap::clone(&shown);
        match needs {
            Some(k) => _ = all.insert(service.clone(), k),
            None => _ = all.remove(service),
        }
        self.stats.narrow.0.store(Arc::new(all));
    }
}

/// How many instances the answers of a service need, when that is more than they hold. One that was
/// `narrow` still is until there is room to spare: estimates waver.
fn needed(view: &ServiceView, narrow: bool, now: Millis) -> Option<usize> {
    let utilisation = utilisation(&view.instances, now).unwrap_or(PLANNED);
    let pools =
        [Family::V4, Family::V6].into_iter().filter_map(|family| view.whole().built(family));
    let needed = |pool: &Pool| {
        let k = pool.k_needed(utilisation, now)?;
        let held = if narrow { pool.k() * 4 / 5 } else { pool.k() };
        (k > held).then_some(k)
    };
    pools.filter_map(|addresses| needed(&addresses.pool)).max()
}

/// The mean utilisation of those that report one: of their processors, else of what they can hold.
fn utilisation(instances: &[InstanceView], now: Millis) -> Option<f64> {
    let usable = instances.iter().filter(|view| view.usable());
    let reports = usable.filter_map(|view| view.vitals.meter.reported());
    let of = |load: Load| {
        load.cpu.or_else(|| Some(load.connections? / load.capacity.filter(|c| *c > 0.0)?))
    };
    let fresh = reports.filter(|report| now.since(report.at) < REPORT_TTL);
    let (sum, count) = fresh
        .filter_map(|report| of(report.load))
        .fold((0.0, 0.0), |(sum, count), one| (sum + one, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// What utilisation is taken for where nobody reports it: as high as one plans for.
const PLANNED: f64 = 0.8;

/// How many services have their queries counted at most, in tables of 12 KiB. Others are balanced
/// without what is known of those behind their clients.
pub(crate) const COUNTED: usize = 4_096;

/// How often some services are looked at, and how many.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const MOST: usize = 500;
