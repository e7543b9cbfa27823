//! A caching resolver, or a client that asks for itself.

use std::net::Ipv4Addr;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use crate::balance::hash::client_hash;
use crate::model::Network;
use crate::simulate::cast;
use crate::simulate::plan::CacheOrder;

/// One record of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The server that it leads to.
    pub(super) server: u32,
    /// SRV's.
    pub(super) weight: u16,
    /// SRV's.
    pub(super) priority: u16,
}

/// Who asks the name server, and what it got.
#[derive(Debug)]
pub(super) struct Resolver {
    /// What the name server knows it by.
    pub(super) client: u64,
    /// What it was last told.
    pub(super) answer: Vec<Record>,
    /// Until when it keeps that.
    expires: f64,
    /// How long it keeps anything at least; negative: it keeps nothing.
    floor: f64,
}

impl Resolver {
    /// The `number`-th that keeps answers for at least `floor` seconds.
    pub(super) fn caching(number: usize, floor: f64) -> Self {
        let client = client_hash(network(number));
        Self { client, answer: Vec::new(), expires: f64::NEG_INFINITY, floor }
    }

    /// The `number`-th client that asks each time.
    pub(super) fn direct(number: usize) -> Self {
        Self::caching(number, f64::NEG_INFINITY)
    }

    /// Whether it has to ask.
    pub(super) fn asks(&self, now: f64) -> bool {
        self.expires <= now
    }

    /// Keeps the answer that it was given for `ttl` seconds, or as long as it likes.
    pub(super) fn keep(&mut self, now: f64, ttl: f64) {
        let keeps = self.floor > f64::NEG_INFINITY;
        self.expires = if keeps { now + ttl.max(self.floor) } else { now };
    }

    /// Where in the answer a client's copy of it starts.
    pub(super) fn start(&self, order: CacheOrder, luck: u64) -> usize {
        match order {
            CacheOrder::Freeze => 0,
            _ if self.floor == f64::NEG_INFINITY => 0,
            CacheOrder::Rotate | CacheOrder::Shuffle => cast::below(luck, self.answer.len()),
        }
    }

    /// The other records than the one at `place`, in the order in which a client has them.
    pub(super) fn others(&self, order: CacheOrder, place: usize, luck: u64) -> Vec<Record> {
        let mut others = self.answer.clone();
        others.rotate_left(place);
        others.remove(0);
        if order == CacheOrder::Shuffle && self.floor > f64::NEG_INFINITY {
            others.shuffle(&mut SmallRng::seed_from_u64(luck));
        }
        others
    }
}

/// A network that no other has: its client prefix.
fn network(number: usize) -> Network {
    let [_, high, middle, low] = cast::small(number).to_be_bytes();
    Network::of(Ipv4Addr::new(10 + high, middle, low, 1).into(), 24)
}
