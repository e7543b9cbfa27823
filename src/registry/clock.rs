//! The only place that reads a clock. Everything else is handed the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::Millis;

/// A monotonic clock that shows one second at its making, so that zero is always past. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    /// Milliseconds since the start. Does not count time in which the machine was suspended.
    #[must_use]
    pub fn now(self) -> Millis {
        START + self.start.elapsed()
    }

    /// How long it runs, as exactly as the system can tell.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.start.elapsed()
    }

    /// The moment on the runtime's clock at which [`Clock::now`] will be `time`.
    #[must_use]
    pub(crate) fn instant(self, time: Millis) -> tokio::time::Instant {
        self.start + time.min(FAR).since(START)
    }

    /// The wall clock, as time since 1970. For people, and for what servers exchange among themselves
    /// (cookies); nothing of the registry is decided by it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn wall(self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A year: far enough for any timer, and it cannot overflow an instant.
const FAR: Millis = Millis(365 * 86_400_000);

/// What the clock shows at its making.
const START: Millis = Millis(1_000);
