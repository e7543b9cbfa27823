//! Where instances run, where clients are, and whether a service goes by it.
//!
//! Clients are told apart by network: `[[localities]]` of the file. Looked up by queries, so the
//! table is made to be searched when it is built.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::name::Label;
use crate::model::network::Network;

/// A region and a zone of it; of an instance either may be left out, of a client only the zone.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(deny_unknown_fields, expecting = "an object with region and zone")]
pub struct Locality {
    /// A region, e.g. `eu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Label>,
    /// A zone of the region, e.g. `eu-1a`: what `zone` names select by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Label>,
}

/// Whether clients of a service are sent to instances near them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LocalityPolicy {
    /// Those of the client's zone first, then those of its region, then others.
    #[default]
    Prefer,
    /// All are alike.
    Off,
}

/// Which clients are where. The longest network that holds a client says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Localities {
    /// Sorted by network: what holds others comes before them.
    entries: Box<[Entry]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    network: Network,
    locality: Locality,
    /// The longest of the other networks that holds this one.
    around: Option<usize>,
}

impl Localities {
    /// Of these networks.
    #[must_use]
    pub fn new(networks: BTreeMap<Network, Locality>) -> Self {
        let mut entries: Vec<Entry> = Vec::with_capacity(networks.len());
        for (network, locality) in networks {
            let mut around = entries.len().checked_sub(1);
            while let Some(at) = around.filter(|at| !entries[*at].network.holds(network)) {
                around = entries[at].around;
            }
            entries.push(Entry { network, locality, around });
        }
        Self { entries: entries.into() }
    }

    /// Whether nobody's locality is known.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The locality of all addresses in `client`, as far as networks that hold all of it tell; `None`
    /// when there are none.
    #[must_use]
    pub fn find(&self, client: Network) -> Option<&Locality> {
        // What holds the client comes before it, and what comes last of that is near the client: the
        // longest one itself, or in it.
        let mut at = self.after(client).checked_sub(1)?;
        while !self.entries[at].network.holds(client) {
            at = self.entries[at].around?;
        }
        Some(&self.entries[at].locality)
    }

    /// Whether there are networks within `client`, so that a part of it may be elsewhere.
    #[must_use]
    pub fn divide(&self, client: Network) -> bool {
        self.entries.get(self.after(client)).is_some_and(|next| client.holds(next.network))
    }

    /// The place of the first network that comes after `client`.
    fn after(&self, client: Network) -> usize {
        self.entries.partition_point(|entry| entry.network <= client)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn locality(region: &str) -> Locality {
        Locality { region: Some(Label::new(region).unwrap()), zone: None }
    }

    fn localities(networks: &[(&str, &str)]) -> Localities {
        let entry = |(network, region): &(&str, &str)| (network.parse().unwrap(), locality(region));
        Localities::new(networks.iter().map(entry).collect())
    }

    #[test]
    fn the_longest_network_wins() {
        let map = localities(&[
            ("10.0.0.0/8", "a"),
            ("10.1.0.0/16", "b"),
            ("10.1.7.0/24", "c"),
            ("10.3.0.0/16", "d"),
            ("2001:db8::/32", "e"),
        ]);
        let of = |client: &str| {
            let found = map.find(client.parse().unwrap())?;
            Some(found.region.as_ref()?.as_str())
        };

        for (client, region) in [
            ("10.1.7.9/32", Some("c")),
            ("10.1.7.0/24", Some("c")),
            ("10.1.8.0/24", Some("b")),
            // A part of it is elsewhere, but not all.
            ("10.1.0.0/16", Some("b")),
            ("10.0.0.0/15", Some("a")),
            ("10.2.0.0/24", Some("a")),
            ("10.4.0.1/32", Some("a")),
            ("11.0.0.1/32", None),
            ("0.0.0.0/0", None),
            ("9.0.0.1/32", None),
            ("2001:db8:ffff::/56", Some("e")),
            ("2001:db9::/56", None),
            ("::/0", None),
        ] {
            assert_eq!(of(client), region, "{client}");
        }
    }

    #[test]
    fn networks_within_divide_a_client() {
        let map = localities(&[("10.1.0.0/16", "a"), ("10.1.7.64/26", "b")]);

        for (client, divided) in [
            ("10.1.7.0/24", true),
            ("10.1.6.0/24", false),
            ("10.1.7.64/26", false),
            ("10.1.7.70/32", false),
            ("10.0.0.0/8", true),
            ("0.0.0.0/0", true),
            ("::/0", false),
        ] {
            assert_eq!(map.divide(client.parse().unwrap()), divided, "{client}");
        }
    }

    /// Networks that are often within each other.
    fn network() -> impl Strategy<Value = Network> {
        let v4 = (any::<[u8; 4]>(), 0..=32_u8)
            .prop_map(|(ip, length)| Network::of(ip.map(|b| b & 0x81).into(), length));
        let v6 = (any::<u8>(), 0..=128_u8).prop_map(|(low, length)| {
            Network::of([0, 0, 0, 0, 0, 0, 0, low.into()].into(), length)
        });
        prop_oneof![3 => v4, 1 => v6]
    }

    proptest! {
        /// Against a look at each network.
        #[test]
        fn finding_is_looking_at_all(
            networks in btree_map(network(), "[a-z]{1,8}", 0..40),
            clients in proptest::collection::vec(network(), 20),
        ) {
            let networks: BTreeMap<Network, Locality> =
                networks.into_iter().map(|(n, region)| (n, locality(&region))).collect();
            let map = Localities::new(networks.clone());

            for client in clients {
                let holds = networks.iter().filter(|(network, _)| network.holds(client));
                let longest = holds.max_by_key(|(network, _)| network.length());
                prop_assert_eq!(map.find(client), longest.map(|(_, locality)| locality));
                let within = |network: &Network| client.holds(*network) && *network != client;
                prop_assert_eq!(map.divide(client), networks.keys().any(within));
            }
        }
    }
}
