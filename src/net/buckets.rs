//! Token buckets in a table of fixed size: who takes how many a second, of any number of clients.
//!
//! Nothing is kept of anybody, nothing is locked or allocated, and many clients take no more memory
//! than one. Who a client is, is the caller's matter, as is the secret under which it is hashed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets by hash. A client has one in each row, and is over its limit when both say so: then a
/// single hot stranger in one of them does it no harm. Strangers can only make a limit stricter,
/// and that takes two; with h hot ones the chance is (h / 65536)^2.
#[derive(Debug)]
pub struct Buckets {
    rows: [Box<[AtomicU64]>; 2],
}

impl Buckets {
    /// Full ones.
    #[must_use]
    pub fn new() -> Self {
        let row = || std::iter::repeat_with(AtomicU64::default).take(BUCKETS).collect();
        Self { rows: [row(), row()] }
    }

    /// Takes a token for `hash` out of both rows, at `now` since some fixed moment; whether there was
    /// one in either. A bucket holds one second's worth, `rate`, which is not 0: whoever never exceeds
    /// the rate in any second has one, and a flood gets that many at once, then the rate.
    #[must_use]
    #[inline]
    pub fn take(&self, hash: u64, rate: u32, now: Duration) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let cost = SECOND / u64::from(rate);
        let [a, b, c, d, ..] = hash.to_le_bytes();
        let [first, second] = [[a, b], [c, d]].map(|bytes| usize::from(u16::from_le_bytes(bytes)));
        let [in_first, in_second] = [&self.rows[0][first], &self.rows[1][second]]
            .map(|bucket| take_token(bucket, cost, now));
        in_first || in_second
    }
}

impl Default for Buckets {
    fn default() -> Self {
        Self::new()
    }
}

/// A bucket is one number: when it will be full again. It holds a second's worth of tokens, each of
/// which takes `cost` nanoseconds to come back.
fn take_token(bucket: &AtomicU64, cost: u64, now: u64) -> bool {
    let after = |full_at: u64| {
        let full_at = full_at.max(now) + cost;
        (full_at <= now + SECOND).then_some(full_at)
    };
    bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).is_ok()
}

/// As many as 16 bits of the hash tell apart: 512 KiB a row, 1 MiB in all.
const BUCKETS: usize = 1 << 16;

/// In nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;
