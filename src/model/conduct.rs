//! How the DNS front treats who asks: what it says of itself, cookies, and limits of rate.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::model::network::Network;

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conduct {
    /// Whether this server says which one it is: `id.server`, `hostname.bind` (RFC 4892) and NSID
    /// (RFC 5001).
    pub chaos: bool,
    /// What `version.bind` and `version.server` say, at most 255 bytes; empty: nothing.
    pub version: String,
    /// Whether DNS cookies are given out and taken (RFC 7873).
    pub cookies: bool,
    /// What servers behind one address share. The first makes cookies, all are taken; empty: this
    /// process makes up its own.
    pub cookie_secrets: Vec<CookieSecret>,
    /// How many replies an unproven address gets.
    pub rate_limit: RateLimit,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            chaos: true,
            version: String::new(),
            cookies: true,
            cookie_secrets: Vec::new(),
            rate_limit: RateLimit::default(),
        }
    }
}

/// How many replies a UDP client gets that has not proven its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Replies per second to one address; 0: any number.
    pub per_address: u32,
    /// Replies per second to one network, a /24 of IPv4 or a /56 of IPv6; 0: any number.
    pub per_prefix: u32,
    /// One in so many replies over the limit is sent, truncated; 0: none.
    pub slip: u32,
    /// Whom no limit applies to. Loopback is exempt in any case.
    pub exempt: Vec<Network>,
}

impl RateLimit {
    /// The networks that are exempt unless told otherwise: no packet from there comes from the
    /// internet (RFC 1918, 6598, 3927, 4193, 4291).
    pub const LOCAL: [&str; 7] = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    ];
}

impl Default for RateLimit {
    fn default() -> Self {
        let exempt = Self::LOCAL.map(|text| text.parse().expect("a network"));
        Self { per_address: 1_000, per_prefix: 4_000, slip: 2, exempt: exempt.into() }
    }
}

/// The key of server cookies (RFC 9018 section 4.4). Never shown: who knows it can forge them.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CookieSecret([u8; 16]);

impl CookieSecret {
    /// Any 16 bytes, which nobody can guess.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for CookieSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieSecret(..)")
    }
}

/// A text is not a secret. The text is not told: it may be nearly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a secret, write 32 hexadecimal digits: `openssl rand -hex 16` prints some")]
pub struct CookieSecretError;

impl FromStr for CookieSecret {
    type Err = CookieSecretError;
    fn from_str(text: &str) -> Result<Self, CookieSecretError> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CookieSecretError);
        }
        u128::from_str_radix(text, 16)
            .map(|number| Self(number.to_be_bytes()))
            .map_err(|_| CookieSecretError)
    }
}

impl TryFrom<String> for CookieSecret {
    type Error = CookieSecretError;
    fn try_from(text: String) -> Result<Self, CookieSecretError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_32_digits_and_never_shown() {
        let secret: CookieSecret = "e5e973e5a6b2a43f48e7dc849e37bfcf".parse().unwrap();

        assert_eq!((secret.bytes()[0], secret.bytes()[15]), (0xe5, 0xcf));
        assert_eq!(format!("{secret:?}"), "CookieSecret(..)");
        for text in ["", "e5", "+5e973e5a6b2a43f48e7dc849e37bfcf", &"g".repeat(32), &"0".repeat(33)]
        {
            let error = text.parse::<CookieSecret>().unwrap_err().to_string();
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn the_networks_that_are_exempt_are_networks() {
        assert_eq!(RateLimit::default().exempt.len(), RateLimit::LOCAL.len());
    }
}
