//! Packet in, packet out: what every transport calls.
//!
//! Decides which zone a name belongs to and lays out the sections; which instances are answered is
//! `resolve`'s matter. Loads what it serves after the packet was read, waits for nothing.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::dns::metrics::Metrics;
use crate::dns::query::{Head, Parsed, Query, parse};
use crate::dns::rcode::Rcode;
use crate::dns::reply::{Record, Reply};
use crate::dns::responder::{Quiet, Responder};
use crate::dns::rtype;
use crate::dns::served::Served;
use crate::dns::transport::{Peer, Transport};
use crate::registry::Registry;

/// The DNS front: one for all transports and tasks.
#[derive(Debug)]
pub struct Front {
    registry: Registry,
    served: ArcSwap<Served>,
    metrics: Metrics,
}

impl Front {
    /// A front that answers from `registry` and `served`.
    #[must_use]
    pub fn new(registry: Registry, served: Served) -> Self {
        Self { registry, served: ArcSwap::from_pointee(served), metrics: Metrics::default() }
    }

    /// Puts `served` in force for the next packet.
    pub fn serve(&self, served: Served) {
        self.served.store(Arc::new(served));
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is served now.
    #[must_use]
    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// The registry that is answered from.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Answers `packet` into `reply`, which is emptied; says whether there is anything to send.
    pub fn handle(&self, packet: &[u8], peer: Peer, reply: &mut Vec<u8>) -> bool {
        let clock = self.registry.clock();
        let began = clock.elapsed();
        let served = self.served.load();
        let (rtype, rcode) = match parse(packet) {
            Parsed::Silence => return false,
            Parsed::Error(head, rcode) => {
                start(reply, &head, peer.transport, &served).finish(rcode, false);
                (None, rcode)
            }
            Parsed::Chaos(query) => (None, chaos(&served, &query, peer.transport, reply)),
            Parsed::Query(query) => {
                let writer = start(reply, &query.head, peer.transport, &served);
                let now = self.registry.clock().now();
                let rcode = RNG.with_borrow_mut(|rng| {
                    let views = self.registry.views();
                    Responder::new(views, &served, &query, peer, now, rng)
                        .respond(writer, &mut Quiet)
                });
                (Some(query.rtype), rcode)
            }
        };
        let took = clock.elapsed().saturating_sub(began);
        self.metrics.answered(peer, rtype, rcode, packet.len(), reply, took);
        true
    }
}

/// The server's identity, for who asks as RFC 4892 has it. Everything else is refused: no version
/// is given away.
fn chaos(served: &Served, query: &Query<'_>, transport: Transport, reply: &mut Vec<u8>) -> Rcode {
    let mut writer = start(reply, &query.head, transport, served);
    let asks = [ID_SERVER, HOSTNAME_BIND].contains(&query.name.wire());
    if !asks || ![rtype::TXT, rtype::ANY].contains(&query.rtype) {
        writer.finish(Rcode::Refused, false);
        return Rcode::Refused;
    }
    let text = character_string(served.identity.as_bytes());
    let (owner, rdata) = (query.name.wire(), [&text[..]]);
    writer.push_chaos(&Record { owner, rtype: rtype::TXT, ttl: 0, rdata: &rdata });
    writer.finish(Rcode::NoError, false);
    Rcode::NoError
}

fn start<'r>(
    reply: &'r mut Vec<u8>,
    head: &Head<'_>,
    transport: Transport,
    served: &'r Served,
) -> Reply<'r> {
    Reply::start(reply, head, transport, served.identity.as_bytes())
}

thread_local! {
    /// Choosing needs chance, not secrecy: one generator a thread, seeded by the system.
    static RNG: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
}

/// A character-string (RFC 1035 section 3.3): its length, then at most 255 bytes.
fn character_string(text: &[u8]) -> Vec<u8> {
    let text = &text[..text.len().min(255)];
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    std::iter::once(length).chain(text.iter().copied()).collect()
}

const ID_SERVER: &[u8] = b"\x02id\x06server\x00";
const HOSTNAME_BIND: &[u8] = b"\x08hostname\x04bind\x00";
