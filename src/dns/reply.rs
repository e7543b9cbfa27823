//! Writes a reply, never longer than its limit.
//!
//! Room for OPT is set aside before any record, so every reply to an EDNS query has exactly one,
//! also when it is truncated. A record that does not fit is left out whole; who writes the answer
//! decides whether that means TC. The buffer is the caller's and is used again.

use crate::dns::compress::NameTable;
use crate::dns::name::{Name, suffixes};
use crate::dns::opt::{ExtendedError, Opt};
use crate::dns::query::Head;
use crate::dns::rcode::Rcode;
use crate::dns::rtype;
use crate::dns::transport::Transport;

/// A reply in the making. Records must come in the order of the sections.
pub struct Reply<'a> {
    buffer: &'a mut Vec<u8>,
    /// How long the message may become with the records alone.
    limit: usize,
    /// How long it may become with OPT.
    whole_limit: usize,
    counts: [u16; 3],
    section: Section,
    truncated: bool,
    question_len: usize,
    names: Option<NameTable>,
    opt: Option<Opt<'a>>,
}

/// One record to write.
#[derive(Debug, Clone, Copy)]
pub struct Record<'r> {
    /// The owner, in wire form.
    pub owner: &'r [u8],
    /// The type.
    pub rtype: u16,
    /// Seconds.
    pub ttl: u32,
    /// The data, uncompressed, in parts that are written one after the other.
    pub rdata: &'r [&'r [u8]],
}

/// The sections of a reply, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// SOA of a negative answer, NS of a referral.
    Authority,
    /// Addresses of the names in the other sections.
    Additional,
}

/// A point that a reply can be taken back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    length: usize,
    counts: [u16; 3],
    section: Section,
}

impl<'a> Reply<'a> {
    /// Begins the reply to `head` in `buffer`, which is emptied. `nsid` is this server's
    /// identifier, sent to who asks unless it is empty.
    pub fn start(
        buffer: &'a mut Vec<u8>,
        head: &Head<'_>,
        transport: Transport,
        nsid: &'a [u8],
    ) -> Self {
        buffer.clear();
        buffer.extend(head.id.to_be_bytes());
        buffer.extend([QR | head.opcode << 3 | u8::from(head.recursion_desired), 0]);
        buffer.extend([0, u8::from(!head.question.is_empty()), 0, 0, 0, 0, 0, 0]);
        buffer.extend(head.question);
        let whole_limit = transport.limit(head.edns.as_ref());
        let opt = head.edns.map(|edns| Opt::new(edns, transport, nsid));
        Self {
            limit: whole_limit - opt.as_ref().map_or(0, Opt::len),
            whole_limit,
            buffer,
            counts: [0; 3],
            section: Section::Answer,
            truncated: false,
            question_len: head.question.len(),
            names: None,
            opt,
        }
    }

    /// Adds the server's part of a cookie (RFC 7873) to the client's that the query has. To be
    /// called before any record is written, which could leave no room for it.
    pub fn cookie(&mut self, server: [u8; 16]) {
        if let Some(opt) = &mut self.opt {
            self.limit -= opt.add_cookie(server);
        }
    }

    /// Writes the record, or nothing and says `false` when it does not fit.
    pub fn push(&mut self, section: Section, record: &Record<'_>) -> bool {
        self.push_of(CLASS_IN, section, record)
    }

    /// Writes a record of class CHAOS into the answer, as [`Reply::push`] does.
    pub fn push_chaos(&mut self, record: &Record<'_>) -> bool {
        self.push_of(CLASS_CH, Section::Answer, record)
    }

    fn push_of(&mut self, class: u16, section: Section, record: &Record<'_>) -> bool {
        debug_assert!(section >= self.section, "records must come in the order of the sections");
        let start = self.buffer.len();
        self.push_name(record.rtype, record.owner);
        self.buffer.extend(record.rtype.to_be_bytes());
        self.buffer.extend(class.to_be_bytes());
        self.buffer.extend(record.ttl.to_be_bytes());
        self.buffer.extend([0; DATA_LENGTH]);
        let data_start = self.buffer.len();
        self.push_data(record);
        let length = u16::try_from(self.buffer.len() - data_start);
        let (Ok(length), true) = (length, self.buffer.len() <= self.limit) else {
            self.buffer.truncate(start);
            return false;
        };
        self.buffer[data_start - DATA_LENGTH..data_start].copy_from_slice(&length.to_be_bytes());
        self.section = section;
        self.counts[section as usize] += 1;
        true
    }

    /// Where the reply stands, to come back to when not all of a set fits.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { length: self.buffer.len(), counts: self.counts, section: self.section }
    }

    /// Takes back what was written since `mark`.
    pub fn rollback(&mut self, mark: Mark) {
        self.buffer.truncate(mark.length);
        self.counts = mark.counts;
        self.section = mark.section;
    }

    /// How many bytes of records still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.buffer.len())
    }

    /// How many records a section has.
    #[must_use]
    pub fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// Sets TC: records that belong to the answer were left out.
    pub fn truncate(&mut self) {
        self.truncated = true;
    }

    /// How many bits of the client subnet the answer depended on. Sent only when the query had a
    /// client subnet; 0 unless called.
    pub fn scope(&mut self, bits: u8) {
        if let Some(opt) = &mut self.opt {
            opt.scope = bits;
        }
    }

    /// Adds an extended error (RFC 8914), by its number and a printable text, which may be empty:
    /// when the query had EDNS and it still fits.
    pub fn extended_error(&mut self, code: u16, text: String) {
        let room = self.room();
        if let Some(opt) = &mut self.opt {
            self.limit -= opt.add_error(ExtendedError { code, text }, room);
        }
    }

    /// Writes OPT and the header; the buffer then holds the whole reply.
    pub fn finish(mut self, rcode: Rcode, authoritative: bool) {
        if let Some(opt) = &self.opt {
            opt.write(rcode, self.buffer, self.whole_limit);
            self.counts[Section::Additional as usize] += 1;
        }
        let aa = if authoritative { AA } else { 0 };
        let tc = if self.truncated { TC } else { 0 };
        self.buffer[2] |= aa | tc;
        self.buffer[3] = rcode.low();
        for (bytes, count) in self.buffer[6..].chunks_exact_mut(2).zip(self.counts) {
            bytes.copy_from_slice(&count.to_be_bytes());
        }
    }

    /// Writes the data of a record. Names in it are compressed in the types of RFC 1035 alone: who
    /// does not know a type could not read it otherwise (RFC 3597 section 4).
    fn push_data(&mut self, record: &Record<'_>) {
        let (fixed, names) = match record.rtype {
            rtype::NS | rtype::CNAME | rtype::PTR => (0, 1),
            rtype::MX => (2, 1),
            rtype::SOA => (0, 2),
            _ => {
                let data_start = self.buffer.len();
                for part in record.rdata {
                    self.buffer.extend_from_slice(part);
                }
                self.note_target(record.rtype, data_start);
                return;
            }
        };
        // The SOA of a negative answer, which is nearly all of its cost.
        if let (rtype::SOA, [primary, contact, numbers]) = (record.rtype, record.rdata) {
            self.push_name(record.rtype, primary);
            self.push_name(record.rtype, contact);
            return self.buffer.extend_from_slice(numbers);
        }
        let mut scratch = [0; MAX_NAMED_DATA];
        let data = gather(record.rdata, &mut scratch);
        let (fixed, mut rest) = data.split_at_checked(fixed).unwrap_or((&[], data));
        self.buffer.extend_from_slice(fixed);
        for _ in 0..names {
            let Some(name) = Name::read(rest) else { break };
            self.push_name(record.rtype, name.wire());
            rest = &rest[name.wire().len()..];
        }
        self.buffer.extend_from_slice(rest);
    }

    /// Writes a name of a record of this type, as far as the message does not hold it yet.
    fn push_name(&mut self, rtype: u16, name: &[u8]) {
        let start = self.buffer.len();
        let (fresh, pointer) = self.split(rtype, name);
        self.buffer.extend(&name[..fresh]);
        self.buffer.extend(pointer.map(|p| p | POINTER).into_iter().flat_map(u16::to_be_bytes));
        self.note(start, name, fresh);
    }

    fn split(&mut self, rtype: u16, name: &[u8]) -> (usize, Option<u16>) {
        let question = question_name(self.buffer, self.question_len);
        // Nearly every owner is the name that was asked for.
        if name.len() > 1 && question.eq_ignore_ascii_case(name) {
            return (0, Some(HEADER));
        }
        // Nothing follows a SOA that could point at its names: not worth a table.
        if rtype == rtype::SOA && self.names.is_none() {
            return split_by(question, name);
        }
        let (names, message) = self.name_table();
        names.split(message, name)
    }

    /// The table of names, made when the first name besides the question's turns up.
    fn name_table(&mut self) -> (&mut NameTable, &[u8]) {
        let question = question_name(self.buffer, self.question_len);
        let names = self.names.get_or_insert_with(|| {
            let mut names = NameTable::new();
            names.note(self.buffer, usize::from(HEADER), question, question.len());
            names
        });
        (names, self.buffer)
    }

    fn note(&mut self, offset: usize, name: &[u8], fresh: usize) {
        if let Some(names) = &mut self.names
            && fresh > 0
        {
            names.note(self.buffer, offset, name, fresh);
        }
    }

    /// Makes the name inside the data known where it is written in full: the addresses of SRV
    /// and SVCB targets follow, and may point into the data (RFC 1035 section 4.1.4: any prior occurrence).
    fn note_target(&mut self, rtype: u16, data_start: usize) {
        let target_start = data_start
            + match rtype {
                rtype::SVCB | rtype::HTTPS => 2,
                rtype::SRV => 6,
                _ => return,
            };
        let (names, message) = self.name_table();
        let target = first_name(message.get(target_start..).unwrap_or_default());
        names.note(message, target_start, target, target.len());
    }
}

/// Writes a reply that has no records: the answer to [`Parsed::Error`](super::query::Parsed).
pub fn error(
    buffer: &mut Vec<u8>,
    head: &Head<'_>,
    transport: Transport,
    nsid: &[u8],
    rcode: Rcode,
) {
    Reply::start(buffer, head, transport, nsid).finish(rcode, false);
}

/// How a name can be written behind `question`: the number of bytes to copy from its front, then
/// the offset of the rest.
fn split_by(question: &[u8], name: &[u8]) -> (usize, Option<u16>) {
    let holds = |rest: &&[u8]| suffixes(question).any(|own| own.eq_ignore_ascii_case(rest));
    let ends = |rest: &&[u8]| rest.len() > 1 && holds(rest);
    let Some(rest) = suffixes(name).find(ends) else { return (name.len(), None) };
    let offset = u16::try_from(question.len() - rest.len()).ok();
    (name.len() - rest.len(), offset.map(|offset| HEADER + offset))
}

/// The name at the start of `wire`, of which more may follow: parameters of SVCB.
fn first_name(wire: &[u8]) -> &[u8] {
    let end = suffixes(wire).find(|rest| rest.first() == Some(&0));
    end.map_or(&[], |root| &wire[..wire.len() - root.len() + 1])
}

/// The parts of the data of a record as one, in `scratch` where they are several. Data whose types
/// have names is never longer; what would be, is cut.
fn gather<'s>(parts: &[&'s [u8]], scratch: &'s mut [u8; MAX_NAMED_DATA]) -> &'s [u8] {
    if let [data] = parts {
        return data;
    }
    let mut length = 0;
    for (slot, byte) in scratch.iter_mut().zip(parts.iter().copied().flatten()) {
        *slot = *byte;
        length += 1;
    }
    &scratch[..length]
}

fn question_name(message: &[u8], question_len: usize) -> &[u8] {
    let end = usize::from(HEADER) + question_len.saturating_sub(FIXED_QUESTION);
    message.get(usize::from(HEADER)..end).unwrap_or_default()
}

const HEADER: u16 = 12;
const FIXED_QUESTION: usize = 4;
/// The bytes of a record that say how long its data is.
const DATA_LENGTH: usize = 2;
/// Two names and five numbers: SOA.
const MAX_NAMED_DATA: usize = 2 * 255 + 20;
const CLASS_IN: u16 = 1;
const CLASS_CH: u16 = 3;
const POINTER: u16 = 0xc000;
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const TC: u8 = 0x02;

#[cfg(test)]
mod tests;
