//! A list that nearly always has one entry: that one needs no memory of its own.

use std::ops::Deref;
use std::slice::Iter;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Entries in order, never changed. In JSON it is a list.
#[derive(Debug, Clone)]
pub struct Few<T>(Entries<T>);

#[derive(Debug, Clone)]
enum Entries<T> {
    One(T),
    /// Any number, but one.
    Others(Box<[T]>),
}

impl<T> Deref for Few<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match &self.0 {
            Entries::One(entry) => std::slice::from_ref(entry),
            Entries::Others(entries) => entries,
        }
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(entries: Vec<T>) -> Self {
        Self(match <[T; 1]>::try_from(entries) {
            Ok([entry]) => Entries::One(entry),
            Err(entries) => Entries::Others(entries.into()),
        })
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Few<T> {}

impl<'f, T> IntoIterator for &'f Few<T> {
    type Item = &'f T;
    type IntoIter = Iter<'f, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Serialize> Serialize for Few<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_any_length_come_back_and_one_entry_is_kept_in_place() {
        for json in ["[]", "[1]", "[1,2,3]"] {
            let few: Few<u64> = serde_json::from_str(json).unwrap();

            assert_eq!(serde_json::to_string(&few).unwrap(), json);
        }
        let few = Few::from(vec![7_u64]);
        let (own, entry) = (std::ptr::from_ref(&few).addr(), few.as_ptr().addr());
        assert!((own..own + size_of_val(&few)).contains(&entry));
    }
}
