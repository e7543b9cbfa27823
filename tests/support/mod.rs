//! What the black-box tests share: the real binary as a child process, and clients of its sockets.
//!
//! Nothing here knows the library. A test crate uses the part that it needs.

pub(crate) mod authenticated;
pub(crate) mod dig;
pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod message;
pub(crate) mod needs;
pub(crate) mod outcome;
pub(crate) mod packet;
pub(crate) mod server;
pub(crate) mod spread;
pub(crate) mod tls;
pub(crate) mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Calls `probe` until it gives something; fails the test with `what` when `within` is over.
#[expect(clippy::disallowed_methods, reason = "polls what has no event to wait for")]
pub(crate) fn eventually<T>(
    within: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let start = now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < within, "after {within:?} not yet: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The time by which tests measure.
#[expect(clippy::disallowed_methods, reason = "tests measure from outside, by their own clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Holds the test until `moment`: for what has to be looked at then, not before.
#[expect(clippy::disallowed_methods, reason = "the passing of time is what is tested")]
pub(crate) fn at(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(now()));
}

/// Runs `work`, and measures meanwhile by how much this machine wakes a sleeper too late: what
/// others have to be granted too. Returns that too.
#[expect(clippy::disallowed_methods, reason = "a sleeper is what is measured")]
pub(crate) fn with_noise<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let (nap, mut noise) = (Duration::from_millis(2), Duration::ZERO);
            while !over.load(Ordering::Relaxed) {
                let start = now();
                std::thread::sleep(nap);
                noise = noise.max(start.elapsed().saturating_sub(nap));
            }
            noise
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        let noise = sleeper.join().unwrap();
        (result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), noise)
    })
}

/// Everyday deadline: far more than it takes on a loaded machine, and still an end.
pub(crate) const SOON: Duration = Duration::from_secs(20);
