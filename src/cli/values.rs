//! Argument values with a syntax of their own: ports, leases, pairs, listen addresses.
//!
//! They check the form and say how it should look; limits and names are the server's to judge.

use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::model::{DurationText, NumberError, PortNumber, Protocol, Tier, Weight};

/// `[NAME=]PORT[/PROTO]`, and the JSON of that port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PortArg {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) port: PortNumber,
    pub(super) protocol: Protocol,
}

impl FromStr for PortArg {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (name, rest) = match text.split_once('=') {
            Some(("", _)) => return Err(ValueError::Port),
            Some((name, rest)) => (Some(name.to_owned()), rest),
            None => (None, text),
        };
        let (number, protocol) = match rest.split_once('/') {
            Some((number, protocol)) => (number, named_protocol(protocol)?),
            None => (rest, Protocol::default()),
        };
        let port = PortNumber::new(whole_number(number).ok_or(ValueError::Port)?)?;
        Ok(Self { name, port, protocol })
    }
}

/// `K=V`; the value may be empty and may hold `=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: String,
}

impl FromStr for Pair {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            Some(_) | None => Err(ValueError::Pair),
        }
    }
}

/// A lease: a duration, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    None,
    For(DurationText),
}

impl FromStr for Lease {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::None);
        }
        text.parse().map(Self::For).map_err(|_| ValueError::Lease)
    }
}

impl Serialize for Lease {
    /// The JSON of the contract: null is "no lease", which absence is not.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::For(duration) => duration.serialize(serializer),
        }
    }
}

/// Why an argument's value is of the wrong form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueError {
    #[error("write [NAME=]PORT[/PROTO], e.g. 8080, http=8080 or dns=53/udp")]
    Port,
    #[error("unknown protocol {0:?}, write tcp, udp or sctp")]
    Protocol(String),
    #[error("write K=V, e.g. version=1.2")]
    Pair,
    #[error("write a whole number and a unit, e.g. 10s or 2m, or none for no lease")]
    Lease,
    #[error("write an IP address and a port, e.g. 127.0.0.1:8053 or [::1]:8053")]
    Listen,
    #[error("write a whole number")]
    Whole,
    #[error(transparent)]
    Range(#[from] NumberError),
}

/// An address to listen on.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| ValueError::Listen)
}

/// A weight.
pub(super) fn weight(text: &str) -> Result<Weight, ValueError> {
    Ok(Weight::new(whole_number(text).ok_or(ValueError::Whole)?)?)
}

/// A tier.
pub(super) fn tier(text: &str) -> Result<Tier, ValueError> {
    Ok(Tier::new(whole_number(text).ok_or(ValueError::Whole)?)?)
}

fn named_protocol(text: &str) -> Result<Protocol, ValueError> {
    let named = |protocol: &Protocol| protocol.as_str().eq_ignore_ascii_case(text);
    Protocol::ALL.into_iter().find(named).ok_or_else(|| ValueError::Protocol(text.to_owned()))
}

/// Digits only: `i64::from_str` would take a sign.
fn whole_number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: Option<&str>, port: i64, protocol: Protocol) -> PortArg {
        PortArg { name: name.map(str::to_owned), port: PortNumber::new(port).unwrap(), protocol }
    }

    #[test]
    fn every_form_of_a_port_is_read() {
        for (text, expected) in [
            ("8080", port(None, 8080, Protocol::Tcp)),
            ("http=8080", port(Some("http"), 8080, Protocol::Tcp)),
            ("53/udp", port(None, 53, Protocol::Udp)),
            ("dns=53/UDP", port(Some("dns"), 53, Protocol::Udp)),
            ("diameter=3868/sctp", port(Some("diameter"), 3868, Protocol::Sctp)),
        ] {
            assert_eq!(text.parse::<PortArg>().unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn other_forms_of_a_port_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "write [NAME=]PORT[/PROTO], e.g. 8080, http=8080 or dns=53/udp"),
            ("http", "write [NAME=]PORT[/PROTO], e.g. 8080, http=8080 or dns=53/udp"),
            ("=80", "write [NAME=]PORT[/PROTO], e.g. 8080, http=8080 or dns=53/udp"),
            ("http=", "write [NAME=]PORT[/PROTO], e.g. 8080, http=8080 or dns=53/udp"),
            ("+80", "write [NAME=]PORT[/PROTO], e.g. 8080, http=8080 or dns=53/udp"),
            ("a=b=80", "write [NAME=]PORT[/PROTO], e.g. 8080, http=8080 or dns=53/udp"),
            ("80/", "unknown protocol \"\", write tcp, udp or sctp"),
            ("80/quic", "unknown protocol \"quic\", write tcp, udp or sctp"),
            ("0", "0 is out of range, 1-65535 is allowed"),
            ("http=65536/tcp", "65536 is out of range, 1-65535 is allowed"),
        ] {
            assert_eq!(text.parse::<PortArg>().unwrap_err().to_string(), reason, "{text}");
        }
    }

    #[test]
    fn a_pair_splits_at_its_first_equals_sign() {
        let pair: Pair = "query=a=b".parse().unwrap();

        assert_eq!(pair, Pair { key: "query".into(), value: "a=b".into() });
        assert_eq!("flag=".parse(), Ok(Pair { key: "flag".into(), value: String::new() }));
        assert_eq!("flag".parse::<Pair>(), Err(ValueError::Pair));
        assert_eq!("=value".parse::<Pair>(), Err(ValueError::Pair));
    }

    #[test]
    fn no_lease_is_null_in_json() {
        let lease: Lease = "90s".parse().unwrap();
        let none: Lease = "none".parse().unwrap();

        assert_eq!(serde_json::to_string(&lease).unwrap(), "\"90s\"");
        assert_eq!(serde_json::to_string(&none).unwrap(), "null");
        assert_eq!("10".parse::<Lease>(), Err(ValueError::Lease));
    }

    #[test]
    fn numbers_are_whole_and_in_range() {
        assert_eq!(weight("3"), Ok(Weight::new(3).unwrap()));
        assert_eq!(weight("-1"), Err(ValueError::Whole));
        assert!(matches!(weight("0"), Err(ValueError::Range(_))));
        assert!(matches!(tier("65536"), Err(ValueError::Range(_))));
    }

    #[test]
    fn a_listen_address_has_a_port() {
        assert_eq!(listen_address("[::1]:53"), Ok("[::1]:53".parse().unwrap()));
        assert_eq!(listen_address("127.0.0.1"), Err(ValueError::Listen));
        assert_eq!(listen_address(":53"), Err(ValueError::Listen));
    }
}
