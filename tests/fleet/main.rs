//! A fleet: twelve HTTP servers of two speeds that register, report their load and one day die, and
//! clients that ask for every request whom to send it to.

#[cfg(test)]
mod clients;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod plot;
#[cfg(test)]
mod reports;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;
#[cfg(test)]
mod weights;
