//! What DNS and HTTP share of sockets: those that were there before, accepting that survives, who may
//! stay when there are too many, who asks too often, and what servers prove themselves by.
//!
//! Knows no protocol but TLS: what is said on a connection is the fronts' matter.

pub mod accept;
pub mod buckets;
pub mod connections;
pub mod inherited;
pub mod silence;
pub mod tls;

/// How many connections may wait to be accepted, as far as the system allows.
pub(crate) const BACKLOG: i32 = 1_024;
