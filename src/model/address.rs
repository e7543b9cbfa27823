//! An address that may be registered and answered.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A unicast address that a client could connect to, printed in canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(IpAddr);

impl Address {
    /// Checks that `ip` can be an instance's address.
    ///
    /// # Errors
    /// For 0.0.0.0, ::, multicast, broadcast, link-local and v4-mapped addresses.
    pub fn new(ip: IpAddr) -> Result<Self, AddressError> {
        let kind = match ip {
            ip if ip.is_unspecified() => "the unspecified address",
            ip if ip.is_multicast() => "a multicast address",
            IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
            IpAddr::V4(v4) if v4.is_link_local() => "a link-local address",
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "a v4-mapped address",
            IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
            ip => return Ok(Self(ip)),
        };
        Err(AddressError::Refused { address: ip, kind })
    }

    /// The address itself.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

/// Why a text cannot be an instance's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an IP address at all.
    #[error("{0:?} is not an IP address")]
    Syntax(String),
    /// An address that no client could use.
    #[error("{address} is {kind}, which no client could connect to")]
    Refused {
        /// The address given.
        address: IpAddr,
        /// What kind of address it is.
        kind: &'static str,
    },
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let ip = text.parse().map_err(|_| AddressError::Syntax(text.to_owned()))?;
        Self::new(ip)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_canonical() {
        let address: Address = "2001:DB8:0:0::0011".parse().unwrap();

        assert_eq!(address.to_string(), "2001:db8::11");
    }

    #[test]
    fn useless_addresses_are_refused() {
        for text in [
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "169.254.1.1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "10.1",
            "010.0.0.1",
            "",
            "localhost",
            "10.0.0.1:80",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_legal() {
        assert!("127.0.0.1".parse::<Address>().is_ok());
        assert!("::1".parse::<Address>().is_ok());
    }
}
