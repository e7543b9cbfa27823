//! `/openapi.json` and `/docs`: that what they say is so, by the real server and by programs of others
//! that believe it.

#[cfg(test)]
mod document;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod page;
#[cfg(test)]
mod schemathesis;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;
