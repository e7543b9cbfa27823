//! The side-port from outside: a real registry behind a real socket, spoken to in plain HTTP.

mod bulk;
mod connections;
mod instances;
mod malformed;
mod services;
mod support;
mod system;
mod watch;
