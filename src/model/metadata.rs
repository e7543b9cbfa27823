//! The metadata of an instance: string pairs that never change in place.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::model::instance::{SpecError, at_most};
use crate::model::texts::Texts;

/// String pairs: at most 64, keys of 1-128 bytes, values of at most 512.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Metadata(Texts);

impl Metadata {
    /// The pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut texts = self.0.iter();
        std::iter::from_fn(move || Some((texts.next()?, texts.next()?)))
    }

    /// How many bytes keys and values have together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(str::len).sum()
    }

    /// How many bytes of memory it takes.
    pub(super) fn footprint(&self) -> usize {
        self.0.footprint()
    }

    /// The value of `key`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.iter().find(|(own, _)| *own == key).map(|(_, value)| value)
    }

    /// These pairs with `entries` merged in: null removes one.
    pub(super) fn merged(
        &self,
        entries: BTreeMap<String, Option<String>>,
    ) -> Result<Self, SpecError> {
        let own = self.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut merged: BTreeMap<String, String> = own.collect();
        for (key, value) in entries {
            match value {
                Some(value) => merged.insert(key, value),
                None => merged.remove(&key),
            };
        }
        Self::try_from(merged)
    }
}

impl TryFrom<BTreeMap<String, String>> for Metadata {
    type Error = SpecError;
    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, SpecError> {
        at_most("metadata", pairs.len(), 64)?;
        for (key, value) in &pairs {
            if key.is_empty() || key.len() > 128 {
                let reason = format!("a key of {} bytes, 1-128 are allowed", key.len());
                return Err(SpecError::new("metadata", reason));
            }
            if value.len() > 512 {
                let reason = format!("{key:?} has {} bytes, at most 512 are allowed", value.len());
                return Err(SpecError::new("metadata", reason));
            }
        }
        let texts = pairs.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
        Ok(Self(texts.collect()))
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
