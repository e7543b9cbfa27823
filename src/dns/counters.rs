//! What the sockets count: everything that was dropped, refused or went wrong.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters shared by all sockets; each only grows, except [`tcp_open`](Self::tcp_open).
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets that got no reply on purpose: no query, or a reply themselves.
    pub silent: AtomicU64,
    /// UDP replies that the system would not take at once.
    pub dropped_sends: AtomicU64,
    /// Packets whose handling panicked; they got no reply.
    pub panics: AtomicU64,
    /// Connections that came to no agreement on keys, or not in time.
    pub tls_failures: AtomicU64,
    /// HTTP requests that were not a question, or too large or slow.
    pub https_refused: AtomicU64,
    /// QUIC connections open now.
    pub quic_open: AtomicU64,
    /// QUIC connections closed since their client broke a rule of RFC 9250.
    pub quic_protocol_errors: AtomicU64,
    /// QUIC clients told to prove their address first.
    pub quic_retries: AtomicU64,
    /// TCP connections open now, encrypted ones too.
    pub tcp_open: AtomicU64,
    /// TCP connections closed at once because all others were busy.
    pub tcp_refused: AtomicU64,
    /// TCP connections closed to make room for a new one: those that had done nothing for longest.
    pub tcp_evicted: AtomicU64,
    /// TCP connections that were over before they could be accepted, or could not be for want of
    /// file descriptors or memory.
    pub tcp_accept_errors: AtomicU64,
}

/// Adds one. Nothing is ordered by counters.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One more for as long as what this returns is kept, however that ends.
pub(crate) fn hold(counter: &AtomicU64) -> Held<'_> {
    counter.fetch_add(1, Ordering::Relaxed);
    Held(counter)
}

/// One of what a counter has open.
pub(crate) struct Held<'c>(&'c AtomicU64);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
