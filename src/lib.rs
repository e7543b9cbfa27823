//! signpost: DNS-based service discovery.
//!
//! ARCHITECTURE.md draws the house; `tests/layers.rs` keeps its rule: no module imports one above.

pub mod audit;
pub mod balance;
pub mod cli;
pub mod config;
pub mod dns;
pub mod doctor;
pub mod fence;
pub mod health;
pub mod http;
pub mod model;
pub mod net;
pub mod registry;
pub mod resolve;
pub mod server;
pub mod simulate;
pub mod snapshot;
pub mod store;
