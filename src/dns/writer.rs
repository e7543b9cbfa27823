//! Writes what `resolve` found of one service.
//!
//! Decides what goes when not everything fits: glue first and silently, then records of the answer,
//! which is told by TC.

use std::net::IpAddr;

use crate::dns::reply::{Record, Reply, Section};
use crate::dns::rtype;
use crate::dns::served::Served;
use crate::dns::svcb;
use crate::model::{Instance, Network};
use crate::registry::{Family, ServiceView};
use crate::resolve::{Answer, Data, Srv};

/// Writes answers about one service, under one owner, to one client.
pub(super) struct AnswerWriter<'w> {
    pub(super) served: &'w Served,
    pub(super) owner: &'w [u8],
    pub(super) client: Network,
    pub(super) view: &'w ServiceView,
}

impl AnswerWriter<'_> {
    /// Writes as much of `answer` as fits, and takes the rest out of it.
    pub(super) fn write(&self, reply: &mut Reply<'_>, answer: &mut Answer) {
        let (start, all) = (reply.mark(), answer.data.len());
        // No record is smaller, so more than this need not be tried.
        let most = reply.room() / V4_RECORD;
        let hopeless = answer.whole && all > most;
        let mut written = if hopeless { 0 } else { self.write_records(reply, answer) };
        if written < all && answer.whole {
            // What is left out is the same for the same client, so that nobody sees a set flap.
            reply.rollback(start);
            answer.cut_by_client(self.view, self.client, most);
            written = self.write_records(reply, answer);
        }
        if written < all {
            reply.truncate();
            answer.data.truncate(written);
        } else {
            match &answer.data {
                Data::Srv(records) | Data::Svcb(records) | Data::Https(records) => {
                    self.write_glue(reply, records, answer.ttl);
                }
                Data::Addresses(_) | Data::Txt(_) => {}
            }
        }
        if answer.by_client {
            reply.scope(self.client.length());
        }
    }

    /// Writes records up to the first that does not fit, and says how many.
    fn write_records(&self, reply: &mut Reply<'_>, answer: &Answer) -> usize {
        let owner = self.owner;
        let ttl = answer.ttl;
        match &answer.data {
            Data::Addresses(addresses) => addresses
                .iter()
                .take_while(|ip| push_address(reply, Section::Answer, owner, ttl, **ip))
                .count(),
            Data::Srv(records) => {
                let suffix = self.service_suffix();
                let push = |srv: &&Srv| {
                    let mut numbers = [0; 6];
                    let fields = [srv.priority, srv.weight, srv.port];
                    for (bytes, field) in numbers.chunks_exact_mut(2).zip(fields) {
                        bytes.copy_from_slice(&field.to_be_bytes());
                    }
                    let id = self.instance(srv).id.as_str();
                    let rdata = [&numbers, &[label_length(id)][..], id.as_bytes(), &suffix];
                    let record = Record { owner, rtype: rtype::SRV, ttl, rdata: &rdata };
                    reply.push(Section::Answer, &record)
                };
                records.iter().take_while(push).count()
            }
            Data::Svcb(records) => self.write_bindings(reply, records, ttl, rtype::SVCB),
            Data::Https(records) => self.write_bindings(reply, records, ttl, rtype::HTTPS),
            Data::Txt(instances) => {
                let push = |instance: &&u32| {
                    let strings = self.strings(**instance);
                    let rdata = [&strings[..]];
                    let record = Record { owner, rtype: rtype::TXT, ttl, rdata: &rdata };
                    reply.push(Section::Answer, &record)
                };
                instances.iter().take_while(push).count()
            }
        }
    }

    /// Writes SVCB or HTTPS records up to the first that does not fit, and says how many.
    fn write_bindings(
        &self,
        reply: &mut Reply<'_>,
        records: &[Srv],
        ttl: u32,
        rtype: u16,
    ) -> usize {
        let suffix = self.service_suffix();
        let default_port = (rtype == rtype::HTTPS).then_some(svcb::HTTPS_PORT);
        let push = |record: &&Srv| {
            let instance = self.instance(record);
            let id = instance.id.as_str();
            let parameters = svcb::parameters(instance, record, default_port);
            let priority = record.priority.to_be_bytes();
            let length = [label_length(id)];
            let rdata = [&priority, &length[..], id.as_bytes(), &suffix, &parameters];
            reply.push(Section::Answer, &Record { owner: self.owner, rtype, ttl, rdata: &rdata })
        };
        records.iter().take_while(push).count()
    }

    /// The addresses of the targets, as many sets as fit: leaving some out needs no TC, but a
    /// set goes as a whole (RFC 2181 section 9).
    fn write_glue(&self, reply: &mut Reply<'_>, records: &[Srv], ttl: u32) {
        let suffix = self.service_suffix();
        let mut owner = Vec::with_capacity(64 + suffix.len());
        for srv in records {
            if reply.room() < V4_RECORD {
                return;
            }
            let instance = self.instance(srv);
            owner.clear();
            owner.push(label_length(instance.id.as_str()));
            owner.extend_from_slice(instance.id.as_str().as_bytes());
            owner.extend_from_slice(&suffix);
            for family in [Family::V4, Family::V6] {
                let mark = reply.mark();
                let own = instance.addresses.iter().map(|address| address.ip());
                let mut own = own.filter(|ip| family.has(*ip));
                if !own.all(|ip| push_address(reply, Section::Additional, &owner, ttl, ip)) {
                    reply.rollback(mark);
                }
            }
        }
    }

    fn instance(&self, record: &Srv) -> &Instance {
        &self.view.instances[record.instance as usize].instance
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
        for (key, value) in self.view.published(instance) {
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

fn label_length(label: &str) -> u8 {
    u8::try_from(label.len()).expect("a label has at most 63 bytes")
}

/// Bytes of an A record whose owner is a pointer to the question.
pub(super) const V4_RECORD: usize = 16;

/// The same of an AAAA record.
pub(super) const V6_RECORD: usize = 28;
