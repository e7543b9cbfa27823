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
