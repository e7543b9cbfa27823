//! What the DNS front serves besides the registry: the server's own zone data and settings.
//!
//! Immutable; a reload puts another in its place.

use std::net::IpAddr;

use crate::dns::authority::Authority;
use crate::dns::name::{Name, is_within};
use crate::dns::reverse::Reverse;
use crate::dns::rtype;
use crate::dns::zones::{End, ServerZone, Zones};
use crate::model::{Conduct, Localities, Network};

/// Everything an answer needs that is not in the registry.
#[derive(Debug, PartialEq)]
pub struct Served {
    /// The server's zone.
    pub home: Authority,
    /// The same names under other apexes; none is at, below or above another zone.
    pub aliases: Vec<Authority>,
    /// The server's own label: NSID and `id.server`.
    pub identity: String,
    /// What the own name resolves to.
    pub addresses: Vec<IpAddr>,
    /// Static zones, and static records of the server's own zone.
    pub zones: Zones,
    /// Names of addresses.
    pub reverse: Reverse,
    /// The TTL of services that give none, in seconds.
    pub default_ttl: u32,
    /// TTL of the SOA, and of what does not exist (RFC 2308), in seconds.
    pub negative_ttl: u32,
    /// How many bits of an address count as one client, for v4 and v6.
    pub client_prefix: (u8, u8),
    /// Which clients are where.
    pub localities: Localities,
    /// How who asks is treated.
    pub conduct: Conduct,
}

impl Served {
    /// The zone of the registry's names that `name`, in lower case, is in.
    #[must_use]
    pub fn authority(&self, name: &[u8]) -> Option<&Authority> {
        let mut all = std::iter::once(&self.home).chain(&self.aliases);
        all.find(|authority| is_within(name, authority.apex.wire()))
    }

    /// What counts as one client: `address` cut to the configured prefix, or to `length` when that
    /// is shorter.
    #[must_use]
    #[inline]
    pub fn client(&self, address: IpAddr, length: u8) -> Network {
        let configured = match address {
            IpAddr::V4(_) => self.client_prefix.0,
            IpAddr::V6(_) => self.client_prefix.1,
        };
        Network::of(address, configured.min(length))
    }

    /// Whether static records take `name`, which is relative to the server's zone, from the
    /// registry. Aliases have no static records.
    #[must_use]
    pub fn hides(&self, name: &str) -> bool {
        // What is no name in DNS is not hidden there either.
        let Ok(name) = Name::from_text(name, Some(&self.home.apex)) else { return false };
        let own = self.zones.server().map(ServerZone::zone);
        let claimed = own.and_then(|zone| zone.lookup_claimed(&name, rtype::A));
        claimed.is_some_and(|f| !f.aliases.is_empty() || !matches!(f.end, End::Unclaimed))
            || self.zones.find(name.folded().wire(), self.home.apex.wire().len()).is_some()
    }
}
