//! The programs by which people judge a name server: each has nothing to complain about.
//!
//! A program that is not installed is skipped with a line that says so; `./test` installs all.

#[cfg(test)]
mod compliance;
#[cfg(test)]
#[path = "../pages/mod.rs"]
#[expect(dead_code, reason = "readme.rs uses the rest")]
mod pages;
#[cfg(test)]
mod programs;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;
#[cfg(test)]
mod zonemaster;
