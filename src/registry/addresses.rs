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

        let mut units = Vec::with_capacity(groups.len());
        let (mut addresses, mut instances) = (Vec::new(), Vec::new());
        let (mut pool_members, mut records) = (Vec::new(), Vec::new());
        for group in groups {
            let (from_address, from_instance) = (addresses.len(), instances.len());
            // One instance has no address twice; several do, or they were no group.
            let mut seen: Option<HashSet<IpAddr, RandomState>> =
                (group.len() > 1).then(HashSet::default);
            for i in group {
                addresses.extend(of(i).filter(|ip| seen.as_mut().is_none_or(|s| s.insert(*ip))));
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

    /// The octets of the addresses of `unit`; none unless this is of IPv4.
    pub fn v4(&self, unit: u32) -> impl Iterator<Item = [u8; 4]> {
        self.of(unit).iter().filter_map(|ip| match ip {
            IpAddr::V4(v4) => Some(v4.octets()),
            IpAddr::V6(_) => None,
        })
    }

    /// The octets of the addresses of `unit`; none unless this is of IPv6.
    pub fn v6(&self, unit: u32) -> impl Iterator<Item = [u8; 16]> {
        self.of(unit).iter().filter_map(|ip| match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6.octets()),
        })
    }

    /// The instances of `unit`.
    #[must_use]
    pub fn instances(&self, unit: u32) -> &[u32] {
        let Range { start, end } = self.units[unit as usize].instances;
        &self.instances[start as usize..end as usize]
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
