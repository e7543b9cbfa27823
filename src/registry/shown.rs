//! A sorted set of which readers see the first part: lists that may be longer than any reply.
//!
//! Only the engine holds it. What it shows is as long as the longest reply could need, so that a
//! change costs no more than that however many items there are.

use std::collections::BTreeSet;

/// The whole set, and how far it is shown.
#[derive(Debug)]
pub(crate) struct Shown<T> {
    all: BTreeSet<T>,
    /// The last item shown; `None` while all are.
    last: Option<T>,
    stale: bool,
}

impl<T> Default for Shown<T> {
    fn default() -> Self {
        Self { all: BTreeSet::new(), last: None, stale: false }
    }
}

impl<T: Ord + Clone> Shown<T> {
    /// How many items are shown. No message of 64 KiB holds as many records.
    pub(crate) const MOST: usize = 4_096;

    /// Adds an item.
    pub(crate) fn insert(&mut self, item: T) {
        self.stale |= self.shows(&item);
        self.all.insert(item);
    }

    /// Takes an item out.
    pub(crate) fn remove(&mut self, item: &T) {
        self.stale |= self.shows(item);
        self.all.remove(item);
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// What readers are to see, when it is not what they were given last.
    pub(crate) fn news(&mut self) -> Option<Box<[T]>> {
        if !std::mem::take(&mut self.stale) {
            return None;
        }
        let shown: Box<[T]> = self.all.iter().take(Self::MOST).cloned().collect();
        self.last = shown.last().filter(|_| self.all.len() > Self::MOST).cloned();
        Some(shown)
    }

    /// Whether an item here would be among those shown.
    fn shows(&self, item: &T) -> bool {
        self.last.as_ref().is_none_or(|last| item <= last)
    }
}

impl<T: Ord> FromIterator<T> for Shown<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { all: items.into_iter().collect(), last: None, stale: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_of_the_first_part_are_news() {
        let most = Shown::<usize>::MOST;
        let mut shown: Shown<usize> = (0..most + 10).map(|i| i * 2).collect();
        assert_eq!(shown.news().unwrap().len(), most);

        shown.insert(most * 2 + 1);
        shown.remove(&(most * 2 + 4));
        assert_eq!(shown.news(), None);

        shown.remove(&0);
        let news = shown.news().unwrap();
        assert_eq!((news[0], news[most - 1]), (2, most * 2));
        shown.insert(1);
        let news = shown.news().unwrap();
        assert_eq!((news[0], news[most - 1], shown.len()), (1, most * 2 - 2, most + 10));
    }
}
