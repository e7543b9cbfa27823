//! The usable instances of a service arranged for choosing: selector, tier, weights in force, and
//! then one pool a record type.
//!
//! What every client asks for (A, AAAA, SRV of the main port) is arranged when the view is built;
//! selections by tag, zone or another port when they are first asked for. Nothing here grows with
//! what is asked: only tags, zones and ports that instances have are kept, and of the many
//! combinations of tags a fixed number. They end with the view, at the service's next change.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use rand::Rng;

use crate::balance::hash::instance_hash;
use crate::balance::pool::{Member, Pool, PoolSpec};
use crate::balance::weights::srv_weights;
use crate::model::{
    AnswerMode, Instance, Label, PortName, Protocol, RecordTtl, Settings, SrvTiers,
};
use crate::registry::addresses::Addresses;
use crate::registry::view::{InstanceView, index};

/// Which instances a name asks for, before health and tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector<'q> {
    /// All of them.
    Whole,
    /// Those with every one of these tags.
    Tags(&'q [&'q str]),
    /// Those of this locality zone.
    Zone(&'q str),
}

/// Which port SRV is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortChoice<'q> {
    /// The main port.
    Main,
    /// The main port where it has this protocol.
    MainOf(Protocol),
    /// The port of this name and protocol.
    Named(&'q str, Protocol),
    /// The same, for service bindings: each record type takes turns of its own.
    Bound(&'q str, Protocol),
}

impl PortChoice<'_> {
    /// The number of that port of `instance`.
    #[must_use]
    pub fn of(self, instance: &Instance) -> Option<u16> {
        let port = match self {
            Self::Main => instance.main_port(),
            Self::MainOf(protocol) => instance.main_port().filter(|p| p.protocol == protocol),
            Self::Named(name, protocol) | Self::Bound(name, protocol) => {
                instance.named_port(name, protocol)
            }
        };
        port.map(|p| p.port.get())
    }
}

/// What pools are built from: all instances of a service and their weights in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stock<'v> {
    pub(crate) instances: &'v [InstanceView],
    pub(crate) weights: &'v [u32],
    pub(crate) settings: &'v Settings,
}

impl<'v> Stock<'v> {
    pub(crate) fn published(self, instance: u32) -> impl Iterator<Item = (&'v str, &'v str)> {
        let pairs = self.instances[instance as usize].instance.metadata.iter();
        // RFC 6763 section 6.1: a string has at most 255 bytes, the '=' among them.
        pairs.filter(move |(key, value)| {
            self.settings.txt.publishes(key) && key.len() + 1 + value.len() <= 255
        })
    }
}

/// The pools of one service.
#[derive(Debug)]
pub(crate) struct Pools {
    whole: Selection,
    tags: BTreeMap<Label, OnceLock<Box<Selection>>>,
    zones: BTreeMap<Label, OnceLock<Box<Selection>>>,
    /// Selections by several tags, those that were asked for first.
    combined: Box<[OnceLock<Box<Combined>>]>,
}

/// A selection by several tags.
#[derive(Debug)]
struct Combined {
    /// Sorted, none twice.
    tags: Box<[Box<str>]>,
    selection: Arc<Selection>,
}

impl Pools {
    pub(crate) fn new(stock: Stock<'_>, rng: &mut impl Rng) -> Self {
        let tags = stock.instances.iter().flat_map(|i| i.instance.tags.iter().cloned());
        let zones = stock.instances.iter().filter_map(|i| i.instance.locality.zone.clone());
        let whole = Selection::new(stock, Selector::Whole);
        whole.addresses(stock, Family::V4, rng);
        whole.addresses(stock, Family::V6, rng);
        whole.targets(stock, PortChoice::Main, rng);
        let tags: BTreeMap<_, _> = tags.map(|tag| (tag, OnceLock::new())).collect();
        let combined = if tags.len() > 1 { COMBINED } else { 0 };
        Self {
            whole,
            tags,
            zones: zones.map(|zone| (zone, OnceLock::new())).collect(),
            combined: (0..combined).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) fn whole(&self) -> &Selection {
        &self.whole
    }

    /// The selection for `selector`. All are kept, so that their counters go on, except empty ones
    /// and those by several tags that came when there was no more room.
    pub(crate) fn select<'v>(&'v self, stock: Stock<'v>, selector: Selector<'_>) -> Selected<'v> {
        let kept = match selector {
            Selector::Whole => return Selected::Kept(&self.whole),
            Selector::Zone(zone) => self.zones.get(zone),
            Selector::Tags(tags) => {
                let mut tags = tags.to_vec();
                tags.sort_unstable();
                tags.dedup();
                match tags[..] {
                    [tag] => self.tags.get(tag),
                    _ if tags.iter().any(|tag| !self.tags.contains_key(*tag)) => None,
                    _ => return self.combine(stock, &tags),
                }
            }
        };
        match kept {
            Some(cell) => {
                Selected::Kept(cell.get_or_init(|| Selection::new(stock, selector).into()))
            }
            None => Selected::Made(Selection::of(stock, Vec::new()).into()),
        }
    }

    fn combine<'v>(&'v self, stock: Stock<'v>, tags: &[&str]) -> Selected<'v> {
        let asked = |kept: &Combined| kept.tags.iter().map(|tag| &**tag).eq(tags.to_vec());
        let mut known = self.combined.iter().map_while(OnceLock::get);
        if let Some(kept) = known.find(|kept| asked(kept)) {
            return Selected::Kept(&kept.selection);
        }
        let made = Arc::new(Selection::new(stock, Selector::Tags(tags)));
        if made.usable.is_empty() {
            return Selected::Made(made);
        }
        for cell in &self.combined {
            // Another thread may be faster, with the same tags or others.
            let kept = cell.get_or_init(|| {
                let tags = tags.iter().map(|tag| (*tag).into()).collect();
                Box::new(Combined { tags, selection: Arc::clone(&made) })
            });
            if asked(kept) {
                return Selected::Kept(&kept.selection);
            }
        }
        Selected::Made(made)
    }
}

/// A selection, kept in the view or made for one query.
#[derive(Debug)]
pub enum Selected<'v> {
    /// Kept.
    Kept(&'v Selection),
    /// Made.
    Made(Arc<Selection>),
}

impl Deref for Selected<'_> {
    type Target = Selection;
    fn deref(&self) -> &Selection {
        match self {
            Self::Kept(selection) => selection,
            Self::Made(selection) => selection,
        }
    }
}

/// An address family, and so a record type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A.
    V4,
    /// AAAA.
    V6,
}

impl Family {
    /// Whether `address` is of it.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// The usable instances that match a selector, and their pools.
#[derive(Debug)]
pub struct Selection {
    /// Usable, lowest tier first; the first `active` of them are of the active tier.
    usable: Box<[u32]>,
    active: usize,
    v4: OnceLock<Box<Addresses>>,
    v6: OnceLock<Box<Addresses>>,
    /// Sorted: instances may have very many between them.
    ports: Box<[(PortKey, OnceLock<Box<Targets>>)]>,
    owners: OnceLock<Box<Pool>>,
    texts: OnceLock<Box<[u32]>>,
}

/// A port that some instance of the selection has, or the main one; see [`PortChoice`], of which it
/// has the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum PortKey {
    Main,
    MainOf(Protocol),
    Named(PortName, Protocol),
    Bound(PortName, Protocol),
}

impl PortKey {
    fn choice(&self) -> PortChoice<'_> {
        match self {
            Self::Main => PortChoice::Main,
            Self::MainOf(protocol) => PortChoice::MainOf(*protocol),
            Self::Named(name, protocol) => PortChoice::Named(name.as_str(), *protocol),
            Self::Bound(name, protocol) => PortChoice::Bound(name.as_str(), *protocol),
        }
    }
}

impl Selection {
    fn new(stock: Stock<'_>, selector: Selector<'_>) -> Self {
        let matches = |view: &InstanceView| match selector {
            Selector::Whole => true,
            Selector::Tags(tags) => tags.iter().all(|tag| view.instance.tags.contains(*tag)),
            Selector::Zone(zone) => {
                view.instance.locality.zone.as_ref().is_some_and(|z| z.as_str() == zone)
            }
        };
        let all = stock.instances.iter().enumerate();
        let usable = all.filter(|(_, v)| v.usable() && matches(v)).map(|(i, _)| index(i));
        Self::of(stock, usable.collect())
    }

    fn of(stock: Stock<'_>, mut usable: Vec<u32>) -> Self {
        let tier = |i: &u32| stock.instances[*i as usize].instance.tier;
        usable.sort_by_key(tier);
        let active = usable.partition_point(|i| tier(i) == tier(&usable[0]));
        let mut ports = BTreeSet::from([PortKey::Main]);
        for i in &usable {
            let instance = &stock.instances[*i as usize].instance;
            ports.extend(instance.main_port().map(|port| PortKey::MainOf(port.protocol)));
            for port in &instance.ports {
                let Some(name) = &port.name else { continue };
                ports.insert(PortKey::Named(name.clone(), port.protocol));
                ports.insert(PortKey::Bound(name.clone(), port.protocol));
            }
        }
        Self {
            usable: usable.into(),
            active,
            v4: OnceLock::new(),
            v6: OnceLock::new(),
            ports: ports.into_iter().map(|key| (key, OnceLock::new())).collect(),
            owners: OnceLock::new(),
            texts: OnceLock::new(),
        }
    }

    /// The usable instances of the active tier.
    #[must_use]
    pub fn active(&self) -> &[u32] {
        &self.usable[..self.active]
    }

    /// The pool that answers A or AAAA.
    pub(crate) fn addresses(
        &self,
        stock: Stock<'_>,
        family: Family,
        rng: &mut impl Rng,
    ) -> &Addresses {
        self.addresses_cell(family)
            .get_or_init(|| Addresses::new(stock, self.active(), family, rng).into())
    }

    /// The pool that answers A or AAAA, once it is built; that of a whole service always is.
    #[must_use]
    pub fn built(&self, family: Family) -> Option<&Addresses> {
        self.addresses_cell(family).get().map(|addresses| &**addresses)
    }

    /// The pool that answers SRV for a port, once somebody asked for it; that of the main port
    /// always is.
    #[must_use]
    pub fn built_targets(&self, port: PortChoice<'_>) -> Option<&Targets> {
        self.targets_cell(port)?.1.get().map(|targets| &**targets)
    }

    /// The pool that answers SRV for a port; `None` when no instance here has it.
    pub(crate) fn targets(
        &self,
        stock: Stock<'_>,
        port: PortChoice<'_>,
        rng: &mut impl Rng,
    ) -> Option<&Targets> {
        let (key, cell) = self.targets_cell(port)?;
        let listed = match stock.settings.srv_tiers {
            SrvTiers::Active => self.active(),
            SrvTiers::All => &self.usable,
        };
        Some(cell.get_or_init(|| Targets::new(stock, listed, key.choice(), rng).into()))
    }

    fn addresses_cell(&self, family: Family) -> &OnceLock<Box<Addresses>> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn targets_cell(&self, port: PortChoice<'_>) -> Option<&(PortKey, OnceLock<Box<Targets>>)> {
        let found = self.ports.binary_search_by(|(key, _)| key.choice().cmp(&port)).ok()?;
        Some(&self.ports[found])
    }

    /// The pool of the active instances that says who owns a key whatever they have.
    pub(crate) fn owners(&self, stock: Stock<'_>, rng: &mut impl Rng) -> &Pool {
        self.owners.get_or_init(|| {
            let members = (0..).zip(self.active()).map(|(unit, i)| member(stock, *i, unit));
            let records = vec![1; self.active];
            Pool::new(spec(stock.settings, AnswerMode::All, members.collect(), records), rng).into()
        })
    }

    /// The first of the active instances with each distinct set of published pairs.
    pub(crate) fn texts(&self, stock: Stock<'_>) -> &[u32] {
        self.texts.get_or_init(|| {
            let mut seen: HashSet<Vec<(&str, &str)>, RandomState> = HashSet::default();
            let new = |i: &u32| seen.insert(stock.published(*i).collect());
            self.active().iter().copied().filter(new).collect()
        })
    }
}

/// The instances that SRV lists for one port.
#[derive(Debug)]
pub struct Targets {
    /// Orders them; each is a unit of its own.
    pub pool: Pool,
    /// By unit.
    pub targets: Box<[Target]>,
}

/// One SRV record without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The instance.
    pub instance: u32,
    /// The port asked for.
    pub port: u16,
    /// The instance's tier.
    pub tier: u16,
    /// The SRV weight.
    pub weight: u16,
}

impl Targets {
    fn new(stock: Stock<'_>, listed: &[u32], port: PortChoice<'_>, rng: &mut impl Rng) -> Self {
        let instance = |i: u32| &stock.instances[i as usize].instance;
        let with_port: Vec<(u32, u16)> =
            listed.iter().filter_map(|&i| Some((i, port.of(instance(i))?))).collect();
        let in_force: Vec<u32> =
            with_port.iter().map(|(i, _)| stock.weights[*i as usize]).collect();
        let mut weights = Vec::with_capacity(in_force.len());
        srv_weights(&in_force, stock.settings.srv_weight_max.get(), &mut weights);

        let members = with_port.iter().enumerate();
        let members = members.map(|(unit, (i, _))| member(stock, *i, index(unit))).collect();
        let records = vec![1; with_port.len()];
        let targets = with_port.iter().zip(weights).map(|(&(i, port), weight)| Target {
            instance: i,
            port,
            tier: instance(i).tier.get(),
            weight,
        });
        Self {
            targets: targets.collect(),
            pool: Pool::new(spec(stock.settings, AnswerMode::All, members, records), rng),
        }
    }
}

pub(crate) fn member(stock: Stock<'_>, i: u32, unit: u32) -> Member {
    let view = &stock.instances[i as usize];
    Member {
        hash: instance_hash(view.instance.id.as_str()),
        weight: stock.weights[i as usize],
        base: view.instance.weight.get(),
        meter: Arc::clone(&view.vitals.meter),
        unit,
    }
}

pub(crate) fn spec(
    settings: &Settings,
    answer: AnswerMode,
    members: Vec<Member>,
    records: Vec<u8>,
) -> PoolSpec {
    PoolSpec {
        members,
        records,
        balance: settings.balance,
        answer,
        cached: settings.ttl > RecordTtl::ZERO,
        max_answers: settings.max_answers.get(),
    }
}

/// How many selections by several tags a view keeps. Others are made for each query: right, but with
/// counters that start anew.
const COMBINED: usize = 16;
