//! By which names this server may be called: the defence against DNS rebinding.
//!
//! A page of somebody else's can have its own name resolve to this server's address, and is then let
//! by the browser to call it. It cannot choose what the browser writes into `Host`: its own name.

use std::net::{IpAddr, SocketAddr};

/// The names and addresses that this server may be called by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {
    /// That it listens on; with one that stands for all, it has all of them.
    listen: Vec<IpAddr>,
    /// That the operator lists, in lower case.
    listed: Vec<String>,
}

impl Hosts {
    /// What may be called where `listen` is listened on, besides what is `listed`: names in lower
    /// case, and addresses in canonical text.
    #[must_use]
    pub fn new(listen: &[SocketAddr], listed: Vec<String>) -> Self {
        Self { listen: listen.iter().map(|socket| socket.ip().to_canonical()).collect(), listed }
    }

    /// Whether this server may be called by `authority`, a host and perhaps a port. Any port: who
    /// forwards one has another.
    ///
    /// | host | may be called |
    /// |---|---|
    /// | `localhost`, a name that is listed | yes |
    /// | an address that is listened on, or listed | yes |
    /// | an address of loopback | when an address of loopback is listened on |
    /// | any address | when a wildcard is listened on: no name leads there, but that itself |
    /// | anything else | no |
    pub(crate) fn admit(&self, authority: &str) -> bool {
        let Some(host) = host(authority) else { return false };
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let Ok(address) = host.parse::<IpAddr>() else {
            return self.listed.iter().any(|listed| listed.eq_ignore_ascii_case(host));
        };
        let address = address.to_canonical();
        self.listen.iter().any(|own| {
            own.is_unspecified() || *own == address || (own.is_loopback() && address.is_loopback())
        }) || self.listed.iter().any(|listed| listed.parse() == Ok(address))
    }
}

/// The host of `authority`, without brackets and a last dot; `None` when it is none.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.contains(':').then_some(())?;
            (host, port.strip_prefix(':').unwrap_or(port))
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(listen: &[&str], authority: &str) -> bool {
        let listen: Vec<SocketAddr> = listen.iter().map(|text| text.parse().unwrap()).collect();
        let listed = ["signpost.example", "192.0.2.7", "2001:db8::7"].map(String::from);
        Hosts::new(&listen, listed.to_vec()).admit(authority)
    }

    #[test]
    fn a_server_is_called_by_its_own_names_alone() {
        let (loopback, concrete) = (&["127.0.0.1:8054"][..], &["10.0.0.1:8054"][..]);
        let any = &["0.0.0.0:8054"][..];
        for (listen, authority, admitted) in [
            (loopback, "127.0.0.1:8054", true),
            (loopback, "127.0.0.1", true),
            (loopback, "127.8.8.8:1", true),
            (loopback, "[::1]:8054", true),
            (loopback, "[::ffff:127.0.0.1]:8054", true),
            (loopback, "localhost:8054", true),
            (loopback, "LocalHost.", true),
            (loopback, "signpost.example:443", true),
            (loopback, "Signpost.Example.", true),
            (loopback, "192.0.2.7", true),
            (loopback, "[2001:db8::7]", true),
            (loopback, "10.0.0.1", false),
            (loopback, "evil.example", false),
            (loopback, "localhost.evil.example", false),
            (loopback, "127.0.0.1.evil.example", false),
            (loopback, "evil.example:8054", false),
            (loopback, "127.1", false),
            (loopback, "0177.0.0.1", false),
            (loopback, "2130706433", false),
            (loopback, "::1", false),
            (loopback, "[::1", false),
            (loopback, "[localhost]", false),
            (loopback, "127.0.0.1:80:80", false),
            (loopback, "127.0.0.1:x", false),
            (loopback, "evil.example@127.0.0.1", false),
            (loopback, "", false),
            (loopback, ".", false),
            (loopback, ":8054", false),
            (concrete, "10.0.0.1:8054", true),
            (concrete, "127.0.0.1:8054", false),
            (concrete, "10.0.0.2:8054", false),
            (any, "10.0.0.2:8054", true),
            (any, "evil.example", false),
        ] {
            assert_eq!(admits(listen, authority), admitted, "{listen:?} {authority}");
        }
    }
}
