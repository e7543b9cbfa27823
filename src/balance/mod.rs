//! Who is answered: one selector per algorithm, and the shaper that decides how many and in what
//! order.
//!
//! Everything is computed when a pool is built; a pick takes no lock, waits for nobody and does
//! not allocate. Time and randomness are arguments. The registry builds pools, resolve asks them.

pub mod dynamic;
pub mod hash;
pub mod meter;
pub mod pool;
pub mod weights;

pub use dynamic::Dynamic;
pub use hash::{client_hash, instance_hash, key_hash};
pub use meter::{Meter, REPORT_TTL};
pub use pool::{Ask, Member, Pool, PoolSpec};
pub use weights::{idle_capacity, srv_weights};
pub fn mix(a: u64, b: u64) -> u64 {
    a ^ b
}
