//! What the DNS front serves besides the registry: the server's own zone data and settings.
//!
//! Immutable; a reload puts another in its place.

use std::net::IpAddr;

use crate::dns::name::{Name, NameTextError};
use crate::model::Network;

/// Everything an answer needs that is not in the registry.
#[derive(Debug)]
pub struct Served {
    /// The apex of the server's zone, in lower case.
    pub apex: Name,
    /// The server's own name below it.
    pub own_name: Name,
    /// The server's own label: NSID and `id.server`.
    pub identity: String,
    /// What the own name resolves to.
    pub addresses: Vec<IpAddr>,
    /// The name servers; the first is MNAME. Never empty.
    pub name_servers: Vec<Name>,
    /// The SOA fields that are not the registry's.
    pub soa: SoaFields,
    /// TTL of the SOA, and of what does not exist (RFC 2308), in seconds.
    pub negative_ttl: u32,
    /// How many bits of an address count as one client, for v4 and v6.
    pub client_prefix: (u8, u8),
}

/// The fields of the SOA that a zone file may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoaFields {
    /// The mailbox of who is responsible.
    pub rname: Name,
    /// Seconds between a secondary's looks.
    pub refresh: u32,
    /// Seconds until a failed look is repeated.
    pub retry: u32,
    /// Seconds that a secondary answers without a successful look.
    pub expire: u32,
}

impl SoaFields {
    /// The fields of a zone without a file.
    ///
    /// # Errors
    /// When the apex is so long that no mailbox fits under it.
    pub fn standard(apex: &Name) -> Result<Self, NameTextError> {
        let rname = Name::from_text("hostmaster", Some(apex))?;
        Ok(Self { rname, refresh: 3600, retry: 600, expire: 86_400 })
    }
}

impl Served {
    /// What counts as one client: `address` cut to the configured prefix, or to `length` when that
    /// is shorter.
    #[must_use]
    pub fn client(&self, address: IpAddr, length: u8) -> Network {
        let configured = match address {
            IpAddr::V4(_) => self.client_prefix.0,
            IpAddr::V6(_) => self.client_prefix.1,
        };
        Network::of(address, configured.min(length))
    }
}

/// TTL of what only a restart or a reload changes: NS and the server's own addresses, in seconds.
pub(super) const STATIC_TTL: u32 = 300;
