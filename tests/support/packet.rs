//! Queries as bytes, honest and other ones.

use super::message::type_number;

/// A query in the making. As it begins it is an honest one without EDNS.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    bits: u16,
    counts: [u16; 4],
    question: Vec<u8>,
    records: Vec<u8>,
    edns: Option<Edns>,
    cut: Option<usize>,
}

#[derive(Debug, Clone)]
struct Edns {
    payload: u16,
    ttl: u32,
    options: Vec<u8>,
}

/// Asks for `name`, whose labels are parted by dots, which have no escapes.
pub(crate) fn ask(name: &str, rtype: &str) -> Packet {
    let mut labels = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        labels.push(u8::try_from(label.len()).unwrap());
        labels.extend(label.bytes());
    }
    labels.push(0);
    raw(&labels, type_number(rtype))
}

/// Asks for a name in wire form, however wrong.
pub(crate) fn raw(name: &[u8], rtype: u16) -> Packet {
    let question = [name, &rtype.to_be_bytes(), &[0, 1]].concat();
    let (records, edns) = (Vec::new(), None);
    Packet { bits: 0, counts: [1, 0, 0, 0], question, records, edns, cut: None }
}

/// A header and nothing else.
pub(crate) fn header() -> Packet {
    Packet { counts: [0; 4], question: Vec::new(), ..raw(b"", 0) }
}

impl Packet {
    /// Sets bits of the header's second word.
    pub(crate) fn bits(mut self, bits: u16) -> Self {
        self.bits |= bits;
        self
    }

    /// Is of another opcode.
    pub(crate) fn opcode(self, opcode: u16) -> Self {
        self.bits(opcode << 11)
    }

    /// Is of another class than IN.
    pub(crate) fn class(mut self, class: u16) -> Self {
        let at = self.question.len() - 2;
        self.question[at..].copy_from_slice(&class.to_be_bytes());
        self
    }

    /// Claims these numbers of questions and records; an OPT by [`Packet::edns`] comes on top.
    pub(crate) fn counts(mut self, counts: [u16; 4]) -> Self {
        self.counts = counts;
        self
    }

    /// Has these bytes behind the question (and before OPT).
    pub(crate) fn append(mut self, bytes: &[u8]) -> Self {
        self.records.extend(bytes);
        self
    }

    /// Has EDNS, version 0, with this size.
    pub(crate) fn edns(mut self, payload: u16) -> Self {
        self.edns = Some(Edns { payload, ttl: 0, options: Vec::new() });
        self
    }

    /// Has this in the TTL field of its OPT: extended code, version, flags.
    pub(crate) fn edns_ttl(mut self, ttl: u32) -> Self {
        self.edns.as_mut().unwrap().ttl = ttl;
        self
    }

    /// Has an option in its OPT.
    pub(crate) fn option(self, code: u16, data: &[u8]) -> Self {
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        self.option_bytes(&[&code.to_be_bytes(), &length, data].concat())
    }

    /// Has these bytes as options.
    pub(crate) fn option_bytes(mut self, bytes: &[u8]) -> Self {
        self.edns.as_mut().unwrap().options.extend(bytes);
        self
    }

    /// Ends after this many bytes.
    pub(crate) fn cut(mut self, length: usize) -> Self {
        self.cut = Some(length);
        self
    }

    /// The question section.
    pub(crate) fn question(&self) -> &[u8] {
        &self.question
    }

    /// The message, with this id.
    pub(crate) fn bytes(&self, id: u16) -> Vec<u8> {
        let [questions, answers, authorities, additionals] = self.counts;
        let additionals = additionals + u16::from(self.edns.is_some());
        let words = [id, self.bits, questions, answers, authorities, additionals];
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u16::to_be_bytes).collect();
        bytes.extend(&self.question);
        bytes.extend(&self.records);
        if let Some(Edns { payload, ttl, options }) = &self.edns {
            bytes.extend([0, 0, 41]);
            bytes.extend(payload.to_be_bytes());
            bytes.extend(ttl.to_be_bytes());
            bytes.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
            bytes.extend(options);
        }
        bytes.truncate(self.cut.unwrap_or(bytes.len()));
        bytes
    }
}

/// Header bits, by the names that they have in replies.
pub(crate) const QR: u16 = 0x8000;
pub(crate) const AA: u16 = 0x0400;
pub(crate) const TC: u16 = 0x0200;
pub(crate) const RD: u16 = 0x0100;
pub(crate) const RA: u16 = 0x0080;
pub(crate) const Z: u16 = 0x0040;
pub(crate) const AD: u16 = 0x0020;
pub(crate) const CD: u16 = 0x0010;

/// The DO flag in the TTL field of OPT.
pub(crate) const DO: u32 = 0x8000;
