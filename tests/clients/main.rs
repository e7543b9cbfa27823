//! The pieces of docs/clients.md, each run by the real program in front of signpost.
//!
//! A program that is not installed is skipped with a line that says so; `./test` installs all but
//! Java, whose package is larger than all the others together.

#[cfg(test)]
mod encrypted;
#[cfg(test)]
mod languages;
#[cfg(test)]
mod libc;
#[cfg(test)]
#[path = "../support/needs.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod needs;
#[cfg(test)]
#[path = "../pages/mod.rs"]
#[expect(dead_code, reason = "readme.rs uses the rest")]
mod pages;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod resolvers;
#[cfg(test)]
mod setup;
