//! Lays out the reply to one question of class IN.
//!
//! Decides which zone the name belongs to and what of it is static; asks `resolve` for the rest.

use std::net::IpAddr;

use rand::rngs::SmallRng;

use crate::dns::edns::ClientSubnet;
use crate::dns::name;
use crate::dns::query::Query;
use crate::dns::rcode::Rcode;
use crate::dns::reply::{Record, Reply, Section};
use crate::dns::rtype;
use crate::dns::served::{STATIC_TTL, Served};
use crate::dns::transport::Peer;
use crate::model::{Millis, Network};
use crate::registry::{ServiceView, Views};
use crate::resolve::{Answer, Asker, Data, Kind, Outcome, Srv, published, resolve};

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

/// What the types of a question come to.
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
        let (address, length) = told.unwrap_or((peer.source.ip(), u8::MAX));
        Self { views, served, query, client: served.client(address, length), now, rng }
    }

    /// Writes the whole reply.
    pub(super) fn respond(mut self, mut reply: Reply<'_>, witness: &mut impl Witness) -> Rcode {
        let apex = self.served.apex.wire();
        if !name::is_within(self.query.name.wire(), apex) {
            reply.extended_error(EDE_NOT_AUTHORITATIVE);
            reply.finish(Rcode::Refused, false);
            return Rcode::Refused;
        }
        let rcode = match self.own_zone(&mut reply, witness) {
            Found::Answer => Rcode::NoError,
            Found::NoData => {
                self.push_soa(&mut reply, Section::Authority);
                Rcode::NoError
            }
            Found::NxDomain => {
                self.push_soa(&mut reply, Section::Authority);
                Rcode::NxDomain
            }
        };
        reply.finish(rcode, true);
        rcode
    }

    fn own_zone(&mut self, reply: &mut Reply<'_>, witness: &mut impl Witness) -> Found {
        let name = self.query.name.wire();
        if name == self.served.apex.wire() {
            return self.apex(reply);
        }
        if name == self.served.own_name.wire() {
            return self.own_name(reply);
        }
        if self.query.rtype != rtype::ANY {
            return self.dynamic(reply, kind(self.query.rtype), witness);
        }
        // RFC 8482: one of the sets that are there is answer enough.
        let mut found = Found::NxDomain;
        for kind in [Kind::A, Kind::Aaaa, Kind::Srv, Kind::Txt] {
            found = self.dynamic(reply, kind, witness);
            if !matches!(found, Found::NoData) {
                break;
            }
        }
        found
    }

    fn apex(&self, reply: &mut Reply<'_>) -> Found {
        match self.query.rtype {
            rtype::SOA | rtype::ANY => self.push_soa(reply, Section::Answer),
            rtype::NS => {
                for server in &self.served.name_servers {
                    let owner = self.query.name.wire();
                    let rdata = [server.wire()];
                    let ns = Record { owner, rtype: rtype::NS, ttl: STATIC_TTL, rdata: &rdata };
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

    fn own_name(&self, reply: &mut Reply<'_>) -> Found {
        let rtype = self.query.rtype;
        let before = reply.count(Section::Answer);
        for address in &self.served.addresses {
            if rtype == address_type(*address) || rtype == rtype::ANY {
                push_address(reply, Section::Answer, self.query.name.wire(), STATIC_TTL, *address);
            }
        }
        if reply.count(Section::Answer) == before { Found::NoData } else { Found::Answer }
    }

    fn dynamic<W: Witness>(&mut self, reply: &mut Reply<'_>, kind: Kind, witness: &mut W) -> Found {
        let mut buffer: [&[u8]; MAX_LABELS] = [&[]; MAX_LABELS];
        let labels = relative_labels(self.query.name.wire(), self.served.apex.wire(), &mut buffer);
        let room = reply.room();
        let asker = Asker {
            prefix: self.client,
            fit_v4: room / V4_RECORD,
            fit_v6: room / V6_RECORD,
            now: self.now,
            peek: W::PEEKS,
        };
        let (served, query, client) = (self.served, self.query, self.client);
        resolve(self.views, labels, kind, &asker, self.rng, |outcome, view| {
            if let Some(view) = view {
                witness.found(view, labels, kind, &outcome);
            }
            match (outcome, view) {
                (Outcome::Answer(answer), Some(view)) => {
                    let writer = AnswerWriter { served, query, client, view };
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
        let Served { apex, name_servers, soa, negative_ttl, .. } = self.served;
        let mut numbers = [0; 20];
        let serial = self.views.revision().serial();
        let fields = [serial, soa.refresh, soa.retry, soa.expire, *negative_ttl];
        for (bytes, field) in numbers.chunks_exact_mut(4).zip(fields) {
            bytes.copy_from_slice(&field.to_be_bytes());
        }
        let rdata = [name_servers[0].wire(), soa.rname.wire(), &numbers];
        let soa =
            Record { owner: apex.wire(), rtype: rtype::SOA, ttl: *negative_ttl, rdata: &rdata };
        reply.push(section, &soa);
    }
}

/// Writes what `resolve` found of one service.
struct AnswerWriter<'w> {
    served: &'w Served,
    query: &'w Query<'w>,
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
        let owner = self.query.name.wire();
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
/// Bytes of an A record whose owner is a pointer to the question.
const V4_RECORD: usize = 16;
/// The same of an AAAA record.
const V6_RECORD: usize = 28;
/// RFC 8914: not authoritative.
const EDE_NOT_AUTHORITATIVE: u16 = 20;
