//! Which services a token is for: a name, or the beginning of names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::name::{Label, NameError, ServiceName};

/// `web` (that service), `shop-*` (those whose names begin with `shop-`) or `*` (all). Compared with
/// names as the registry has them, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServicePattern {
    text: String,
    open: bool,
}

impl ServicePattern {
    /// Whether `service` is one of them.
    #[must_use]
    pub fn matches(&self, service: &ServiceName) -> bool {
        if self.open {
            service.as_str().starts_with(&self.text)
        } else {
            service.as_str() == self.text
        }
    }
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServicePatternError {
    /// What is before the star, or all of it, is no name or beginning of one.
    #[error(
        "{text:?} is not the name of a service, or a beginning and a star (\"shop-*\"): {error}"
    )]
    Name {
        /// What was given.
        text: String,
        /// What is wrong with it.
        error: NameError,
    },
}

impl FromStr for ServicePattern {
    type Err = ServicePatternError;
    fn from_str(text: &str) -> Result<Self, ServicePatternError> {
        let wrong = |error| ServicePatternError::Name { text: text.to_owned(), error };
        let Some(beginning) = text.strip_suffix('*') else {
            let name = ServiceName::new(text).map_err(wrong)?;
            return Ok(Self { text: name.as_str().to_owned(), open: false });
        };
        // A beginning may end with what a name may not.
        Label::new(&format!("{beginning}x")).map_err(wrong)?;
        Ok(Self { text: beginning.to_ascii_lowercase(), open: true })
    }
}

impl TryFrom<String> for ServicePattern {
    type Error = ServicePatternError;
    fn try_from(text: String) -> Result<Self, ServicePatternError> {
        text.parse()
    }
}

impl From<ServicePattern> for String {
    fn from(pattern: ServicePattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for ServicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.open { f.write_str("*") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_beginning() {
        for (pattern, service, matches) in [
            ("web", "web", true),
            ("Web", "web", true),
            ("web", "web-2", false),
            ("web", "we", false),
            ("shop-*", "shop-cart", true),
            ("SHOP-*", "shop-cart", true),
            ("shop-*", "shop", false),
            ("shop-*", "workshop-a", false),
            ("*", "web", true),
        ] {
            let read: ServicePattern = pattern.parse().unwrap();

            let service = ServiceName::new(service).unwrap();
            assert_eq!(read.matches(&service), matches, "{pattern} {service}");
            assert_eq!(read.to_string(), pattern.to_lowercase());
        }
    }

    #[test]
    fn a_star_is_at_the_end_or_nowhere() {
        for text in ["", "**", "*web", "we*b", "a.b", "a.*", "-*", "we b", "web-", "caf\u{e9}*"] {
            assert!(text.parse::<ServicePattern>().is_err(), "{text}");
        }
    }
}
