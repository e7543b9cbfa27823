//! The short way for the questions that come most: A, AAAA and SRV of a whole service, over UDP,
//! with or without a plain OPT record.
//!
//! It writes the very bytes that the full handler would, without a copy of the name, a table of
//! names or an allocation; what is not of its kind is left to that one. Looking at a packet moves
//! nothing, so that the rate limit can have its say before the answer is chosen. Called by `front`.

mod place;
mod question;
mod records;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use rand::rngs::SmallRng;

use crate::dns::rtype;
use crate::dns::served::Served;
use crate::model::Millis;
use crate::registry::{Family, Pinned};
use crate::resolve::{Asker, Kind, Pooled, Records};
use place::{Folded, Place};
use question::Question;
use records::Writer;

/// What is kept from one packet to the next, so that nothing is allocated for any.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    folded: Folded,
    units: Vec<u32>,
}

/// A question of the common kind whose answer is there and fits.
#[derive(Debug)]
pub(super) struct Common<'q> {
    question: Question<'q>,
    pooled: Pooled<'q>,
    units: &'q mut Vec<u32>,
}

impl<'q> Common<'q> {
    /// Reads `packet`. `None` for what the full handler must see to.
    pub(super) fn read(
        packet: &'q [u8],
        served: &Served,
        views: &'q Pinned<'_>,
        scratch: &'q mut Scratch,
    ) -> Option<Self> {
        let question = Question::read(packet)?;
        let kind = match question.rtype {
            rtype::A => Kind::A,
            rtype::AAAA => Kind::Aaaa,
            rtype::SRV => Kind::Srv,
            _ => return None,
        };
        let place = Place::find(served, question.name, &mut scratch.folded)?;
        let pooled = Pooled::find(views, place.labels(), kind)?;
        let common = Self { question, pooled, units: &mut scratch.units };
        common.fits().then_some(common)
    }

    /// The type asked for.
    pub(super) fn rtype(&self) -> u16 {
        self.question.rtype
    }

    /// Chooses the answer for a client at `source`, and makes it the reply.
    pub(super) fn write(
        self,
        served: &Served,
        source: IpAddr,
        now: Millis,
        rng: &mut SmallRng,
        reply: &mut Vec<u8>,
    ) {
        let room = self.question.room;
        let asker = Asker {
            prefix: served.client(source, u8::MAX),
            fit_v4: room / records::V4,
            fit_v6: room / records::V6,
            now,
            peek: false,
        };
        let ttl = self.pooled.choose(&asker, rng, self.units);
        let mut writer = Writer::start(&self.question, ttl, reply);
        match self.pooled.records {
            Records::Addresses(Family::V4, addresses) => {
                for unit in &*self.units {
                    addresses.v4(*unit).for_each(|octets| writer.v4(octets));
                }
            }
            Records::Addresses(Family::V6, addresses) => {
                for unit in &*self.units {
                    addresses.v6(*unit).for_each(|octets| writer.v6(octets));
                }
            }
            Records::Targets(_) => {}
        }
        writer.finish(&self.question);
    }

    /// Whether every record of the answer is sure to fit, whichever are chosen.
    fn fits(&self) -> bool {
        let room = self.question.room;
        match self.pooled.records {
            Records::Addresses(family, addresses) => {
                let record = match family {
                    Family::V4 => records::V4,
                    Family::V6 => records::V6,
                };
                addresses.pool.least_room() <= room / record
            }
            Records::Targets(_) => false,
        }
    }
}
