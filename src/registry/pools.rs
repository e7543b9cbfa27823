//! The usable instances of a service arranged for choosing: selector, tier, weights in force, and
//! then one pool a record type.
//!
//! What every client asks for (A, AAAA, SRV of the main port) is arranged when the view is built;
//! selections by tag, zone or another port when they are first asked for. Nothing here grows with
//! what is asked: only tags, zones and ports that instances have are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use rand::Rng;

use crate::balance::hash::instance_hash;
use crate::balance::pool::{Member, Pool, PoolSpec};
use crate::balance::weights::srv_weights;
use crate::model::{
    AnswerMode, Instance, Label, PortName, Protocol, RecordTtl, Settings, SrvTiers,
};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice<'q> {
    /// The main port.
    Main,
    /// The main port where it has this protocol.
    MainOf(Protocol),
    /// The port of this name and protocol.
    Named(&'q str, Protocol),
}

impl PortChoice<'_> {
    /// The number of that port of `instance`.
    #[must_use]
    pub fn of(self, instance: &Instance) -> Option<u16> {
        let port = match self {
            Self::Main => instance.main_port(),
            Self::MainOf(protocol) => instance.main_port().filter(|p| p.protocol == protocol),
            Self::Named(name, protocol) => instance.named_port(name, protocol),
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

/// The pools of one service.
#[derive(Debug)]
pub(crate) struct Pools {
    whole: Selection,
    tags: BTreeMap<Label, OnceLock<Selection>>,
    zones: BTreeMap<Label, OnceLock<Selection>>,
}

impl Pools {
    pub(crate) fn new(stock: Stock<'_>, rng: &mut impl Rng) -> Self {
        let tags = stock.instances.iter().flat_map(|i| i.instance.tags.iter().cloned());
        let zones = stock.instances.iter().filter_map(|i| i.instance.locality.zone.clone());
        let whole = Selection::new(stock, Selector::Whole);
        whole.addresses(stock, Family::V4, rng);
        whole.addresses(stock, Family::V6, rng);
        whole.targets(stock, PortChoice::Main, rng);
        Self {
            whole,
            tags: tags.map(|tag| (tag, OnceLock::new())).collect(),
            zones: zones.map(|zone| (zone, OnceLock::new())).collect(),
        }
    }

    /// The selection for `selector`: a kept one, or one made for this call (several tags at once,
    /// or a tag that nobody has), whose counters start anew.
    pub(crate) fn select<'v>(&'v self, stock: Stock<'v>, selector: Selector<'_>) -> Selected<'v> {
        let kept = match selector {
            Selector::Whole => return Selected::Kept(&self.whole),
            Selector::Tags([tag]) => self.tags.get(*tag),
            Selector::Tags(_) => None,
            Selector::Zone(zone) => self.zones.get(zone),
        };
        match kept {
            Some(cell) => Selected::Kept(cell.get_or_init(|| Selection::new(stock, selector))),
            None => Selected::Made(Box::new(Selection::new(stock, selector))),
        }
    }
}

/// A selection, kept in the view or made for one query.
#[derive(Debug)]
pub enum Selected<'v> {
    /// Kept.
    Kept(&'v Selection),
    /// Made.
    Made(Box<Selection>),
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
    v4: OnceLock<Addresses>,
    v6: OnceLock<Addresses>,
    ports: Box<[(PortKey, OnceLock<Targets>)]>,
}

/// A port that some instance of the selection has, or the main one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum PortKey {
    Main,
    MainOf(Protocol),
    Named(PortName, Protocol),
}

impl PortKey {
    fn is(&self, choice: PortChoice<'_>) -> bool {
        match (self, choice) {
            (Self::Main, PortChoice::Main) => true,
            (Self::MainOf(mine), PortChoice::MainOf(theirs)) => *mine == theirs,
            (Self::Named(name, mine), PortChoice::Named(asked, theirs)) => {
                name.as_str() == asked && *mine == theirs
            }
            _ => false,
        }
    }

    fn choice(&self) -> PortChoice<'_> {
        match self {
            Self::Main => PortChoice::Main,
            Self::MainOf(protocol) => PortChoice::MainOf(*protocol),
            Self::Named(name, protocol) => PortChoice::Named(name.as_str(), *protocol),
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
        let tier = |i: &u32| stock.instances[*i as usize].instance.tier;
        let all = stock.instances.iter().enumerate();
        let mut usable: Vec<u32> =
            all.filter(|(_, v)| v.usable() && matches(v)).map(|(i, _)| index(i)).collect();
        usable.sort_by_key(tier);
        let active = usable.partition_point(|i| tier(i) == tier(&usable[0]));
        let mut ports = BTreeSet::from([PortKey::Main]);
        for i in &usable {
            let instance = &stock.instances[*i as usize].instance;
            ports.extend(instance.main_port().map(|port| PortKey::MainOf(port.protocol)));
            ports.extend(instance.ports.iter().filter_map(|port| {
                port.name.clone().map(|name| PortKey::Named(name, port.protocol))
            }));
        }
        Self {
            usable: usable.into(),
            active,
            v4: OnceLock::new(),
            v6: OnceLock::new(),
            ports: ports.into_iter().map(|key| (key, OnceLock::new())).collect(),
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
        let cell = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        cell.get_or_init(|| Addresses::new(stock, self.active(), family, rng))
    }

    /// The pool that answers SRV for a port; `None` when no instance here has it.
    pub(crate) fn targets(
        &self,
        stock: Stock<'_>,
        port: PortChoice<'_>,
        rng: &mut impl Rng,
    ) -> Option<&Targets> {
        let (key, cell) = self.ports.iter().find(|(key, _)| key.is(port))?;
        let listed = match stock.settings.srv_tiers {
            SrvTiers::Active => self.active(),
            SrvTiers::All => &self.usable,
        };
        Some(cell.get_or_init(|| Targets::new(stock, listed, key.choice(), rng)))
    }
}

/// The addresses of one family, in units that share none.
#[derive(Debug)]
pub struct Addresses {
    /// Chooses among the units.
    pub pool: Pool,
    units: Box<[Unit]>,
    addresses: Box<[IpAddr]>,
    instances: Box<[u32]>,
}

/// Where a unit's addresses and instances are.
#[derive(Debug)]
struct Unit {
    addresses: Range<u32>,
    instances: Range<u32>,
}

impl Addresses {
    fn new(stock: Stock<'_>, active: &[u32], family: Family, rng: &mut impl Rng) -> Self {
        let of = |i: u32| {
            let all = stock.instances[i as usize].instance.addresses.iter();
            all.map(|a| a.ip()).filter(move |ip| family.has(*ip))
        };
        let members: Vec<u32> =
            active.iter().copied().filter(|i| of(*i).next().is_some()).collect();
        let groups = sharing_groups(&members, of);

        let mut units = Vec::with_capacity(groups.len());
        let (mut addresses, mut instances) = (Vec::new(), Vec::new());
        let (mut pool_members, mut records) = (Vec::new(), Vec::new());
        for group in groups {
            let (from_address, from_instance) = (addresses.len(), instances.len());
            for i in group {
                for ip in of(i) {
                    if !addresses[from_address..].contains(&ip) {
                        addresses.push(ip);
                    }
                }
                instances.push(i);
                pool_members.push(member(stock, i, index(units.len())));
            }
            records.push(u8::try_from(addresses.len() - from_address).unwrap_or(u8::MAX));
            units.push(Unit {
                addresses: index(from_address)..index(addresses.len()),
                instances: index(from_instance)..index(instances.len()),
            });
        }
        let spec = spec(stock.settings, stock.settings.answer, pool_members, records);
        Self {
            pool: Pool::new(spec, rng),
            units: units.into(),
            addresses: addresses.into(),
            instances: instances.into(),
        }
    }

    /// The addresses of `unit`.
    #[must_use]
    pub fn of(&self, unit: u32) -> &[IpAddr] {
        let Range { start, end } = self.units[unit as usize].addresses;
        &self.addresses[start as usize..end as usize]
    }

    /// The instances of `unit`.
    #[must_use]
    pub fn instances(&self, unit: u32) -> &[u32] {
        let Range { start, end } = self.units[unit as usize].instances;
        &self.instances[start as usize..end as usize]
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

fn member(stock: Stock<'_>, i: u32, unit: u32) -> Member {
    let view = &stock.instances[i as usize];
    Member {
        hash: instance_hash(view.instance.id.as_str()),
        weight: stock.weights[i as usize],
        base: view.instance.weight.get(),
        meter: Arc::clone(&view.vitals.meter),
        unit,
    }
}

fn spec(
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

/// Splits `members` into groups that share no address with each other: instances with an address in
/// common are answered as one. Groups and their members keep the order given.
fn sharing_groups<I: Iterator<Item = IpAddr>>(
    members: &[u32],
    addresses: impl Fn(u32) -> I,
) -> Vec<Vec<u32>> {
    // Union-find over positions in `members`; the smaller position is the root.
    let mut parent: Vec<usize> = (0..members.len()).collect();
    fn root(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    let mut first_with: HashMap<IpAddr, usize, foldhash::fast::RandomState> = HashMap::default();
    for (at, member) in members.iter().enumerate() {
        for ip in addresses(*member) {
            let other = *first_with.entry(ip).or_insert(at);
            let (mine, theirs) = (root(&mut parent, at), root(&mut parent, other));
            parent[mine.max(theirs)] = mine.min(theirs);
        }
    }
    let mut group_of: Vec<Option<usize>> = vec![None; members.len()];
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for (at, member) in members.iter().enumerate() {
        let root = root(&mut parent, at);
        let group = *group_of[root].get_or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(*member);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_that_share_an_address_are_one_group() {
        let addresses: [&[&str]; 5] = [
            &["10.0.0.1"],
            &["10.0.0.2", "10.0.0.3"],
            &["10.0.0.1"],
            &["10.0.0.4"],
            &["10.0.0.3", "10.0.0.4"],
        ];
        let of = |i: u32| addresses[i as usize].iter().map(|a| a.parse().unwrap());

        assert_eq!(sharing_groups(&[0, 1, 2, 3, 4], of), [vec![0, 2], vec![1, 3, 4]]);
        assert_eq!(sharing_groups(&[0, 1, 2, 3], of), [vec![0, 2], vec![1], vec![3]]);
    }
}
