//! The one place that reads the clock, and that sleeps.

use std::time::{Duration, Instant};

/// Now.
#[expect(clippy::disallowed_methods, reason = "a benchmark times what it does")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "loads have a rate, and other servers tell nobody")]
pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}
