//! The short way for the questions that come most: A, AAAA and SRV of a whole service, over UDP,
//! with or without a plain OPT record.
//!
//! It writes the very bytes that the full handler would, without a copy of the name, a table of
//! names or an allocation; what is not of its kind is left to that one. Looking at a packet moves
//! nothing, so that the rate limit can have its say before the answer is chosen. Called by `front`.

mod place;
mod question;
mod records;
mod targets;
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
    lists: Lists,
}

/// What an answer is made of on its way.
#[derive(Debug, Default)]
struct Lists {
    units: Vec<u32>,
    /// What follows the label of an instance in its name.
    suffix: Vec<u8>,
    /// Where the targets begin in the reply.
    targets: Vec<u16>,
}

/// A question of the common kind whose answer is there and fits.
#[derive(Debug)]
pub(super) struct Common<'q> {
    question: Question<'q>,
    apex: &'q [u8],
    pooled: Pooled<'q>,
    lists: &'q mut Lists,
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
        let Scratch { folded, lists } = scratch;
        let place = Place::find(served, question.name, folded)?;
        let pooled = Pooled::find(views, place.labels(), kind)?;
        let common = Self { question, apex: place.apex, pooled, lists };
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
        let Self { question, apex, pooled, lists } = self;
        let asker = Asker {
            prefix: served.client(source, u8::MAX),
            fit_v4: question.room / records::V4,
            fit_v6: question.room / records::V6,
            now,
            peek: false,
        };
        let ttl = pooled.choose(&asker, rng, &mut lists.units);
        let mut writer = Writer::start(&question, ttl, reply);
        match pooled.records {
            Records::Addresses(Family::V4, addresses) => {
                for unit in &lists.units {
                    addresses.v4(*unit).for_each(|octets| writer.v4(octets));
                }
            }
            Records::Addresses(Family::V6, addresses) => {
                for unit in &lists.units {
                    addresses.v6(*unit).for_each(|octets| writer.v6(octets));
                }
            }
            Records::Targets(targets) => {
                targets::write(&pooled, targets, apex, lists, &mut writer);
            }
        }
        writer.finish();
    }

    /// Whether every record of the answer is sure to fit, whichever are chosen.
    fn fits(&self) -> bool {
        let room = self.question.room;
        match self.pooled.records {
            Records::Addresses(Family::V4, addresses) => {
                addresses.pool.least_room() <= room / records::V4
            }
            Records::Addresses(Family::V6, addresses) => {
                addresses.pool.least_room() <= room / records::V6
            }
            Records::Targets(targets) => {
                targets::fit(self.pooled.view, targets, self.apex, &self.question)
            }
        }
    }
}
