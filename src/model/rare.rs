//! A field that nearly always has its default: it takes a pointer, and memory only where it says
//! something.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value, kept aside unless it is the default. In JSON it is like the value itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    /// The value; `None` when it is the default.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// Whether it is the default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0.is_none()
    }
}

impl<T: Default + PartialEq> From<T> for Rare<T> {
    fn from(value: T) -> Self {
        Self((value != T::default()).then(|| Box::new(value)))
    }
}

impl<T: Default + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.get() {
            Some(value) => value.serialize(serializer),
            None => T::default().serialize(serializer),
        }
    }
}

impl<'de, T: Default + PartialEq + Deserialize<'de>> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}
