//! How much of everything there may be: plain numbers, each enforced where the thing grows.

use std::net::IpAddr;

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
    /// Open watches and waiting (`index=`) reads, together.
    pub watchers: usize,
    /// Bytes in the body of a request.
    pub body: usize,
    /// Bytes in the body of a bulk request (heartbeats, batch).
    pub bulk_body: usize,
    /// Items in a bulk request.
    pub bulk_items: usize,
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
            watchers: 1_000,
            body: 1 << 20,
            bulk_body: 8 << 20,
            bulk_items: 10_000,
            connections: 4_096,
            connections_per_client: 128,
            tokens: 10_000,
            allow: Vec::new(),
        }
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
