//! The name of a zone: the apex under which services are served.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An absolute zone name of one or more labels, lower case, without the trailing dot:
/// `service.local`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName(Arc<str>);

impl ZoneName {
    /// The longest zone name: leaves an ordinary service and instance the room that DNS has.
    pub const MAX: usize = 180;

    /// Folds `text` to lower case, drops a trailing dot, and checks it.
    ///
    /// # Errors
    /// For the root, for `local` (RFC 6762 section 3: it belongs to mDNS), for labels that are not
    /// 1-63 of a-z 0-9 '-' '_', and for names over [`Self::MAX`] characters.
    pub fn new(text: &str) -> Result<Self, ZoneNameError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return Err(ZoneNameError::Root);
        }
        if name == "local" {
            return Err(ZoneNameError::Mdns);
        }
        let illegal = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
        if let Some(found) = name.chars().find(|c| illegal(*c)) {
            return Err(ZoneNameError::Character { found });
        }
        if let Some(label) = name.split('.').find(|label| !(1..=63).contains(&label.len())) {
            return Err(ZoneNameError::Label { length: label.len() });
        }
        if name.len() > Self::MAX {
            return Err(ZoneNameError::TooLong { length: name.len() });
        }
        Ok(Self(name.into()))
    }

    /// The name's text: lower case, without the trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one of the two zones is the other or lies below it.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let below = |name: &Self, apex: &Self| {
            let left = name.0.strip_suffix(&*apex.0);
            left.is_some_and(|left| left.is_empty() || left.ends_with('.'))
        };
        below(self, other) || below(other, self)
    }

    /// The labels, leftmost first; at least one.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The length in characters, without the trailing dot.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.len()
    }
}

impl Default for ZoneName {
    fn default() -> Self {
        Self("service.local".into())
    }
}

/// Why a text is not a zone name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneNameError {
    /// Nothing, or only a dot.
    #[error("a zone needs at least one label, e.g. \"service.local\"")]
    Root,
    /// `local` itself.
    #[error("\"local\" itself belongs to multicast DNS, take a name under it: \"service.local\"")]
    Mdns,
    /// A character outside the alphabet.
    #[error("{found:?} is not allowed in a zone name, only a-z 0-9 '-' '_' and '.' are")]
    Character {
        /// The offending character.
        found: char,
    },
    /// An empty or overlong label.
    #[error("a label of {length} characters, 1-63 are allowed")]
    Label {
        /// How long it was.
        length: usize,
    },
    /// Leaves no room for the names in it.
    #[error(
        "a zone name of {length} characters is too long, at most {} are allowed",
        ZoneName::MAX
    )]
    TooLong {
        /// How long it was.
        length: usize,
    },
}

impl FromStr for ZoneName {
    type Err = ZoneNameError;
    fn from_str(text: &str) -> Result<Self, ZoneNameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for ZoneName {
    type Error = ZoneNameError;
    fn try_from(text: String) -> Result<Self, ZoneNameError> {
        Self::new(&text)
    }
}

impl From<ZoneName> for String {
    fn from(name: ZoneName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_canonical() {
        let zone = ZoneName::new("SVC.Example.").unwrap();

        assert_eq!(zone.as_str(), "svc.example");
        assert_eq!(zone.labels().collect::<Vec<_>>(), ["svc", "example"]);
        assert_eq!(zone.length(), 11);
    }

    #[test]
    fn one_label_and_any_host_label_are_legal() {
        for text in ["internal", "_x.example", "a-.b", "3.2.example", "service.local"] {
            assert_eq!(ZoneName::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn zones_overlap_at_label_borders() {
        let overlap = |a, b| ZoneName::new(a).unwrap().overlaps(&ZoneName::new(b).unwrap());

        assert!(overlap("svc.internal", "svc.internal"));
        assert!(overlap("a.svc.internal", "internal"));
        assert!(overlap("internal", "a.svc.internal"));
        assert!(!overlap("asvc.internal", "svc.internal"));
        assert!(!overlap("a.internal", "b.internal"));
    }

    #[test]
    fn the_default_is_legal() {
        assert_eq!(ZoneName::new("service.local"), Ok(ZoneName::default()));
    }

    #[test]
    fn what_cannot_be_a_zone_is_refused_with_the_reason() {
        let long = ["a".repeat(60).as_str(), &"b".repeat(60), &"c".repeat(59)].join(".");
        for (text, error) in [
            ("", ZoneNameError::Root),
            (".", ZoneNameError::Root),
            ("Local.", ZoneNameError::Mdns),
            ("a b", ZoneNameError::Character { found: ' ' }),
            ("a..b", ZoneNameError::Label { length: 0 }),
            (".a", ZoneNameError::Label { length: 0 }),
            ("a..", ZoneNameError::Label { length: 0 }),
            (&"a".repeat(64), ZoneNameError::Label { length: 64 }),
            (&long, ZoneNameError::TooLong { length: 181 }),
        ] {
            assert_eq!(ZoneName::new(text), Err(error), "{text}");
        }
        assert!(ZoneName::new(&long[1..]).is_ok());
    }
}
