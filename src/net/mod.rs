//! What DNS and HTTP share of TCP: accepting that survives, who may stay when there are too many, and
//! what servers prove themselves by.
//!
//! Knows no protocol but TLS: what is said on a connection is the fronts' matter.

pub mod accept;
pub mod connections;
pub mod tls;
