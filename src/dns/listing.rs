//! Writes what DNS-SD lists of a zone as a whole: its types of service, and itself (RFC 6763
//! sections 9 and 11). Reads one list that is kept ready, however many services there are.

use crate::dns::authority::STATIC_TTL;
use crate::dns::name::Name;
use crate::dns::reply::{Record, Reply, Section};
use crate::dns::rtype;
use crate::model::Protocol;
use crate::registry::{ServiceType, Views};
use crate::resolve::Listing;

/// Writes `listing` of the zone at `apex`; `false` when there is nothing in it. `ttl` is that of
/// services that say nothing, since these are of all of them.
pub(super) fn write(
    reply: &mut Reply<'_>,
    listing: Listing,
    owner: &[u8],
    apex: &Name,
    views: &Views,
    ttl: u32,
) -> bool {
    let push = |reply: &mut Reply<'_>, ttl: u32, rdata: &[&[u8]]| {
        reply.push(Section::Answer, &Record { owner, rtype: rtype::PTR, ttl, rdata })
    };
    match listing {
        Listing::Domains => push(reply, STATIC_TTL, &[apex.wire()]),
        Listing::Types => views.read_types(|types| {
            let written = types.iter().take_while(|of| {
                let service = of.service.as_str();
                let rdata = [&label_start(service), service.as_bytes(), protocol(of), apex.wire()];
                push(reply, ttl, &rdata)
            });
            // Sorted, so that the part which fits is the same every time.
            if written.count() < types.len() {
                reply.truncate();
            }
            !types.is_empty()
        }),
    }
}

/// What `_web` begins with in wire form, before `web`.
fn label_start(service: &str) -> [u8; 2] {
    let length = u8::try_from(service.len() + 1).expect("a service's name has at most 62 bytes");
    [length, b'_']
}

/// `_tcp`, in wire form.
fn protocol(of: &ServiceType) -> &'static [u8] {
    match of.protocol {
        Protocol::Tcp => b"\x04_tcp",
        Protocol::Udp => b"\x04_udp",
        Protocol::Sctp => b"\x05_sctp",
    }
}
