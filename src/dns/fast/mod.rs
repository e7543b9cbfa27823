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

use crate::dns::rate_limit::Verdict;
use crate::dns::rtype;
use crate::dns::served::Served;
use crate::model::{Millis, Network};
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

/// What answers are made of, loaded after the packet was read.
#[derive(Debug)]
pub(super) struct Loaded<'l> {
    pub(super) served: &'l Served,
    pub(super) views: &'l Pinned<'l>,
    pub(super) now: Millis,
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

/// What became of a common question.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is answered: the type that was asked for.
    Answered(u16),
    /// It is not, since the rate limit said so.
    Limited(Verdict),
}

/// Answers `packet` from a client at `source` into `reply`. `None` for what the full handler must
/// see to: then nothing has moved. `limit` is asked once it is sure that this can be answered.
pub(super) fn answer(
    packet: &[u8],
    source: IpAddr,
    loaded: &Loaded<'_>,
    limit: impl FnOnce(&mut SmallRng) -> Verdict,
    rng: &mut SmallRng,
    scratch: &mut Scratch,
    reply: &mut Vec<u8>,
) -> Option<Taken> {
    let question = Question::read(packet)?;
    let kind = match question.rtype {
        rtype::A => Kind::A,
        rtype::AAAA => Kind::Aaaa,
        rtype::SRV => Kind::Srv,
        _ => return None,
    };
    let Scratch { folded, lists } = scratch;
    let place = Place::find(loaded.served, question.name, folded)?;
    let asker = Asker {
        client: Network::of(source, u8::MAX),
        prefix: loaded.served.client(source, u8::MAX),
        localities: Some(&loaded.served.localities),
        fit_v4: question.room / records::V4,
        fit_v6: question.room / records::V6,
        now: loaded.now,
        peek: false,
    };
    let pooled = Pooled::find(loaded.views, place.labels(), kind, &asker)?;
    // Of a panic the client is told in the OPT record.
    let told = question.opt.is_some() && pooled.view.panic.is_some();
    if told || !fits(&question, &pooled, place.apex) {
        return None;
    }
    match limit(rng) {
        Verdict::Answer => {}
        verdict @ (Verdict::Slip(_) | Verdict::Drop(_)) => return Some(Taken::Limited(verdict)),
    }
    let ttl = pooled.choose(&asker, rng, &mut lists.units);
    let mut writer = Writer::start(&question, ttl, reply);
    match pooled.records {
        Records::Addresses(Family::V4, addresses) => writer.v4(addresses, &lists.units),
        Records::Addresses(Family::V6, addresses) => writer.v6(addresses, &lists.units),
        Records::Targets(targets) => {
            targets::write(&pooled, targets, place.apex, lists, &mut writer);
        }
    }
    writer.finish();
    Some(Taken::Answered(question.rtype))
}

/// Whether every record of the answer is sure to fit, whichever are chosen.
fn fits(question: &Question<'_>, pooled: &Pooled<'_>, apex: &[u8]) -> bool {
    match pooled.records {
        Records::Addresses(Family::V4, addresses) => {
            addresses.pool.least_room() <= question.room / records::V4
        }
        Records::Addresses(Family::V6, addresses) => {
            addresses.pool.least_room() <= question.room / records::V6
        }
        Records::Targets(targets) => targets::fit(pooled.view, targets, apex, question),
    }
}
