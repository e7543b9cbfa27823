//! A fleet, its clients and the caches between them on virtual time: what an algorithm, an answer
//! mode and a ttl will do to them before anybody deploys it.
//!
//! The pools, meters and weights are those of `balance` that answer queries, built and weighed as
//! `registry` does it. Nothing here reads a clock, and all chance comes from the seed that it is
//! given, so every run can be repeated. `cli::simulate` calls it.

pub mod advice;
pub mod compare;
pub mod outcome;
pub mod plan;
pub mod run;
pub mod scenario;

mod agenda;
mod cast;
mod demand;
mod name_server;
mod resolver;
mod server;
mod stub;
mod tally;
