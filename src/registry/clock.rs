//! The only place that reads a clock. Everything else is handed the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::Millis;

/// A monotonic clock whose zero is its making. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    zero: tokio::time::Instant,
}

impl Clock {
    /// Starts at zero now.
    #[must_use]
    pub fn start() -> Self {
        Self { zero: tokio::time::Instant::now() }
    }

    /// Milliseconds since the start. Does not count time in which the machine was suspended.
    #[must_use]
    pub fn now(self) -> Millis {
        Millis(0) + self.zero.elapsed()
    }

    /// The moment on the runtime's clock at which [`Clock::now`] will be `time`.
    #[must_use]
    pub(crate) fn instant(self, time: Millis) -> tokio::time::Instant {
        self.zero + Duration::from_millis(time.0.min(FAR))
    }

    /// The wall clock, as time since 1970. For people to read; nothing is decided by it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn wall(self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A year: far enough for any timer, and it cannot overflow an instant.
const FAR: u64 = 365 * 86_400_000;
