//! What active checks count. Read by metrics.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::histogram::Histogram;

/// The counters of the health layer.
#[derive(Debug)]
pub struct HealthStats {
    /// Checks that are kept up.
    pub checks: AtomicU64,
    /// Probes under way.
    pub running: AtomicU64,
    /// Probes that are due and wait for others to end.
    pub queued: AtomicU64,
    /// Probes that said something of an instance.
    pub probes: AtomicU64,
    /// Of these, those that failed.
    pub failures: AtomicU64,
    /// Probes that this machine could not do.
    pub unable: AtomicU64,
    /// Changes of a check's state.
    pub changes: AtomicU64,
    /// The longest that any probe began late, in milliseconds, since the last look.
    pub lag_ms: AtomicU64,
    /// How long probes take, in seconds.
    pub duration: Histogram,
}

impl Default for HealthStats {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self {
            checks: zero(),
            running: zero(),
            queued: zero(),
            probes: zero(),
            failures: zero(),
            unable: zero(),
            changes: zero(),
            lag_ms: zero(),
            duration: Histogram::new([0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0]),
        }
    }
}
