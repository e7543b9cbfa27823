//! A zone whose names are the registry's: the server's own, and each alias of it. Its apex and the
//! name of the server in it; what is below is asked of `resolve`.

use std::net::IpAddr;

use crate::dns::name::Name;
use crate::dns::reply::{Record, Reply, Section};
use crate::dns::rtype;
use crate::dns::zones::SoaTimers;

/// What a zone of ours says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Authority {
    /// The apex, in lower case.
    pub apex: Name,
    /// The server's own name below it.
    pub own_name: Name,
    /// The name servers, where no zone file says otherwise.
    pub name_servers: Vec<Name>,
    /// The primary of the zone: MNAME.
    pub primary: Name,
    /// The SOA fields that are not the registry's.
    pub soa: SoaTimers,
}

impl Authority {
    /// Writes the SOA of a zone at `apex`, which may be a reverse zone under the same authority.
    /// `serial` is the registry's revision; the TTL is the MINIMUM (RFC 2308 section 3). `false`
    /// when it does not fit.
    pub(super) fn push_soa(
        &self,
        reply: &mut Reply<'_>,
        section: Section,
        apex: &[u8],
        serial: u32,
        negative_ttl: u32,
    ) -> bool {
        let mut numbers = [0; 20];
        let fields = [serial, self.soa.refresh, self.soa.retry, self.soa.expire, negative_ttl];
        for (bytes, field) in numbers.chunks_exact_mut(4).zip(fields) {
            bytes.copy_from_slice(&field.to_be_bytes());
        }
        let rdata = [self.primary.wire(), self.soa.rname.wire(), &numbers];
        let soa = Record { owner: apex, rtype: rtype::SOA, ttl: negative_ttl, rdata: &rdata };
        reply.push(section, &soa)
    }

    /// Writes the NS set of a zone at `owner` into the answer.
    pub(super) fn push_servers(&self, reply: &mut Reply<'_>, owner: &[u8]) {
        for server in &self.name_servers {
            let rdata = [server.wire()];
            let ns = Record { owner, rtype: rtype::NS, ttl: STATIC_TTL, rdata: &rdata };
            reply.push(Section::Answer, &ns);
        }
    }

    /// Writes the addresses of this server's name in the zone as additional ones.
    pub(super) fn push_own_addresses(&self, reply: &mut Reply<'_>, addresses: &[IpAddr]) {
        for address in addresses {
            push_address(reply, Section::Additional, self.own_name.wire(), STATIC_TTL, *address);
        }
    }
}

/// Writes an A or AAAA record; `false` when it does not fit.
pub(super) fn push_address(
    reply: &mut Reply<'_>,
    section: Section,
    owner: &[u8],
    ttl: u32,
    address: IpAddr,
) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let rdata = [&v4.octets()[..]];
            reply.push(section, &Record { owner, rtype: rtype::A, ttl, rdata: &rdata })
        }
        IpAddr::V6(v6) => {
            let rdata = [&v6.octets()[..]];
            reply.push(section, &Record { owner, rtype: rtype::AAAA, ttl, rdata: &rdata })
        }
    }
}

/// TTL of what only a restart or a reload changes: NS and the server's own addresses, in seconds.
pub(super) const STATIC_TTL: u32 = 300;
