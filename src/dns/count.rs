//! One number that only grows, and is read at any time.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A counter. When `SHARED`, many threads move it, which costs each of them the line of the cache
/// that the others have. Else one does; what a second one added might be lost.
#[derive(Debug, Default)]
pub(crate) struct Count<const SHARED: bool>(AtomicU64);

impl<const SHARED: bool> Count<SHARED> {
    /// So many more.
    pub(crate) fn add(&self, number: u64) {
        if SHARED {
            self.0.fetch_add(number, Relaxed);
        } else {
            self.0.store(self.value().wrapping_add(number), Relaxed);
        }
    }

    /// The number now.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
