//! What DNS and HTTP share of TCP: accepting that survives, and who may stay when there are too
//! many.
//!
//! Knows no protocol: what is said on a connection is the fronts' matter.

pub mod accept;
pub mod connections;
