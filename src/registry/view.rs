//! What readers see: one immutable view a service, published as a whole whenever it changes.
//!
//! A view never changes. What changes without a new one (the end of a lease, load) lives in atomics
//! that all views of an instance share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::Rng;

use crate::balance::hash::instance_hash;
use crate::balance::owners::Owners;
use crate::balance::pool::Ask;
use crate::balance::traffic::Traffic;
use crate::model::{
    Instance, InstanceId, Locality, Millis, PortName, Protocol, Revision, ServiceName, Settings,
    SettingsPatch, SrvTiers,
};
use crate::registry::addresses::Addresses;
use crate::registry::instance::InstanceView;
use crate::registry::lull::Lull;
use crate::registry::observed::Findings;
use crate::registry::panic::Panic;
use crate::registry::pools::{Pools, Selected, Selector, Stock};
use crate::registry::ramps::Ramp;
use crate::registry::selection::{Family, PortChoice, Selection};
use crate::registry::targets::Targets;

/// A service as it is now.
///
/// In this order, since each query of a large registry finds another view, and none of it near: what
/// an answer needs of it lies together.
#[derive(Debug)]
#[repr(C)]
pub struct ServiceView {
    /// Why health is not believed; `None` while it is.
    pub panic: Option<Box<Panic>>,
    /// The settings in force; most services share those of all.
    pub settings: Arc<Settings>,
    lull: Lull,
    salt: u64,
    pools: Pools,
    /// All instances, by id.
    pub instances: Arc<[InstanceView]>,
    /// The weight in force of each instance, by the same index.
    pub weights: Box<[u32]>,
    /// Its name.
    pub name: ServiceName,
    /// The revision of its last change.
    pub revision: Revision,
    /// Whether the file or an override declares it.
    pub declared: bool,
    /// The override by API; `None` when there is none.
    pub overrides: Option<Arc<SettingsPatch>>,
    /// What slow start makes of weights; `None` while nobody is new.
    pub(super) ramp: Option<Box<Ramp>>,
    /// Why instances are not usable, and how many for each reason: the first that an instance has.
    pub unusable: Box<[(&'static str, usize)]>,
    /// How many of them something was found out about.
    pub found: Findings,
    ports: Box<[(PortName, Protocol)]>,
    /// The protocols of main ports.
    mains: Box<[Protocol]>,
    traffic: Option<Arc<Traffic>>,
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
    pub(crate) settings: Arc<Settings>,
    pub(crate) overrides: Option<Arc<SettingsPatch>>,
    pub(crate) instances: Arc<[InstanceView]>,
    pub(crate) weights: Box<[u32]>,
    pub(crate) panic: Option<Box<Panic>>,
    pub(crate) ramp: Option<Box<Ramp>>,
    pub(crate) traffic: Option<Arc<Traffic>>,
}

/// Among how many instances the first lease to end is looked for.
const FEW: usize = 64;

/// An index into a service's instances; their number is limited far below 2^32.
pub(crate) fn index(i: usize) -> u32 {
    u32::try_from(i).expect("a service has at most 4,000,000,000 instances")
}
