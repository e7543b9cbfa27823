//! What each kind of query gets, row by row: the query byte by byte, the reply whole, the same on
//! every transport. The number in a test's name is its row's.
//!
//! One server answers all of them. It serves the zones of `served.rs`, so that a row is only data.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as the tests do")]

mod data;
mod edns;
mod header;
mod row;
mod served;
#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod transport;
mod via;
