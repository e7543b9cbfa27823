//! Query packets for the tests of this module, good and bad.

use crate::dns::name::Name;
use crate::dns::rtype;

/// A query under construction: ID 0x1234, one question of class IN unless told otherwise.
#[derive(Debug, Clone)]
pub(crate) struct QueryBytes {
    flags: [u8; 2],
    counts: [u16; 4],
    question: Vec<u8>,
    rest: Vec<u8>,
}

impl QueryBytes {
    pub(crate) fn new(name: &str, rtype: u16) -> Self {
        let mut question = Name::from_text(name, None).unwrap().wire().to_vec();
        question.extend(rtype.to_be_bytes());
        question.extend([0, 1]);
        Self::raw(&question)
    }

    /// A question section of these bytes.
    pub(crate) fn raw(question: &[u8]) -> Self {
        Self { flags: [0; 2], counts: [1, 0, 0, 0], question: question.to_vec(), rest: Vec::new() }
    }

    /// No question at all.
    pub(crate) fn empty() -> Self {
        Self::raw(&[]).counts([0; 4])
    }

    pub(crate) fn flags(mut self, first: u8, second: u8) -> Self {
        self.flags = [first, second];
        self
    }

    pub(crate) fn counts(mut self, counts: [u16; 4]) -> Self {
        self.counts = counts;
        self
    }

    pub(crate) fn class(mut self, class: u16) -> Self {
        let end = self.question.len() - 2;
        self.question[end..].copy_from_slice(&class.to_be_bytes());
        self
    }

    pub(crate) fn opt(mut self, payload: u16, ttl: u32, options: &[u8]) -> Self {
        self.counts[3] += 1;
        self.rest.push(0);
        self.rest.extend(rtype::OPT.to_be_bytes());
        self.rest.extend(payload.to_be_bytes());
        self.rest.extend(ttl.to_be_bytes());
        self.rest.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
        self.rest.extend(options);
        self
    }

    pub(crate) fn trailing(mut self, bytes: &[u8]) -> Self {
        self.rest.extend(bytes);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, self.flags[0], self.flags[1]];
        bytes.extend(self.counts.into_iter().flat_map(u16::to_be_bytes));
        bytes.extend(&self.question);
        bytes.extend(&self.rest);
        bytes
    }
}
