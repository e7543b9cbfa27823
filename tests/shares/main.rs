//! What share of its clients each instance gets, through sockets: by the first address, and by SRV
//! as RFC 2782 reads it and as HAProxy does, each asked directly and behind a real unbound.
//!
//! 20,000 lookups of answers that may be kept for 5 s, and every share within 2 % of all.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod haproxy;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod lookups;
#[cfg(test)]
mod srv;
#[cfg(test)]
mod stand;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;
#[cfg(test)]
mod unbound;
