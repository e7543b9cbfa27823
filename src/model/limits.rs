//! How much of everything there may be: plain numbers, each enforced where the thing grows.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::model::network::Network;

/// The limits in force. Each refuses with an error that names it, except that of connections: a
/// new one takes the place of one whose client does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Instances in the registry.
    pub instances: usize,
    /// Services in the registry.
    pub services: usize,
    /// Instances of one service.
    pub instances_per_service: usize,
    /// Instances that one identity owns: all tokens of one name together.
    pub instances_per_identity: usize,
    /// Bytes of all keys and values in the metadata of one instance.
    pub metadata: usize,
    /// Bytes of all keys and values in the metadata of all registered instances.
    pub metadata_total: usize,
    /// Open watches and waiting (`index=`) reads, together.
    pub watchers: usize,
    /// Bytes in the head of a request: its target, and all headers together.
    pub headers: usize,
    /// Bytes in the body of a request.
    pub body: usize,
    /// Bytes in the body of a bulk request (heartbeats, batch).
    pub bulk_body: usize,
    /// Items in a bulk request.
    pub bulk_items: usize,
    /// How long a request may take to arrive, behind its head.
    pub request_time: Duration,
    /// Bytes of all requests and replies that are on their way at a time: bodies that clients send, and
    /// replies that they have not taken.
    pub in_flight: usize,
    /// Requests a second from one IPv4 address or IPv6 /64, loopback aside; 0: any number.
    pub requests_per_address: u32,
    /// Requests a second of one identity, wherever they come from; 0: any number.
    pub requests_per_identity: u32,
    /// Open TCP connections, of DNS and of HTTP each.
    pub connections: usize,
    /// Open connections to DNS of one client, an IPv4 address or an IPv6 /64.
    pub connections_per_client: usize,
    /// Tokens.
    pub tokens: usize,
    /// What registered addresses must be in; empty: any legal address.
    pub allow: Vec<Network>,
}

impl Limits {
    /// Whether an instance may register `address`.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|network| network.contains(address))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances: 1_000_000,
            services: 100_000,
            instances_per_service: 50_000,
            instances_per_identity: 1_000_000,
            metadata: 40 << 10,
            metadata_total: 1 << 30,
            watchers: 1_000,
            headers: 16 << 10,
            body: 1 << 20,
            bulk_body: 8 << 20,
            bulk_items: 10_000,
            request_time: Duration::from_secs(30),
            in_flight: 256 << 20,
            requests_per_address: 2_000,
            requests_per_identity: 0,
            connections: 4_096,
            connections_per_client: 128,
            tokens: 10_000,
            allow: Vec::new(),
        }
    }
}

/// Defines [`Limit`] with its keys in one table.
macro_rules! limits {
    ($($(#[$doc:meta])* $limit:ident $key:literal,)*) => {
        /// A limit that something was refused for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Limit {
            $($(#[$doc])* $limit,)*
        }

        impl Limit {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$limit,)*];

            /// The key below `[limits]`; that of what has none is its own name.
            #[must_use]
            pub fn key(self) -> &'static str {
                match self { $(Self::$limit => $key,)* }
            }
        }
    };
}

limits! {
    /// [`Limits::instances`].
    Instances "instances",
    /// [`Limits::services`].
    Services "services",
    /// [`Limits::instances_per_service`].
    InstancesPerService "instances_per_service",
    /// [`Limits::instances_per_identity`].
    InstancesPerIdentity "instances_per_identity",
    /// [`Limits::metadata`].
    Metadata "metadata",
    /// [`Limits::metadata_total`].
    MetadataTotal "metadata_total",
    /// [`Limits::tokens`].
    Tokens "tokens",
    /// [`Limits::watchers`].
    Watchers "watchers",
    /// [`Limits::headers`].
    Headers "headers",
    /// [`Limits::body`].
    Body "body",
    /// [`Limits::bulk_body`].
    BulkBody "bulk_body",
    /// [`Limits::bulk_items`].
    BulkItems "bulk_items",
    /// [`Limits::request_time`].
    RequestTime "request_time",
    /// [`Limits::in_flight`].
    InFlight "in_flight",
    /// [`Limits::requests_per_address`].
    RequestsPerAddress "requests_per_address",
    /// [`Limits::requests_per_identity`].
    RequestsPerIdentity "requests_per_identity",
    /// [`Limits::connections`].
    Connections "connections",
    /// One snapshot is taken at a time; no key.
    Snapshots "snapshots",
    /// One profile is taken at a time; no key.
    Profiles "profiles",
    /// Writes that wait for a slow store; no key.
    Writes "writes",
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_allow_list_allows_everything() {
        let open = Limits::default();
        let closed = Limits { allow: vec!["10.0.0.0/8".parse().unwrap()], ..Limits::default() };

        assert!(open.allows("192.0.2.1".parse().unwrap()));
        assert!(closed.allows("10.1.2.3".parse().unwrap()));
        assert!(!closed.allows("192.0.2.1".parse().unwrap()));
        assert!(!closed.allows("::1".parse().unwrap()));
    }
}
