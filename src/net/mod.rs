//! What DNS and HTTP share of TCP: accepting that survives, who may stay when there are too many, and
//! who asks too often.
//!
//! Knows no protocol: what is said on a connection is the fronts' matter.

pub mod accept;
pub mod buckets;
pub mod connections;
