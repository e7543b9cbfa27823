//! Names and records beyond addresses, SRV and TXT of a service, as other programs see them.

mod addresses;
mod aliases;
mod bindings;
mod browsing;
mod statics;
#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
