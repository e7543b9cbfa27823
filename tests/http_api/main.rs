//! The side-port from outside: a real registry behind a real socket, spoken to in plain HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as the tests do, and tests of time limits read the clock"
)]

mod bulk;
mod connections;
mod instances;
mod malformed;
mod services;
mod support;
mod system;
mod watch;
