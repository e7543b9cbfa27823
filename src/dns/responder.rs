//! Lays out the reply to one question of class IN.
//!
//! Decides which zone the name belongs to and what of it is static; asks `resolve` for the rest.

use std::net::IpAddr;

use rand::rngs::SmallRng;

use crate::dns::edns::ClientSubnet;
use crate::dns::name::{self, Name};
use crate::dns::query::Query;
use crate::dns::rcode::Rcode;
use crate::dns::reply::{Record, Reply, Section};
use crate::dns::rtype;
use crate::dns::served::{STATIC_TTL, Served};
use crate::dns::transport::Peer;
use crate::dns::zones::{self, ServerZone};
use crate::model::{Millis, Network};
use crate::registry::{ServiceView, Views};
use crate::resolve::{Answer, Asker, Data, Kind, Outcome, Srv, exists, published, resolve};

/// Is told how an answer came about. Queries have nobody to tell.
pub(super) trait Witness {
    /// Whether this is only a look: no counter moves, nothing is handed out.
    const PEEKS: bool;

    /// What was found for the labels left of the apex.
    fn found(
        &mut self,
        view: &ServiceView,
        labels: &[&[u8]],
        kind: Kind,
        outcome: &Outcome<Answer>,
    );
}

/// The witness of a query: none.
pub(super) struct Quiet;

impl Witness for Quiet {
    const PEEKS: bool = false;
    fn found(&mut self, _: &ServiceView, _: &[&[u8]], _: Kind, _: &Outcome<Answer>) {}
}

/// Answers one question.
pub(super) struct Responder<'q> {
    views: &'q Views,
    served: &'q Served,
    query: &'q Query<'q>,
    client: Network,
    now: Millis,
    rng: &'q mut SmallRng,
}

/// How a reply ends.
struct End {
    rcode: Rcode,
    authoritative: bool,
    /// The SOA of the server's zone belongs in the authority section.
    negative: bool,
}

/// What the registry says of a name.
enum Found {
    Answer,
    NoData,
    NxDomain,
}

impl<'q> Responder<'q> {
    pub(super) fn new(
        views: &'q Views,
        served: &'q Served,
        query: &'q Query<'q>,
        peer: Peer,
        now: Millis,
        rng: &'q mut SmallRng,
    ) -> Self {
        // A client subnet of length 0 asks to be left out of it (RFC 7871 section 7.1.2).
        let subnet = query.head.edns.and_then(|edns| edns.subnet);
        let told = subnet.as_ref().and_then(ClientSubnet::network);
        let (address, length) = told.unwrap_or_else(|| (peer.source.ip(), u8::MAX));
        Self { views, served, query, client: served.client(address, length), now, rng }
    }

    /// Writes the whole reply.
    pub(super) fn respond(mut self, mut reply: Reply<'_>, witness: &mut impl Witness) -> Rcode {
        let (name, served) = (self.query.name, self.served);
        let ours = name::is_within(name.wire(), served.apex.wire());
        let above = if ours { served.apex.wire().len() } else { 0 };
        let end = if let Some(zone) = served.zones.find(name.wire(), above) {
            match zone.lookup(&name, self.query.rtype) {
                Some(found) => End::of(zones::write(zone, &found, &mut reply)),
                None => End::refused(),
            }
        } else if ours {
            self.own_zone(&mut reply, witness)
        } else {
            End::refused()
        };
        if end.rcode == Rcode::Refused {
            reply.extended_error(EDE_NOT_AUTHORITATIVE);
        }
        if end.negative {
            self.push_soa(&mut reply, Section::Authority);
        }
        reply.finish(end.rcode, end.authoritative);
        end.rcode
    }

    /// Static names first, then the registry's, then what static data has left over: names between
    /// static ones, and wildcards. An alias may lead back to the start.
    fn own_zone<W: Witness>(&mut self, reply: &mut Reply<'_>, witness: &mut W) -> End {
        let (served, rtype) = (self.served, self.query.rtype);
        let mut name = self.query.name;
        for _ in 0..MAX_RESTARTS {
            let statics = served.zones.server().map(ServerZone::zone);
            if let Some(zone) = statics
                && let Some(found) = zone.lookup_claimed(&name, rtype)
            {
                let outcome = zones::write(zone, &found, reply);
                if !outcome.unclaimed {
                    return End::of(outcome);
                }
                name = found.name;
            }
            let (found, zone) = match (self.registry(reply, &name, witness), statics) {
                (Found::Answer, _) => return End::answered(),
                (Found::NoData, _) => return End::negative(Rcode::NoError),
                (Found::NxDomain, None) => return End::negative(Rcode::NxDomain),
                (Found::NxDomain, Some(zone)) => {
                    (zone.lookup_left_over(&name, rtype, |name| self.exists(name)), zone)
                }
            };
            let Some(found) = found else { return End::negative(Rcode::NxDomain) };
            let outcome = zones::write(zone, &found, reply);
            if !outcome.unclaimed {
                return End::of(outcome);
            }
            name = found.name;
        }
        End::answered()
    }

    /// What there is besides static records: the apex, this server, and the registry's names.
    fn registry<W: Witness>(
        &mut self,
        reply: &mut Reply<'_>,
        name: &Name,
        witness: &mut W,
    ) -> Found {
        let folded = name.folded();
        if folded == self.served.apex {
            return self.apex(reply, name);
        }
        if folded == self.served.own_name {
            return self.own_name(reply, name);
        }
        if self.query.rtype != rtype::ANY {
            return self.dynamic(reply, name, kind(self.query.rtype), witness);
        }
        // RFC 8482: one of the sets that are there is answer enough.
        let mut found = Found::NxDomain;
        for kind in [Kind::A, Kind::Aaaa, Kind::Srv, Kind::Txt] {
            found = self.dynamic(reply, name, kind, witness);
            if !matches!(found, Found::NoData) {
                break;
            }
        }
        found
    }

    /// Whether `name`, in lower case, exists without static records.
    fn exists(&self, name: &[u8]) -> bool {
        let apex = self.served.apex.wire();
        let mut buffer: [&[u8]; MAX_LABELS] = [&[]; MAX_LABELS];
        name == apex
            || name == self.served.own_name.wire()
            || exists(self.views, relative_labels(name, apex, &mut buffer))
    }

    fn apex(&self, reply: &mut Reply<'_>, name: &Name) -> Found {
        match self.query.rtype {
            rtype::SOA | rtype::ANY => self.push_soa(reply, Section::Answer),
            rtype::NS => {
                for server in &self.served.name_servers {
                    let rdata = [server.wire()];
                    let ns = Record {
                        owner: name.wire(),
                        rtype: rtype::NS,
                        ttl: STATIC_TTL,
                        rdata: &rdata,
                    };
                    reply.push(Section::Answer, &ns);
                }
                for address in &self.served.addresses {
                    let owner = self.served.own_name.wire();
                    push_address(reply, Section::Additional, owner, STATIC_TTL, *address);
                }
            }
            _ => return Found::NoData,
        }
        Found::Answer
    }

    fn own_name(&self, reply: &mut Reply<'_>, name: &Name) -> Found {
        let rtype = self.query.rtype;
        let before = reply.count(Section::Answer);
        for address in &self.served.addresses {
            if rtype == address_type(*address) || rtype == rtype::ANY {
                push_address(reply, Section::Answer, name.wire(), STATIC_TTL, *address);
            }
        }
        if reply.count(Section::Answer) == before { Found::NoData } else { Found::Answer }
    }

    fn dynamic<W: Witness>(
        &mut self,
        reply: &mut Reply<'_>,
        name: &Name,
        kind: Kind,
        witness: &mut W,
    ) -> Found {
        let folded = name.folded();
        let mut buffer: [&[u8]; MAX_LABELS] = [&[]; MAX_LABELS];
        let labels = relative_labels(folded.wire(), self.served.apex.wire(), &mut buffer);
        let room = reply.room();
        let asker = Asker {
            prefix: self.client,
            fit_v4: room / V4_RECORD,
            fit_v6: room / V6_RECORD,
            now: self.now,
            peek: W::PEEKS,
        };
        let (served, client) = (self.served, self.client);
        resolve(self.views, labels, kind, &asker, self.rng, |outcome, view| {
            if let Some(view) = view {
                witness.found(view, labels, kind, &outcome);
            }
            match (outcome, view) {
                (Outcome::Answer(answer), Some(view)) => {
                    let writer = AnswerWriter { served, owner: name.wire(), client, view };
                    writer.write(reply, answer);
                    Found::Answer
                }
                (Outcome::NxDomain, _) => Found::NxDomain,
                (Outcome::NoData | Outcome::Answer(_), _) => Found::NoData,
            }
        })
    }

    /// The SOA of the server's zone. Its serial is the registry's revision; its TTL is its MINIMUM
    /// (RFC 2308 section 3).
    fn push_soa(&self, reply: &mut Reply<'_>, section: Section) {
        let Served { apex, primary, soa, negative_ttl, .. } = self.served;
        let mut numbers = [0; 20];
        let serial = self.views.revision().serial();
        let fields = [serial, soa.refresh, soa.retry, soa.expire, *negative_ttl];
        for (bytes, field) in numbers.chunks_exact_mut(4).zip(fields) {
            bytes.copy_from_slice(&field.to_be_bytes());
        }
        let rdata = [primary.wire(), soa.rname.wire(), &numbers];
        let soa =
            Record { owner: apex.wire(), rtype: rtype::SOA, ttl: *negative_ttl, rdata: &rdata };
        reply.push(section, &soa);
    }
}

impl End {
    fn answered() -> Self {
        Self { rcode: Rcode::NoError, authoritative: true, negative: false }
    }

    fn negative(rcode: Rcode) -> Self {
        Self { rcode, authoritative: true, negative: true }
    }

    fn refused() -> Self {
        Self { rcode: Rcode::Refused, authoritative: false, negative: false }
    }

    fn of(outcome: zones::Outcome) -> Self {
        let zones::Outcome { rcode, authoritative, needs_soa, .. } = outcome;
        Self { rcode, authoritative, negative: needs_soa }
    }
}

/// Writes what `resolve` found of one service.
struct AnswerWriter<'w> {
    served: &'w Served,
    owner: &'w [u8],
    client: Network,
    view: &'w ServiceView,
}

impl AnswerWriter<'_> {
    fn write(&self, reply: &mut Reply<'_>, mut answer: Answer) {
        let start = reply.mark();
        let mut complete = self.write_records(reply, &answer);
        if !complete && answer.whole {
            // What is left out is the same for the same client, so that nobody sees a set flap.
            reply.rollback(start);
            answer.order_by_client(self.view, self.client);
            answer.by_client = true;
            complete = self.write_records(reply, &answer);
            if !complete {
                reply.truncate();
            }
        }
        if answer.by_client {
            reply.scope(self.client.length());
        }
        if let (true, Data::Srv(records)) = (complete, &answer.data) {
            self.write_glue(reply, records, answer.ttl);
        }
    }

    /// Writes the records that fit, and says whether that was all.
    fn write_records(&self, reply: &mut Reply<'_>, answer: &Answer) -> bool {
        let owner = self.owner;
        let ttl = answer.ttl;
        match &answer.data {
            Data::Addresses(addresses) => addresses
                .iter()
                .all(|address| push_address(reply, Section::Answer, owner, ttl, *address)),
            Data::Srv(records) => {
                let suffix = self.service_suffix();
                records.iter().all(|srv| {
                    let mut numbers = [0; 6];
                    let fields = [srv.priority, srv.weight, srv.port];
                    for (bytes, field) in numbers.chunks_exact_mut(2).zip(fields) {
                        bytes.copy_from_slice(&field.to_be_bytes());
                    }
                    let id = self.view.instances[srv.instance as usize].instance.id.as_str();
                    let rdata = [&numbers, &[label_length(id)][..], id.as_bytes(), &suffix];
                    let record = Record { owner, rtype: rtype::SRV, ttl, rdata: &rdata };
                    reply.push(Section::Answer, &record)
                })
            }
            Data::Txt(instances) => instances.iter().all(|instance| {
                let strings = self.strings(*instance);
                let rdata = [&strings[..]];
                reply
                    .push(Section::Answer, &Record { owner, rtype: rtype::TXT, ttl, rdata: &rdata })
            }),
        }
    }

    /// The addresses of the SRV targets, as many as fit: leaving some out needs no TC (RFC 2181
    /// section 9).
    fn write_glue(&self, reply: &mut Reply<'_>, records: &[Srv], ttl: u32) {
        let suffix = self.service_suffix();
        let mut owner = Vec::with_capacity(64 + suffix.len());
        for srv in records {
            let instance = &self.view.instances[srv.instance as usize].instance;
            owner.clear();
            owner.push(label_length(instance.id.as_str()));
            owner.extend_from_slice(instance.id.as_str().as_bytes());
            owner.extend_from_slice(&suffix);
            for address in &instance.addresses {
                push_address(reply, Section::Additional, &owner, ttl, address.ip());
            }
        }
    }

    /// The service's name in wire form.
    fn service_suffix(&self) -> Vec<u8> {
        let service = self.view.name.as_str();
        let mut wire = Vec::with_capacity(service.len() + 1 + self.served.apex.wire().len());
        wire.push(label_length(service));
        wire.extend_from_slice(service.as_bytes());
        wire.extend_from_slice(self.served.apex.wire());
        wire
    }

    /// The published pairs as character-strings; one empty string when there is none (RFC 6763
    /// section 6.1).
    fn strings(&self, instance: u32) -> Vec<u8> {
        let mut strings = Vec::new();
        for (key, value) in published(self.view, instance) {
            let length = key.len() + 1 + value.len();
            strings.push(u8::try_from(length).unwrap_or(u8::MAX));
            strings.extend_from_slice(key.as_bytes());
            strings.push(b'=');
            strings.extend_from_slice(value.as_bytes());
        }
        if strings.is_empty() {
            strings.push(0);
        }
        strings
    }
}

fn push_address(
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

fn address_type(address: IpAddr) -> u16 {
    if address.is_ipv4() { rtype::A } else { rtype::AAAA }
}

fn kind(rtype: u16) -> Kind {
    match rtype {
        rtype::A => Kind::A,
        rtype::AAAA => Kind::Aaaa,
        rtype::SRV => Kind::Srv,
        rtype::TXT => Kind::Txt,
        _ => Kind::Other,
    }
}

/// The labels of `name` left of `apex`, in `buffer`.
fn relative_labels<'b, 'n>(
    name: &'n [u8],
    apex: &[u8],
    buffer: &'b mut [&'n [u8]; MAX_LABELS],
) -> &'b [&'n [u8]] {
    let relative = name::labels(&name[..name.len() - apex.len()]);
    let mut count = 0;
    for (slot, label) in buffer.iter_mut().zip(relative) {
        *slot = label;
        count += 1;
    }
    &buffer[..count]
}

fn label_length(label: &str) -> u8 {
    u8::try_from(label.len()).expect("a label has at most 63 bytes")
}

/// The most labels that 255 bytes can hold (RFC 1035 section 2.3.4).
const MAX_LABELS: usize = 127;
/// How often a static alias may lead back to the registry and on: a chain of registry names ends at
/// once, so only static aliases count.
const MAX_RESTARTS: usize = 4;
/// Bytes of an A record whose owner is a pointer to the question.
const V4_RECORD: usize = 16;
/// The same of an AAAA record.
const V6_RECORD: usize = 28;
/// RFC 8914: not authoritative.
const EDE_NOT_AUTHORITATIVE: u16 = 20;
