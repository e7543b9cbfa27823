//! Who is answered: one selector per algorithm, and the shaper that decides how many and in what
//! order.
//!
//! Everything is computed when a pool is built; a pick takes no lock and waits for nobody. Time
//! and randomness are arguments. The registry builds pools, resolve asks them.

pub mod dynamic;
pub mod hash;
pub mod in_force;
pub mod meter;
pub mod nearness;
pub mod owners;
pub mod pool;
pub mod ramps;
pub mod slow_start;
pub mod traffic;
pub mod weights;

mod cast;
mod clients;
mod consistent_hash;
mod counter;
mod dice;
mod exponential;
mod gauges;
mod least_connections;
mod mode;
mod pps;
mod random;
mod rate;
mod room;
mod round_robin;
mod schedule;
mod selector;
mod units;
mod weighted_round_robin;

#[cfg(test)]
mod behind_caches;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod statistics;
#[cfg(test)]
mod testing;
