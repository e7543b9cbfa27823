//! What is answered: records, whether they are all there are, and what stays of them when a reply
//! cannot hold all.

use std::net::IpAddr;

use crate::balance::hash::{client_hash, instance_hash};
use crate::model::Network;
use crate::registry::ServiceView;

/// Records, all of one type and owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The records.
    pub data: Data,
    /// Their TTL in seconds.
    pub ttl: u32,
    /// How many bits of the client's address it depended on; 0: it is the same for everybody.
    pub scope: u8,
    /// Whether leaving a record out must be told (TC): the set is meant to be whole.
    pub whole: bool,
}

/// The data of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Addresses(Vec<IpAddr>),
    /// SRV; the target is the instance's own name.
    Srv(Vec<Srv>),
    /// SVCB: bindings to the instance's own name, by priorities of SVCB; weights are not told.
    Svcb(Vec<Srv>),
    /// HTTPS, in the same way.
    Https(Vec<Srv>),
    /// PTR to the instances as browsing shows them; each with its own SRV record.
    Ptr(Vec<Srv>),
    /// TXT: one record for each of these instances.
    Txt(Vec<u32>),
}

/// One SRV record, or the part of another record that is like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The instance, by its place in the view.
    pub instance: u32,
    /// A spare for this client among those of its priority: far, while nearer ones are enough.
    pub far: bool,
}

impl Answer {
    /// Leaves `most` of the records, in an order that is the same for the same client: what is left
    /// out of a reply that cannot hold all is then the same every time.
    pub fn cut_by_client(&mut self, view: &ServiceView, client: Network, most: usize) {
        let length = client.length();
        let client = client_hash(client);
        match &mut self.data {
            Data::Addresses(addresses) => {
                first_by(addresses, most, |ip| mix(client, address_hash(*ip)));
            }
            Data::Srv(records)
            | Data::Svcb(records)
            | Data::Https(records)
            | Data::Ptr(records) => {
                first_by(records, most, |srv| {
                    let id = view.instances[srv.instance as usize].instance.id.as_str();
                    (srv.priority, srv.far, mix(client, instance_hash(id)))
                });
            }
            // Always in the same order, whoever asks.
            Data::Txt(instances) => return instances.truncate(most),
        }
        self.scope = self.scope.max(length);
    }
}

impl Data {
    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Addresses(records) => records.len(),
            Self::Srv(records)
            | Self::Svcb(records)
            | Self::Https(records)
            | Self::Ptr(records) => records.len(),
            Self::Txt(records) => records.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Leaves the records to instances for which `keep` holds, where this lists instances.
    pub fn retain(&mut self, keep: impl Fn(&Srv) -> bool) {
        match self {
            Self::Srv(records)
            | Self::Svcb(records)
            | Self::Https(records)
            | Self::Ptr(records) => records.retain(keep),
            Self::Addresses(_) | Self::Txt(_) => {}
        }
    }

    /// Leaves the first `most` records.
    pub fn truncate(&mut self, most: usize) {
        match self {
            Self::Addresses(records) => records.truncate(most),
            Self::Srv(records)
            | Self::Svcb(records)
            | Self::Https(records)
            | Self::Ptr(records) => {
                records.truncate(most);
            }
            Self::Txt(records) => records.truncate(most),
        }
    }
}

/// Leaves the `most` items with the smallest keys, in the order of their keys.
pub(super) fn first_by<T: Copy, K: Ord + Copy>(
    items: &mut Vec<T>,
    most: usize,
    key: impl Fn(&T) -> K,
) {
    let mut keyed: Vec<(K, T)> = items.iter().map(|item| (key(item), *item)).collect();
    if (1..keyed.len()).contains(&most) {
        keyed.select_nth_unstable_by_key(most, |(key, _)| *key);
    }
    keyed.truncate(most);
    keyed.sort_unstable_by_key(|(key, _)| *key);
    items.clear();
    items.extend(keyed.into_iter().map(|(_, item)| item));
}

pub(super) fn address_hash(address: IpAddr) -> u64 {
    client_hash(Network::of(address, u8::MAX))
}

/// Spreads two hashes into one that differs for each pair.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let spread = (a ^ b.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    spread ^ (spread >> 29)
}
