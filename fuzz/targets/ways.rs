//! A packet from anybody by both ways that a reply is made: the short one that common questions
//! take, and the full handler.

use std::cell::RefCell;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use signpost::dns::front::{Desk, Front};
use signpost::dns::query::parse;
use signpost::dns::transport::{Peer, Transport};

use crate::targets::served;

/// Two servers that are alike, one of which takes the full handler for everything.
struct Ways {
    both: [(Front, Desk); 2],
    replies: [Vec<u8>; 2],
}

thread_local! {
    static WAYS: RefCell<Ways> = RefCell::new(Ways::new());
}

/// Answers `bytes` by both ways, which must come to the same reply.
pub fn ways(bytes: &[u8]) {
    // What a cookie is answered with is a secret of each server.
    if parse(bytes).head().and_then(|head| head.edns).is_some_and(|edns| edns.cookie.is_some()) {
        return;
    }
    WAYS.with_borrow_mut(|Ways { both, replies }| {
        let peer = Peer { transport: Transport::Udp, source: SOURCE.into() };
        let mut sent = [false; 2];
        for (((front, desk), reply), sent) in both.iter_mut().zip(&mut *replies).zip(&mut sent) {
            *sent = front.handle_at(desk, bytes, peer, reply);
        }
        assert_eq!(sent[0], sent[1], "one of them is silent: {bytes:?}");
        if sent[0] {
            assert_eq!(replies[0], replies[1], "to {bytes:?}");
        }
    });
}

impl Ways {
    fn new() -> Self {
        let rng = SmallRng::seed_from_u64(1);
        let desks = [Desk::new(rng.clone()), Desk::unhurried(rng)];
        Self { both: desks.map(|desk| (served::make(), desk)), replies: Default::default() }
    }
}

const SOURCE: ([u8; 4], u16) = ([192, 0, 2, 1], 5353);
