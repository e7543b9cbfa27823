//! The addresses that answer A or AAAA: instances that share one are answered as one.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::{Deref, Range};
use std::sync::OnceLock;

use foldhash::fast::RandomState;
use rand::Rng;

use crate::balance::owners::Owners;
use crate::balance::pool::{Member, Pool};
use crate::balance::traffic::Asked;
use crate::registry::pools::{Stock, member, spec};
use crate::registry::selection::Family;
use crate::registry::view::index;

/// The addresses of one family, in units that share none.
#[derive(Debug)]
pub struct Addresses {
    /// Chooses among the units.
    pub pool: Pool,
    octets: Octets,
    instances: Box<[u32]>,
    /// `None` when each unit is one instance with one address, as nearly always.
    units: Option<Box<[Unit]>>,
    /// For names with a key, where the pool has none.
    owners: OnceLock<Box<Owners>>,
}

#[derive(Debug)]
enum Octets {
    V4(Box<[[u8; 4]]>),
    V6(Box<[[u8; 16]]>),
}

/// Where a unit's addresses and instances are.
#[derive(Debug)]
struct Unit {
    addresses: Range<u32>,
    instances: Range<u32>,
}

impl Addresses {
    pub(super) fn new(
        stock: Stock<'_>,
        active: &[u32],
        family: Family,
        rng: &mut impl Rng,
    ) -> Self {
        let of = |i: u32| {
            let all = stock.instances[i as usize].instance.addresses.iter();
            all.map(|a| a.ip()).filter(move |ip| family.has(*ip))
        };
        let mut addresses = Vec::with_capacity(active.len());
        let mut instances = Vec::with_capacity(active.len());
        for &i in active {
            let from = addresses.len();
            addresses.extend(of(i));
            if addresses.len() > from {
                instances.push(i);
            }
        }
        let single = addresses.len() == instances.len() && distinct(&addresses);
        let mut records = vec![1; instances.len()];
        let mut units = None;
        let mut members: Vec<Member<'_>> = Vec::with_capacity(instances.len());
        if single {
            members.extend((0..).zip(&instances).map(|(unit, i)| member(stock, *i, unit)));
        } else {
            let grouped = Grouped::new(&instances, of);
            (addresses, instances, records) =
                (grouped.addresses, grouped.instances, grouped.records);
            for (unit, of) in (0..).zip(&grouped.units) {
                let of = &instances[of.instances.start as usize..of.instances.end as usize];
                members.extend(of.iter().map(|i| member(stock, *i, unit)));
            }
            units = Some(grouped.units.into());
        }
        let spec = spec(stock, stock.settings.answer, members, records);
        Self {
            pool: stock.pool(spec, family.asked(), rng),
            octets: Octets::of(family, &addresses),
            instances: instances.into(),
            units,
            owners: OnceLock::new(),
        }
    }

    fn asked(&self) -> Asked {
        match self.octets {
            Octets::V4(_) => Asked::V4,
            Octets::V6(_) => Asked::V6,
        }
    }

    /// To be kept: where there are none, what all services without any share.
    pub(super) fn kept(self) -> Kept {
        /// One for each answer mode: who asks is told how answers would be chosen.
        static NONE: [OnceLock<Addresses>; 6] = [const { OnceLock::new() }; 6];
        if self.pool.is_empty() {
            let mode = self.pool.mode() as usize;
            return Kept::None(NONE[mode].get_or_init(|| self));
        }
        Kept::Some(Box::new(self))
    }

    /// The addresses of `unit`.
    pub fn of(&self, unit: u32) -> impl Iterator<Item = IpAddr> {
        let range = self.range(unit);
        let (v4, v6): (&[[u8; 4]], &[[u8; 16]]) = match &self.octets {
            Octets::V4(octets) => (&octets[range], &[]),
            Octets::V6(octets) => (&[], &octets[range]),
        };
        let v4 = v4.iter().map(|octets| IpAddr::from(*octets));
        v4.chain(v6.iter().map(|octets| IpAddr::from(*octets)))
    }

    /// How many addresses these units have together.
    #[must_use]
    #[inline]
    pub fn count(&self, units: &[u32]) -> usize {
        match &self.units {
            None => units.len(),
            Some(_) => units.iter().map(|unit| self.range(*unit).len()).sum(),
        }
    }

    /// Calls `take` with the octets of each address of these units; with none unless these are of IPv4.
    #[inline]
    pub fn each_v4(&self, units: &[u32], take: impl FnMut(&[u8; 4])) {
        if let Octets::V4(octets) = &self.octets {
            self.each(units, octets, take);
        }
    }

    /// Calls `take` with the octets of each address of these units; with none unless these are of IPv6.
    #[inline]
    pub fn each_v6(&self, units: &[u32], take: impl FnMut(&[u8; 16])) {
        if let Octets::V6(octets) = &self.octets {
            self.each(units, octets, take);
        }
    }

    #[inline]
    fn each<T>(&self, units: &[u32], octets: &[T], mut take: impl FnMut(&T)) {
        match &self.units {
            None => units.iter().for_each(|unit| take(&octets[*unit as usize])),
            Some(_) => {
                units.iter().flat_map(|unit| &octets[self.range(*unit)]).for_each(take);
            }
        }
    }

    /// The instances of `unit`.
    #[must_use]
    #[inline]
    pub fn instances(&self, unit: u32) -> &[u32] {
        match &self.units {
            None => std::slice::from_ref(&self.instances[unit as usize]),
            Some(units) => {
                let Range { start, end } = units[unit as usize].instances;
                &self.instances[start as usize..end as usize]
            }
        }
    }

    pub(super) fn owners(&self, stock: Stock<'_>) -> &Owners {
        self.pool.owners().unwrap_or_else(|| {
            self.owners.get_or_init(|| {
                let units = 0..index(self.pool.len());
                let members: Vec<Member<'_>> = units
                    .flat_map(|unit| self.instances(unit).iter().map(move |i| (unit, *i)))
                    .map(|(unit, i)| member(stock, i, unit))
                    .collect();
                stock.owners(&members, self.pool.len(), self.asked())
            })
        })
    }

    #[inline]
    fn range(&self, unit: u32) -> Range<usize> {
        match &self.units {
            None => unit as usize..unit as usize + 1,
            Some(units) => {
                let Range { start, end } = units[unit as usize].addresses;
                start as usize..end as usize
            }
        }
    }
}

/// Addresses as a selection keeps them.
#[derive(Debug)]
pub(super) enum Kept {
    Some(Box<Addresses>),
    None(&'static Addresses),
}

impl Deref for Kept {
    type Target = Addresses;
    fn deref(&self) -> &Addresses {
        match self {
            Self::Some(addresses) => addresses,
            Self::None(none) => none,
        }
    }
}

impl Octets {
    /// Of addresses that are all of `family`.
    fn of(family: Family, addresses: &[IpAddr]) -> Self {
        let v4 = |ip: &IpAddr| match ip {
            IpAddr::V4(v4) => Some(v4.octets()),
            IpAddr::V6(_) => None,
        };
        let v6 = |ip: &IpAddr| match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6.octets()),
        };
        match family {
            Family::V4 => Self::V4(addresses.iter().filter_map(v4).collect()),
            Family::V6 => Self::V6(addresses.iter().filter_map(v6).collect()),
        }
    }
}

/// Whether no address is there twice.
fn distinct(addresses: &[IpAddr]) -> bool {
    let mut sorted = addresses.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

/// Instances in units: those that share an address are one.
struct Grouped {
    addresses: Vec<IpAddr>,
    instances: Vec<u32>,
    units: Vec<Unit>,
    /// How many addresses each unit has.
    records: Vec<u8>,
}

impl Grouped {
    fn new<I: Iterator<Item = IpAddr>>(members: &[u32], of: impl Fn(u32) -> I) -> Self {
        let groups = sharing_groups(members, &of);
        let (mut addresses, mut instances) = (Vec::new(), Vec::with_capacity(members.len()));
        let mut units = Vec::with_capacity(groups.len());
        let mut records = Vec::with_capacity(groups.len());
        for group in groups {
            let (from_address, from_instance) = (addresses.len(), instances.len());
            // One instance has no address twice; several do, or they were no group.
            let mut seen: Option<HashSet<IpAddr, RandomState>> =
                (group.len() > 1).then(HashSet::default);
            for i in group {
                addresses.extend(of(i).filter(|ip| seen.as_mut().is_none_or(|s| s.insert(*ip))));
                instances.push(i);
            }
            records.push(u8::try_from(addresses.len() - from_address).unwrap_or(u8::MAX));
            units.push(Unit {
                addresses: index(from_address)..index(addresses.len()),
                instances: index(from_instance)..index(instances.len()),
            });
        }
        Self { addresses, instances, units, records }
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
    let mut first_with: HashMap<IpAddr, usize, RandomState> = HashMap::default();
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
