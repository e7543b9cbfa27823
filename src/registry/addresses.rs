//! The addresses that answer A or AAAA: instances that share one are answered as one.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::Range;

use foldhash::fast::RandomState;
use rand::Rng;

use crate::balance::pool::Pool;
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
    /// By unit; `None` when each is one instance with one address.
    ends: Option<Box<[End]>>,
}

/// Addresses of one family.
#[derive(Debug)]
enum Octets {
    V4(Box<[[u8; 4]]>),
    V6(Box<[[u8; 16]]>),
}

/// Where a unit's addresses and instances end; those of the next begin there.
#[derive(Debug)]
struct End {
    address: u32,
    instance: u32,
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
        let members: Vec<u32> =
            active.iter().copied().filter(|i| of(*i).next().is_some()).collect();
        let groups = sharing_groups(&members, of);

        let mut ends = Vec::with_capacity(groups.len());
        let (mut addresses, mut instances) = (Vec::new(), Vec::new());
        let (mut pool_members, mut records) = (Vec::new(), Vec::new());
        for group in groups {
            let from = addresses.len();
            // One instance has no address twice; several do, or they were no group.
            let mut seen: Option<HashSet<IpAddr, RandomState>> =
                (group.len() > 1).then(HashSet::default);
            for i in group {
                addresses.extend(of(i).filter(|ip| seen.as_mut().is_none_or(|s| s.insert(*ip))));
                instances.push(i);
                pool_members.push(member(stock, i, index(ends.len())));
            }
            records.push(u8::try_from(addresses.len() - from).unwrap_or(u8::MAX));
            ends.push(End { address: index(addresses.len()), instance: index(instances.len()) });
        }
        let spec = spec(stock.settings, stock.settings.answer, pool_members, records);
        Self {
            pool: Pool::new(spec, rng),
            ends: (addresses.len() > ends.len() || instances.len() > ends.len())
                .then(|| ends.into()),
            octets: Octets::new(family, addresses),
            instances: instances.into(),
        }
    }

    /// The addresses of `unit`.
    pub fn of(&self, unit: u32) -> impl Iterator<Item = IpAddr> {
        let range = self.range(unit, |end| end.address);
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
        match &self.ends {
            None => units.len(),
            Some(_) => units.iter().map(|unit| self.range(*unit, |end| end.address).len()).sum(),
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
        match &self.ends {
            None => units.iter().for_each(|unit| take(&octets[*unit as usize])),
            Some(_) => units
                .iter()
                .flat_map(|unit| &octets[self.range(*unit, |end| end.address)])
                .for_each(take),
        }
    }

    /// The instances of `unit`.
    #[must_use]
    #[inline]
    pub fn instances(&self, unit: u32) -> &[u32] {
        &self.instances[self.range(unit, |end| end.instance)]
    }

    #[inline]
    fn range(&self, unit: u32, end: impl Fn(&End) -> u32) -> Range<usize> {
        let unit = unit as usize;
        let Some(ends) = &self.ends else { return unit..unit + 1 };
        let from = unit.checked_sub(1).map_or(0, |before| end(&ends[before]));
        from as usize..end(&ends[unit]) as usize
    }
}

impl Octets {
    fn new(family: Family, addresses: Vec<IpAddr>) -> Self {
        let addresses = addresses.into_iter();
        match family {
            Family::V4 => Self::V4(
                addresses
                    .filter_map(|ip| match ip {
                        IpAddr::V4(v4) => Some(v4.octets()),
                        IpAddr::V6(_) => None,
                    })
                    .collect(),
            ),
            Family::V6 => Self::V6(
                addresses
                    .filter_map(|ip| match ip {
                        IpAddr::V4(_) => None,
                        IpAddr::V6(v6) => Some(v6.octets()),
                    })
                    .collect(),
            ),
        }
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
