//! The names that certificates of clients carry: DNS names and URIs of their subject alternative names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `web.prod.example` (a DNS name, in lower case) or `spiffe://prod.example/web` (a URI, as it is).
/// Names are the same when all of their characters are: a star stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CertificateName {
    /// A DNS name.
    Dns(String),
    /// A URI.
    Uri(String),
}

impl CertificateName {
    /// The name that a certificate gives as a DNS name.
    #[must_use]
    pub fn dns(name: &str) -> Self {
        Self::Dns(name.to_ascii_lowercase())
    }

    /// The name that a certificate gives as a URI.
    #[must_use]
    pub fn uri(uri: &str) -> Self {
        Self::Uri(uri.to_owned())
    }
}

/// Why a text is no name of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a DNS name (\"web.prod.example\") nor a URI (\"spiffe://prod.example/web\")"
)]
pub struct CertificateNameError(String);

impl FromStr for CertificateName {
    type Err = CertificateNameError;
    fn from_str(text: &str) -> Result<Self, CertificateNameError> {
        let error = || CertificateNameError(text.to_owned());
        if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(error());
        }
        // A DNS name has no colon.
        if let Some((scheme, rest)) = text.split_once(':') {
            let scheme_is_one = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
            return if scheme_is_one && !rest.is_empty() {
                Ok(Self::uri(text))
            } else {
                Err(error())
            };
        }
        let label = |label: &str| {
            let bytes = label.as_bytes();
            (1..=63).contains(&bytes.len())
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        };
        let name = text.strip_prefix("*.").unwrap_or(text);
        let legal = text.len() <= 253 && name.split('.').all(label);
        if legal { Ok(Self::dns(text)) } else { Err(error()) }
    }
}

impl TryFrom<String> for CertificateName {
    type Error = CertificateNameError;
    fn try_from(text: String) -> Result<Self, CertificateNameError> {
        text.parse()
    }
}

impl From<CertificateName> for String {
    fn from(name: CertificateName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) => f.write_str(text),
        }
    }
}

/// As long as SPIFFE IDs may be (2,048 bytes).
const LONGEST: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_name_or_a_uri() {
        for (text, name) in [
            ("Web.Prod.Example", CertificateName::Dns("web.prod.example".into())),
            ("web", CertificateName::Dns("web".into())),
            ("*.prod.example", CertificateName::Dns("*.prod.example".into())),
            ("spiffe://Prod.example/web", CertificateName::Uri("spiffe://Prod.example/web".into())),
            ("urn:uuid:1", CertificateName::Uri("urn:uuid:1".into())),
        ] {
            assert_eq!(text.parse(), Ok(name), "{text}");
        }
        for text in
            ["", ".", "a..b", "web.", "a b", "a/b", "://x", "x:", "1:x", "caf\u{e9}", "a\nb"]
        {
            assert!(text.parse::<CertificateName>().is_err(), "{text:?}");
        }
    }
}
