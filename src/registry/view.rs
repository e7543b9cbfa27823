//! What readers see: one immutable view a service, published as a whole whenever it changes.
//!
//! Readers never wait: a lookup is one wait-free map read. What changes without a new view (the
//! end of a lease, load) lives in atomics that all views of an instance share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng;

use crate::balance::hash::instance_hash;
use crate::balance::meter::{LazyMeter, Meter};
use crate::balance::owners::Owners;
use crate::balance::pool::Ask;
use crate::balance::traffic::Traffic;
use crate::model::{
    Admin, Instance, InstanceId, Load, Locality, Millis, PortName, Protocol, Revision, ServiceName,
    Settings, SettingsPatch, SrvTiers, Status,
};
use crate::registry::addresses::Addresses;
use crate::registry::by_name::{ByName, Pinned};
use crate::registry::checks::CheckView;
use crate::registry::index::{Index, Owner, ServiceType};
use crate::registry::lull::Lull;
use crate::registry::observed::{Findings, Observed};
use crate::registry::owners::OwnerNumber;
use crate::registry::panic::Panic;
use crate::registry::pools::{Pools, Selected, Selector, Stock};
use crate::registry::ramps::Ramp;
use crate::registry::selection::{Family, PortChoice, Selection};
use crate::registry::targets::Targets;

/// Who says that an instance exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Registered by API.
    Api,
    /// Declared in the configuration file.
    File,
}

/// An instance as it is now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InstanceView {
    /// Its fields; for a declared one with the operator's admin and status in their place.
    pub instance: Arc<Instance>,
    /// Who says that it exists.
    pub source: Source,
    /// Handed out to the client that registered it; 0 for a declared one.
    pub generation: u64,
    /// Who owns it; `None` where nobody had to say who they are, and of a declared one.
    pub owner: Option<OwnerNumber>,
    /// The revision of its last change.
    pub revision: Revision,
    /// Its lease ended; only declared instances outlive that.
    pub lapsed: bool,
    /// What this server found out about it; `None` when that is nothing.
    pub observed: Option<Arc<Observed>>,
    /// What changes without a new view.
    pub vitals: Arc<Vitals>,
}

impl InstanceView {
    /// Whether it may be answered.
    #[must_use]
    pub fn usable(&self) -> bool {
        !self.lapsed
            && self.instance.admin == Admin::Enabled
            && self.instance.status != Status::Critical
            && self.observed.iter().all(|observed| observed.reasons().next().is_none())
    }

    /// Why it is not usable; empty when it is.
    #[must_use]
    pub fn reasons(&self) -> Vec<&'static str> {
        let admin = match self.instance.admin {
            Admin::Enabled => None,
            Admin::Draining => Some("draining"),
            Admin::Disabled => Some("disabled"),
        };
        let status = (self.instance.status == Status::Critical).then_some("critical");
        let lease = self.lapsed.then_some("lease expired");
        let found = self.observed.iter().flat_map(|observed| observed.reasons());
        [lease, admin, status].into_iter().flatten().chain(found).collect()
    }

    /// Its checks and what they say.
    #[must_use]
    pub fn checks(&self) -> &[CheckView] {
        self.observed.as_deref().map_or(&[], |observed| &observed.checks)
    }

    /// Takes note of a heartbeat that was read `at` this time.
    pub(crate) fn hear(&self, at: Millis) {
        self.checks().iter().for_each(|view| view.hear(at));
    }

    /// Makes the last heartbeat one that came `at` this time, if any came.
    pub(crate) fn hear_again(&self, at: Millis) {
        let heard = self.checks().iter().filter(|view| view.latest.at().is_some());
        heard.for_each(|view| view.hear(at));
    }

    /// What is left of its lease; `None` when it has none.
    #[must_use]
    pub fn remaining(&self, now: Millis) -> Option<Duration> {
        self.vitals.deadline().map(|deadline| deadline.since(now))
    }

    /// Its last load report.
    #[must_use]
    pub fn load(&self) -> Option<Load> {
        self.vitals.meter.reported().map(|report| report.load)
    }
}

/// The part of an instance that heartbeats move: shared by all its views, read without waiting.
#[derive(Debug)]
pub struct Vitals {
    deadline: AtomicU64,
    scheduled: AtomicU64,
    withdrawn: AtomicU64,
    pub(crate) meter: LazyMeter,
}

impl Vitals {
    pub(crate) fn new() -> Self {
        let never = || AtomicU64::new(Millis::NEVER.0);
        Self {
            deadline: never(),
            scheduled: never(),
            withdrawn: AtomicU64::new(0),
            meter: LazyMeter::default(),
        }
    }

    /// Its load, and what was handed out since it was reported.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        self.meter.meter()
    }

    /// When the lease ends; `None` without one.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let deadline = Millis(self.deadline.load(Ordering::Relaxed));
        (deadline != Millis::NEVER).then_some(deadline)
    }

    pub(crate) fn set_deadline(&self, deadline: Option<Millis>) {
        self.deadline.store(deadline.unwrap_or(Millis::NEVER).0, Ordering::Relaxed);
    }

    /// When it was last taken out of the answers; zero when it never was in any.
    pub(crate) fn withdrawn(&self) -> Millis {
        Millis(self.withdrawn.load(Ordering::Relaxed))
    }

    /// Notes that from `now` on it is not answered.
    pub(crate) fn withdraw(&self, now: Millis) {
        self.withdrawn.store(now.0, Ordering::Relaxed);
    }

    /// When the timer looks at this lease next. Only the engine reads and writes it.
    pub(crate) fn scheduled(&self) -> Millis {
        Millis(self.scheduled.load(Ordering::Relaxed))
    }

    pub(crate) fn set_scheduled(&self, at: Millis) {
        self.scheduled.store(at.0, Ordering::Relaxed);
    }
}

/// A service as it is now.
#[derive(Debug)]
pub struct ServiceView {
    /// Its name.
    pub name: ServiceName,
    /// The revision of its last change.
    pub revision: Revision,
    /// Whether the file or an override declares it.
    pub declared: bool,
    /// The settings in force.
    pub settings: Settings,
    /// The override by API; `None` when there is none.
    pub overrides: Option<Arc<SettingsPatch>>,
    /// All instances, by id.
    pub instances: Arc<[InstanceView]>,
    /// The weight in force of each instance, by the same index.
    pub weights: Box<[u32]>,
    /// Why health is not believed; `None` while it is.
    pub panic: Option<Box<Panic>>,
    /// What slow start makes of weights; `None` while nobody is new.
    pub(super) ramp: Option<Box<Ramp>>,
    /// Why instances are not usable, and how many for each reason: the first that an instance has.
    pub unusable: Box<[(&'static str, usize)]>,
    /// How many of them something was found out about.
    pub found: Findings,
    ports: Box<[(PortName, Protocol)]>,
    /// The protocols of main ports.
    mains: Box<[Protocol]>,
    pools: Pools,
    traffic: Option<Arc<Traffic>>,
    lull: Lull,
    salt: u64,
}

impl ServiceView {
    pub(crate) fn new(parts: Parts, rng: &mut impl Rng) -> Self {
        let Parts {
            name,
            revision,
            declared,
            settings,
            overrides,
            instances,
            weights,
            panic,
            ramp,
            traffic,
        } = parts;
        let stock = Stock {
            instances: &instances,
            weights: &weights,
            settings: &settings,
            panic: panic.as_deref(),
            ramp: ramp.as_ref().map(|ramp| &*ramp.factors),
            weighed: None,
            traffic: traffic.as_ref(),
        };
        let pools = Pools::new(stock, rng);
        let named = instances.iter().flat_map(|view| &view.instance.ports);
        let ports: BTreeSet<_> =
            named.filter_map(|port| Some((port.name.clone()?, port.protocol))).collect();
        let ports = ports.into_iter().collect();
        let mut unusable = BTreeMap::new();
        for reason in instances.iter().filter_map(|i| i.reasons().into_iter().next()) {
            *unusable.entry(reason).or_insert(0) += 1;
        }
        let unusable = unusable.into_iter().collect();
        let found = Findings::of(&instances);
        let mains = instances.iter().filter_map(|view| view.instance.main_port());
        let mains: BTreeSet<_> = mains.map(|port| port.protocol).collect();
        let mains = mains.into_iter().collect();
        let salt = instance_hash(name.as_str());
        Self {
            salt,
            name,
            revision,
            declared,
            settings,
            overrides,
            instances,
            weights,
            panic,
            ramp,
            unusable,
            found,
            ports,
            mains,
            pools,
            traffic,
            lull: Lull::default(),
        }
    }

    /// A number that tells this service's memory of addresses from another's.
    #[must_use]
    #[inline]
    pub fn salt(&self) -> u64 {
        self.salt
    }

    /// Whether any registered instance, usable or not, has the port.
    #[must_use]
    pub fn has_port(&self, name: &str, protocol: Protocol) -> bool {
        let asked = (name, protocol);
        self.ports.binary_search_by(|(own, of)| (own.as_str(), *of).cmp(&asked)).is_ok()
    }

    /// Whether the main port of any registered instance, usable or not, has this protocol.
    #[must_use]
    pub fn has_main(&self, protocol: Protocol) -> bool {
        self.mains.contains(&protocol)
    }

    /// The protocol of the port `name`: TCP where any registered instance has it so, else UDP, else
    /// SCTP. One for the whole service, so that nobody is sent to a port of another transport.
    #[must_use]
    pub fn port_protocol(&self, name: &str) -> Option<Protocol> {
        let first = self.ports.partition_point(|(own, _)| own.as_str() < name);
        self.ports.get(first).filter(|(own, _)| own.as_str() == name).map(|(_, of)| *of)
    }

    /// All usable instances.
    #[must_use]
    pub fn whole(&self) -> &Selection {
        self.pools.whole()
    }

    /// The usable instances that `selector` matches.
    #[must_use]
    pub fn select(&self, selector: Selector<'_>) -> Selected<'_> {
        self.pools.select(self.stock(), selector)
    }

    /// `selection` as clients at `client` see it: itself where no instance is near them.
    #[must_use]
    pub fn seen_from<'s>(&self, selection: &'s Selection, client: &Locality) -> &'s Selection {
        selection.seen_from(self.stock(), client)
    }

    /// The weights in force in an answer made of the instances of `selection` in these tiers that have
    /// what is asked for, by the index of [`instances`](Self::instances), and which of these it leaves
    /// out, since nearer ones are enough. `None` when they are those of everybody.
    #[must_use]
    pub fn weighed(
        &self,
        selection: &Selection,
        tiers: SrvTiers,
        has: impl Fn(&Instance) -> bool,
    ) -> Option<Vec<(u32, bool)>> {
        selection.weighed(self.stock(), tiers, has)
    }

    /// The pool of `selection` that answers A or AAAA.
    pub fn addresses<'s>(
        &self,
        selection: &'s Selection,
        family: Family,
        rng: &mut impl Rng,
    ) -> &'s Addresses {
        selection.addresses(self.stock(), family, rng)
    }

    /// The pool of `selection` that answers SRV; `None` when no instance of it has the port.
    pub fn targets<'s>(
        &self,
        selection: &'s Selection,
        port: PortChoice<'_>,
        rng: &mut impl Rng,
    ) -> Option<&'s Targets> {
        selection.targets(self.stock(), port, rng)
    }

    /// Who owns a key among the active instances of `selection`; its units are their places there.
    #[must_use]
    pub fn owners<'s>(&self, selection: &'s Selection) -> &'s Owners {
        selection.owners(self.stock())
    }

    /// The unit of `addresses` that owns a key, whatever the algorithm.
    #[must_use]
    pub fn owner(&self, addresses: &Addresses, key: u64, ask: &Ask) -> Option<u32> {
        addresses.owners(self.stock()).owner(key, ask)
    }

    /// Every unit of `targets` by its rank for a key, whatever the algorithm, the owner first. `out`
    /// is cleared first.
    pub fn ranked(&self, targets: &Targets, key: u64, ask: &Ask, out: &mut Vec<u32>) {
        targets.owners(self.stock()).ranked(key, ask, out);
    }

    /// The active instances of `selection` that say something different each: those of its TXT.
    #[must_use]
    pub fn texts<'s>(&self, selection: &'s Selection) -> &'s [u32] {
        selection.texts(self.stock())
    }

    /// The metadata of an instance that DNS publishes: pairs that fit one string of TXT.
    pub fn published(&self, instance: u32) -> impl Iterator<Item = (&str, &str)> {
        self.stock().published(instance)
    }

    fn stock(&self) -> Stock<'_> {
        Stock {
            instances: &self.instances,
            weights: &self.weights,
            settings: &self.settings,
            panic: self.panic.as_deref(),
            ramp: self.ramp.as_ref().map(|ramp| &*ramp.factors),
            weighed: None,
            traffic: self.traffic.as_ref(),
        }
    }

    /// Whether an instance may be answered: a usable one, but for what a panic makes of it.
    #[must_use]
    pub fn answers(&self, instance: u32) -> bool {
        self.stock().answers(instance as usize)
    }

    /// The ids of the instances that are answered: those of the active tier.
    pub(crate) fn active(&self) -> Vec<InstanceId> {
        let active = self.whole().active().iter();
        active.map(|i| self.instances[*i as usize].instance.id.clone()).collect()
    }

    /// The instance with this id, and where it is in `instances`.
    #[must_use]
    pub fn instance(&self, id: &str) -> Option<(u32, &InstanceView)> {
        let found = self.instances.binary_search_by(|i| i.instance.id.as_str().cmp(id)).ok()?;
        Some((index(found), &self.instances[found]))
    }

    /// Whether every lease has at least the TTL of the service's records left. `false` also when
    /// that is not known, since finding out would cost more than an answer.
    #[must_use]
    #[inline]
    pub fn leases_outlast_records(&self, now: Millis) -> bool {
        self.lull.holds(now, || {
            if self.instances.len() > FEW {
                return Millis(0);
            }
            // A declared instance whose lease is over is still there; nothing of it runs out.
            let leased = self.instances.iter().filter(|view| !view.lapsed);
            let first = leased.filter_map(|view| view.vitals.deadline()).min();
            let ttl = u64::try_from(self.settings.ttl.get().as_millis()).unwrap_or(u64::MAX);
            Millis(first.unwrap_or(Millis::NEVER).0.saturating_sub(ttl))
        })
    }

    /// How many instances may be answered.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.instances.len() - self.unusable.iter().map(|(_, count)| count).sum::<usize>()
    }
}

/// What a [`ServiceView`] is made of.
pub(crate) struct Parts {
    pub(crate) name: ServiceName,
    pub(crate) revision: Revision,
    pub(crate) declared: bool,
    pub(crate) settings: Settings,
    pub(crate) overrides: Option<Arc<SettingsPatch>>,
    pub(crate) instances: Arc<[InstanceView]>,
    pub(crate) weights: Box<[u32]>,
    pub(crate) panic: Option<Box<Panic>>,
    pub(crate) ramp: Option<Box<Ramp>>,
    pub(crate) traffic: Option<Arc<Traffic>>,
}

/// The views of all services. Readers look up by name; only the engine publishes.
#[derive(Debug)]
pub struct Views {
    services: ByName,
    index: Index,
    revision: AtomicU64,
}

impl Views {
    pub(crate) fn new() -> Self {
        Self { services: ByName::default(), index: Index::default(), revision: AtomicU64::new(0) }
    }

    /// Calls `read` with the view of the service `name`, without waiting and without touching a
    /// shared reference count. `read` must not block.
    pub fn read<R>(&self, name: &str, read: impl FnOnce(Option<&ServiceView>) -> R) -> R {
        read(self.pin().view(name.as_bytes()))
    }

    /// The views for several lookups.
    #[must_use]
    pub fn pin(&self) -> Pinned<'_> {
        self.services.pin()
    }

    /// The view of the service `name`, to keep.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<Arc<ServiceView>> {
        self.services.get(name.as_bytes())
    }

    /// All views, in no order. Each is consistent; together they are only nearly of one time.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ServiceView>> {
        self.services.all()
    }

    /// Calls `read` with the types of service that there are, sorted; of very many the first, more
    /// than a reply can hold.
    pub fn read_types<R>(&self, read: impl FnOnce(&[ServiceType]) -> R) -> R {
        self.index.types(read)
    }

    /// Calls `read` with the instances that have `address`, usable or not, sorted; of very many the
    /// first, more than a reply can hold; none when it is in no range that is looked up. They may be gone from their service's view by now.
    pub fn read_owners<R>(&self, address: IpAddr, read: impl FnOnce(&[Owner]) -> R) -> R {
        self.index.owners(address, read)
    }

    /// How many services are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether no service is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The registry's revision: every change up to it is visible.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn publish(&self, view: ServiceView) {
        self.services.insert(view);
    }

    pub(crate) fn forget(&self, name: &ServiceName) {
        self.services.remove(name);
    }

    pub(crate) fn set_revision(&self, revision: Revision) {
        self.revision.store(revision.0, Ordering::Release);
    }
}

/// Among how many instances the first lease to end is looked for.
const FEW: usize = 64;

/// An index into a service's instances; their number is limited far below 2^32.
pub(crate) fn index(i: usize) -> u32 {
    u32::try_from(i).expect("a service has at most 4,000,000,000 instances")
}
