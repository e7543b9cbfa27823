//! What is fuzzed: one function a target. Each takes bytes and panics when a law is broken.
//!
//! The fuzzer's programs call them, and so does `tests/fuzzed.rs`, with the corpus and with bytes
//! made at random, so that what was found once stays found.

mod https;
mod packet;
mod served;
mod stream;
mod ways;
mod zone;

pub use https::https;
pub use packet::packet;
pub use stream::stream;
pub use ways::ways;
pub use zone::zone;
