//! A reply of the common kind as bytes: what varies is put between bytes that never do.

use std::net::IpAddr;

use crate::dns::fast::question::{HEADER, OPT, Question};
use crate::dns::rtype;
use crate::dns::writer::label_length;
use crate::model::Address;
use crate::registry::Addresses;
use crate::resolve::Srv;

/// Writes a reply whose answers all fit, in the order of its sections.
pub(super) struct Writer<'r> {
    reply: &'r mut Vec<u8>,
    /// How long the records may make it.
    limit: usize,
    opt: Option<&'r [u8; OPT]>,
    ttl: [u8; 4],
    answers: u16,
    additional: u16,
}

impl<'r> Writer<'r> {
    /// Begins the reply; all its records have this TTL.
    #[inline(always)]
    pub(super) fn start(question: &'r Question<'_>, ttl: u32, reply: &'r mut Vec<u8>) -> Self {
        reply.clear();
        reply.extend_from_slice(question.head);
        if let Some([_, _, flags, codes]) = reply.first_chunk_mut() {
            (*flags, *codes) = (QR | AA | *flags & RD, 0);
        }
        Self {
            limit: question.head.len() + question.room,
            opt: question.opt.as_ref(),
            ttl: ttl.to_be_bytes(),
            answers: 0,
            additional: 0,
            reply,
        }
    }

    /// Answers with the IPv4 addresses of these units, and says which is the first.
    #[inline(always)]
    pub(super) fn v4(&mut self, addresses: &Addresses, units: &[u32]) -> Option<[u8; 4]> {
        let fixed = self.fixed::<4>(QUESTION, rtype::A);
        let reply = self.room::<V4>(addresses.count(units));
        let start = reply.len() + FIXED;
        addresses.each_v4(units, |octets| reply.extend_from_slice(&record::<V4>(&fixed, octets)));
        reply.get(start..)?.first_chunk().copied()
    }

    /// Answers with the IPv6 addresses of these units, and says which is the first.
    #[inline]
    pub(super) fn v6(&mut self, addresses: &Addresses, units: &[u32]) -> Option<[u8; 16]> {
        let fixed = self.fixed::<16>(QUESTION, rtype::AAAA);
        let reply = self.room::<V6>(addresses.count(units));
        let start = reply.len() + FIXED;
        addresses.each_v6(units, |octets| reply.extend_from_slice(&record::<V6>(&fixed, octets)));
        reply.get(start..)?.first_chunk().copied()
    }

    /// The reply, with room for so many answers to be appended.
    #[inline]
    fn room<const SIZE: usize>(&mut self, count: usize) -> &mut Vec<u8> {
        self.answers = u16::try_from(count).unwrap_or(u16::MAX);
        self.reply.reserve(count * SIZE);
        self.reply
    }

    /// Answers with an SRV record to the instance `id` of the service named `suffix`; says where the
    /// target is.
    pub(super) fn srv(&mut self, srv: &Srv, id: &str, suffix: &[u8]) -> u16 {
        let [o1, o2] = QUESTION;
        let [s1, s2, s3, s4] = self.ttl;
        let length = u16::try_from(6 + 1 + id.len() + suffix.len()).unwrap_or(u16::MAX);
        let numbers = [rtype::SRV, srv.priority, srv.weight, srv.port, length];
        let [[t1, t2], [p1, p2], [w1, w2], [n1, n2], [l1, l2]] = numbers.map(u16::to_be_bytes);
        self.reply.extend_from_slice(&[
            o1, o2, t1, t2, 0, CLASS_IN, s1, s2, s3, s4, l1, l2, p1, p2, w1, w2, n1, n2,
        ]);
        let target = u16::try_from(self.reply.len()).unwrap_or(u16::MAX);
        self.reply.push(label_length(id));
        self.reply.extend_from_slice(id.as_bytes());
        self.reply.extend_from_slice(suffix);
        self.answers += 1;
        target
    }

    /// Adds the addresses of the target at this place, each set whole or not at all (RFC 2181 section
    /// 9). `false` when there is no room for any.
    pub(super) fn glue(&mut self, target: u16, addresses: &[Address]) -> bool {
        if self.reply.len() + V4 > self.limit {
            return false;
        }
        let owner = (POINTER | target).to_be_bytes();
        let (start, before) = (self.reply.len(), self.additional);
        for address in addresses {
            if let IpAddr::V4(v4) = address.ip() {
                self.additional += 1;
                self.address(owner, rtype::A, v4.octets());
            }
        }
        self.keep_what_fits(start, before);
        let (start, before) = (self.reply.len(), self.additional);
        for address in addresses {
            if let IpAddr::V6(v6) = address.ip() {
                self.additional += 1;
                self.address(owner, rtype::AAAA, v6.octets());
            }
        }
        self.keep_what_fits(start, before);
        true
    }

    /// Ends with OPT and the counts.
    #[inline(always)]
    pub(super) fn finish(mut self) {
        if let Some(opt) = self.opt {
            self.reply.extend_from_slice(opt);
            self.additional += 1;
        }
        let ([a, b], [c, d]) = (self.answers.to_be_bytes(), self.additional.to_be_bytes());
        if let Some(counts) = self.reply.get_mut(ANSWERS..HEADER) {
            counts.copy_from_slice(&[a, b, 0, 0, c, d]);
        }
    }

    /// Takes back a set of additional records that has become too much.
    fn keep_what_fits(&mut self, start: usize, before: u16) {
        if self.reply.len() > self.limit {
            self.reply.truncate(start);
            self.additional = before;
        }
    }

    fn address<const N: usize>(&mut self, owner: [u8; 2], rtype: u16, octets: [u8; N]) {
        let fixed = self.fixed::<N>(owner, rtype);
        self.reply.extend_from_slice(&fixed);
        self.reply.extend_from_slice(&octets);
    }

    /// What comes before the N bytes of an address: owner, type, class, TTL, length.
    #[inline]
    fn fixed<const N: usize>(&self, owner: [u8; 2], rtype: u16) -> [u8; FIXED] {
        let ([o1, o2], [t1, t2], [s1, s2, s3, s4]) = (owner, rtype.to_be_bytes(), self.ttl);
        #[expect(clippy::cast_possible_truncation, reason = "4 or 16")]
        let length = N as u8;
        [o1, o2, t1, t2, 0, CLASS_IN, s1, s2, s3, s4, 0, length]
    }
}

/// A record in one piece: appending its two parts takes twice as long.
#[inline]
fn record<const SIZE: usize>(fixed: &[u8; FIXED], octets: &[u8]) -> [u8; SIZE] {
    let mut record = [0; SIZE];
    let (head, data) = record.split_at_mut(FIXED);
    head.copy_from_slice(fixed);
    data.copy_from_slice(octets);
    record
}

/// Bytes of an A record whose owner is a pointer.
pub(super) const V4: usize = FIXED + 4;
/// The same of an AAAA record.
pub(super) const V6: usize = FIXED + 16;
/// The same of an SRV record without its target.
pub(super) const SRV: usize = FIXED + 6;
/// Owner, type, class, TTL and length of data.
const FIXED: usize = 12;
/// A pointer to the name of the question.
const QUESTION: [u8; 2] = [0xc0, 12];
const POINTER: u16 = 0xc000;
/// Where the number of answers is.
const ANSWERS: usize = 6;
const CLASS_IN: u8 = 1;
const QR: u8 = 0x80;
const AA: u8 = 0x04;
const RD: u8 = 0x01;
