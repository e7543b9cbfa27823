//! A reply of the common kind as bytes: what varies is put between bytes that never do.

use crate::dns::fast::question::{HEADER, Question};
use crate::dns::rtype;

/// Bytes of an A record whose owner is a pointer.
pub(super) const V4: usize = FIXED + 4;
/// The same of an AAAA record.
pub(super) const V6: usize = FIXED + 16;

/// Writes a reply whose records all fit, answers first.
pub(super) struct Writer<'r> {
    reply: &'r mut Vec<u8>,
    ttl: [u8; 4],
    answers: u16,
    additional: u16,
}

impl<'r> Writer<'r> {
    /// Begins the reply; all its records have this TTL.
    pub(super) fn start(question: &Question<'_>, ttl: u32, reply: &'r mut Vec<u8>) -> Self {
        reply.clear();
        reply.extend_from_slice(question.head);
        reply[2] = QR | AA | reply[2] & RD;
        reply[3] = 0;
        Self { reply, ttl: ttl.to_be_bytes(), answers: 0, additional: 0 }
    }

    /// Answers with an A record.
    pub(super) fn v4(&mut self, octets: [u8; 4]) {
        self.answers += 1;
        self.address(QUESTION, rtype::A, octets);
    }

    /// Answers with an AAAA record.
    pub(super) fn v6(&mut self, octets: [u8; 16]) {
        self.answers += 1;
        self.address(QUESTION, rtype::AAAA, octets);
    }

    /// Ends with OPT and the counts.
    pub(super) fn finish(self, question: &Question<'_>) {
        let mut additional = self.additional;
        if let Some(opt) = &question.opt {
            self.reply.extend_from_slice(opt);
            additional += 1;
        }
        let ([a, b], [c, d]) = (self.answers.to_be_bytes(), additional.to_be_bytes());
        if let Some(counts) = self.reply.get_mut(ANSWERS..HEADER) {
            counts.copy_from_slice(&[a, b, 0, 0, c, d]);
        }
    }

    /// Owner, type, class, TTL, length, data.
    fn address<const N: usize>(&mut self, owner: [u8; 2], rtype: u16, octets: [u8; N]) {
        let ([o1, o2], [t1, t2], [s1, s2, s3, s4]) = (owner, rtype.to_be_bytes(), self.ttl);
        #[expect(clippy::cast_possible_truncation, reason = "4 or 16")]
        let length = N as u8;
        self.reply.extend_from_slice(&[o1, o2, t1, t2, 0, CLASS_IN, s1, s2, s3, s4, 0, length]);
        self.reply.extend_from_slice(&octets);
    }
}

/// A pointer to the name of the question.
const QUESTION: [u8; 2] = [0xc0, 12];
/// Owner, type, class, TTL and length of data.
const FIXED: usize = 12;
/// Where the number of answers is.
const ANSWERS: usize = 6;
const CLASS_IN: u8 = 1;
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const RD: u8 = 0x01;
