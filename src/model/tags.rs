//! The tags of an instance: a set that never changes in place.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::model::name::Label;
use crate::model::rare::Rare;
use crate::model::texts::Texts;

/// Labels that `tag` names select by, sorted.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "BTreeSet<Label>")]
pub struct Tags(Rare<Texts>);

impl Tags {
    /// The tags, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.get().into_iter().flat_map(Texts::iter)
    }

    /// Whether `tag` is one of them.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.iter().any(|own| own == tag)
    }
}

impl From<BTreeSet<Label>> for Tags {
    fn from(tags: BTreeSet<Label>) -> Self {
        Self(tags.iter().map(Label::as_str).collect::<Texts>().into())
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
