//! The DNS front: sockets, wire format, static zones; the only place with hickory.
//!
//! A packet goes `serve` -> `front` -> `query` -> an answer -> `reply`, or past the last three by
//! `fast`. Nothing here waits, locks or logs per query, and nothing is kept from what a query said.

pub mod authority;
pub mod batch;
pub mod cookies;
pub mod counters;
pub mod edns;
pub mod explain;
pub mod front;
pub mod metrics;
pub mod name;
pub mod pulse;
pub mod query;
pub mod quic;
pub mod rate_limit;
pub mod rcode;
pub mod reply;
pub mod reverse;
pub mod rtype;
pub mod serve;
pub mod served;
pub mod sockets;
pub mod tcp;
pub mod tls;
pub mod transport;
pub mod zones;

#[cfg(test)]
mod answers;
mod compress;
mod count;
mod datagrams;
mod exchange;
mod fast;
#[cfg(test)]
mod fixture;
mod handed;
mod histogram;
mod https;
#[cfg(test)]
mod laws;
mod listing;
mod messages;
#[cfg(test)]
mod near_answers;
mod opt;
#[cfg(test)]
mod option_answers;
mod present;
mod responder;
mod shard;
mod svcb;
pub mod udp;
mod writer;
