//! Writes what `resolve` found of one service.
//!
//! Decides what goes when not everything fits: glue first and silently, then records of the answer,
//! which is told by TC.

use crate::dns::authority::push_address;
use crate::dns::name::{MAX_LABEL, Name};
use crate::dns::reply::{Record, Reply, Section};
use crate::dns::rtype;
use crate::dns::svcb;
use crate::model::{Instance, Network};
use crate::registry::{Family, ServiceView};
use crate::resolve::{Answer, Data, Srv};

/// Writes answers about one service, under one owner, to one client.
pub(super) struct AnswerWriter<'w> {
    /// The zone that was asked, which targets are in.
    pub(super) apex: &'w Name,
    pub(super) owner: &'w [u8],
    pub(super) client: Network,
    pub(super) view: &'w ServiceView,
}

impl AnswerWriter<'_> {
    /// Takes out the instances whose names would be too long: they were registered when this apex
    /// was another, or none. `false` when that leaves nobody.
    pub(super) fn can_name(&self, answer: &mut Answer) -> bool {
        let above = match &answer.data {
            Data::Ptr(_) => self.owner.len(),
            Data::Srv(_) | Data::Svcb(_) | Data::Https(_) => {
                1 + self.view.name.as_str().len() + self.apex.wire().len()
            }
            Data::Addresses(_) | Data::Txt(_) => return true,
        };
        let room = Name::MAX.saturating_sub(above + 1);
        if room < MAX_LABEL {
            answer.data.retain(|srv| self.instance(srv).id.as_str().len() <= room);
        }
        !answer.data.is_empty()
    }

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
                Data::Ptr(records) => self.write_browsed(reply, records, answer.ttl),
                Data::Addresses(_) | Data::Txt(_) => {}
            }
        }
        reply.scope(answer.scope);
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
                let push =
                    |srv: &&Srv| self.push_srv(reply, Section::Answer, owner, ttl, srv, &suffix);
                records.iter().take_while(push).count()
            }
            Data::Svcb(records) => self.write_bindings(reply, records, ttl, rtype::SVCB),
            Data::Https(records) => self.write_bindings(reply, records, ttl, rtype::HTTPS),
            Data::Ptr(records) => {
                let folded = self.folded_owner();
                let push = |record: &&Srv| {
                    let id = self.instance(record).id.as_str();
                    let rdata = [&[label_length(id)][..], id.as_bytes(), folded.wire()];
                    let record = Record { owner, rtype: rtype::PTR, ttl, rdata: &rdata };
                    reply.push(Section::Answer, &record)
                };
                records.iter().take_while(push).count()
            }
            Data::Txt(instances) => {
                let push =
                    |index: &&u32| self.push_txt(reply, Section::Answer, owner, ttl, **index);
                instances.iter().take_while(push).count()
            }
        }
    }

    fn push_srv(
        &self,
        reply: &mut Reply<'_>,
        section: Section,
        owner: &[u8],
        ttl: u32,
        srv: &Srv,
        suffix: &[u8],
    ) -> bool {
        let mut numbers = [0; 6];
        let fields = [srv.priority, srv.weight, srv.port];
        for (bytes, field) in numbers.chunks_exact_mut(2).zip(fields) {
            bytes.copy_from_slice(&field.to_be_bytes());
        }
        let id = self.instance(srv).id.as_str();
        let rdata = [&numbers, &[label_length(id)][..], id.as_bytes(), suffix];
        reply.push(section, &Record { owner, rtype: rtype::SRV, ttl, rdata: &rdata })
    }

    fn push_txt(
        &self,
        reply: &mut Reply<'_>,
        section: Section,
        owner: &[u8],
        ttl: u32,
        instance: u32,
    ) -> bool {
        let strings = self.strings(instance);
        let rdata = [&strings[..]];
        reply.push(section, &Record { owner, rtype: rtype::TXT, ttl, rdata: &rdata })
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
            put_label_before(&mut owner, instance.id.as_str(), &suffix);
            push_addresses(reply, &owner, ttl, instance);
        }
    }

    /// What who browses asks next, as far as it fits: SRV, TXT and addresses of the instances (RFC
    /// 6763 section 12.1).
    fn write_browsed(&self, reply: &mut Reply<'_>, records: &[Srv], ttl: u32) {
        let (suffix, above) = (self.service_suffix(), self.folded_owner());
        let mut owner = Vec::with_capacity(Name::MAX);
        for srv in records {
            if reply.room() < V4_RECORD {
                return;
            }
            let instance = self.instance(srv);
            let id = instance.id.as_str();
            put_label_before(&mut owner, id, above.wire());
            // Without it nobody knows whose addresses they are.
            if !self.push_srv(reply, Section::Additional, &owner, ttl, srv, &suffix) {
                return;
            }
            self.push_txt(reply, Section::Additional, &owner, ttl, srv.instance);
            put_label_before(&mut owner, id, &suffix);
            push_addresses(reply, &owner, ttl, instance);
        }
    }

    /// The owner in lower case, as targets are written.
    fn folded_owner(&self) -> Name {
        Name::read(self.owner).map_or(Name::ROOT, Name::folded)
    }

    fn instance(&self, record: &Srv) -> &Instance {
        &self.view.instances[record.instance as usize].instance
    }

    /// The service's name in wire form.
    fn service_suffix(&self) -> Vec<u8> {
        let service = self.view.name.as_str();
        let mut wire = Vec::with_capacity(service.len() + 1 + self.apex.wire().len());
        wire.push(label_length(service));
        wire.extend_from_slice(service.as_bytes());
        wire.extend_from_slice(self.apex.wire());
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

/// Makes `name` the label in front of `suffix`.
fn put_label_before(name: &mut Vec<u8>, label: &str, suffix: &[u8]) {
    name.clear();
    name.push(label_length(label));
    name.extend_from_slice(label.as_bytes());
    name.extend_from_slice(suffix);
}

/// Writes the addresses of an instance as additional ones, each set whole or not at all.
fn push_addresses(reply: &mut Reply<'_>, owner: &[u8], ttl: u32, instance: &Instance) {
    for family in [Family::V4, Family::V6] {
        let mark = reply.mark();
        let own = instance.addresses.iter().map(|address| address.ip());
        let mut own = own.filter(|ip| family.has(*ip));
        if !own.all(|ip| push_address(reply, Section::Additional, owner, ttl, ip)) {
            reply.rollback(mark);
        }
    }
}

/// The length byte of a label of the registry.
pub(super) fn label_length(label: &str) -> u8 {
    u8::try_from(label.len()).expect("a label has at most 63 bytes")
}

/// Bytes of an A record whose owner is a pointer to the question.
pub(super) const V4_RECORD: usize = 16;

/// The same of an AAAA record.
pub(super) const V6_RECORD: usize = 28;
