//! DNS labels as the registry allows them, and the kinds of names made of one.
//!
//! A label is 1-63 of a-z 0-9 '-' '_' and begins and ends with a letter or digit; upper case is
//! folded (RFC 4343). Strings from outside become these types once and are never checked again.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use ecow::EcoString;
use serde::{Deserialize, Serialize};

/// A DNS label of the registry's alphabet, in lower case. Cheap to clone; up to 15 characters take no
/// memory but its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(EcoString);

impl Label {
    /// The longest label that DNS can carry (RFC 1035 section 2.3.4).
    pub const MAX: usize = 63;

    /// Folds `text` to lower case and checks it.
    ///
    /// # Errors
    /// When `text` is empty, too long, or not of the alphabet described above.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check(text, Self::MAX)?;
        Ok(Self(text.chars().map(|c| c.to_ascii_lowercase()).collect()))
    }

    /// The label's text, lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a legal name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than DNS or a derived name allows.
    #[error("a name of {length} characters is too long, at most {max} are allowed")]
    TooLong {
        /// How long it was, in bytes.
        length: usize,
        /// How long it may be.
        max: usize,
    },
    /// A character outside the alphabet.
    #[error("{found:?} is not allowed in a name, only a-z 0-9 '-' and '_' are")]
    Character {
        /// The offending character.
        found: char,
    },
    /// Begins or ends with '-' or '_'.
    #[error("a name must begin and end with a letter or digit, not {found:?}")]
    Edge {
        /// The offending character.
        found: char,
    },
    /// Means something else in the names that DNS serves.
    #[error("{0:?} is reserved")]
    Reserved(&'static str),
}

fn check(text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(found) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_".contains(*c))) {
        return Err(NameError::Character { found });
    }
    if text.len() > max {
        return Err(NameError::TooLong { length: text.len(), max });
    }
    let edges = [text.chars().next(), text.chars().next_back()];
    match edges.into_iter().flatten().find(|c| !c.is_ascii_alphanumeric()) {
        Some(found) => Err(NameError::Edge { found }),
        None => Ok(()),
    }
}

/// Defines a name that is one [`Label`] with a length limit and reserved words of its own.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, max $max:expr, reserved $reserved:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Label);

        impl $name {
            /// Folds `text` to lower case and checks it.
            ///
            /// # Errors
            /// When `text` is not a legal label, too long for this kind of name, or reserved.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, $max)?;
                let label = Label::new(text)?;
                let reserved: &[&'static str] = &$reserved;
                match reserved.iter().find(|word| **word == label.as_str()) {
                    Some(word) => Err(NameError::Reserved(word)),
                    None => Ok(Self(label)),
                }
            }

            /// The name's text, lower case.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        text_impls!($name);
    };
}

macro_rules! text_impls {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
        // Hash, Eq and Ord are those of the text, so maps can be asked with a plain &str.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    };
}

text_impls!(Label);

name! {
    /// A service: `web` in `web.service.local`. One shorter than a label, since `_web` is one too.
    ServiceName, max Label::MAX - 1, reserved []
}
name! {
    /// An instance of a service: `web-1` in `web-1.web.service.local`.
    InstanceId, max Label::MAX, reserved ["tag", "zone", "key"]
}
name! {
    /// A port's name: `http` in `_http._tcp.web.service.local`.
    PortName, max Label::MAX - 1, reserved []
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_case_is_folded() {
        assert_eq!(ServiceName::new("WEB-1").unwrap().as_str(), "web-1");
    }

    #[test]
    fn what_dns_cannot_carry_is_refused_with_the_reason() {
        assert_eq!(Label::new(""), Err(NameError::Empty));
        assert_eq!(Label::new("a.b"), Err(NameError::Character { found: '.' }));
        assert_eq!(Label::new("caf\u{e9}"), Err(NameError::Character { found: '\u{e9}' }));
        assert_eq!(Label::new("-a"), Err(NameError::Edge { found: '-' }));
        assert_eq!(Label::new("a_"), Err(NameError::Edge { found: '_' }));
        assert_eq!(Label::new(&"a".repeat(64)), Err(NameError::TooLong { length: 64, max: 63 }));
        assert!(Label::new(&"a".repeat(63)).is_ok());
        assert!(ServiceName::new(&"a".repeat(63)).is_err());
        assert_eq!(InstanceId::new("Tag"), Err(NameError::Reserved("tag")));
    }
}
