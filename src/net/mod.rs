//! What DNS and HTTP share of sockets: those that were there before, accepting that survives, who may
//! stay when there are too many, and who asks too often.
//!
//! Knows no protocol: what is said on a connection is the fronts' matter.

pub mod accept;
pub mod buckets;
pub mod connections;
pub mod inherited;

/// How many connections may wait to be accepted, as far as the system allows.
pub(crate) const BACKLOG: i32 = 1_024;
