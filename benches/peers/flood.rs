//! As many queries as the server takes: a closed loop over a few sockets, packets by the batch.
//!
//! A query is sent for each reply that came, so that a fixed number is always on its way. Every
//! reply is checked. Its cost per query is far below that of any server, so that the server is what
//! is measured.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::asker::Asker;
use crate::clock::now;
use crate::data::Questions;

/// The loop, and what it knows to ask.
pub(crate) struct Flood {
    sockets: Vec<Asker>,
    questions: Questions,
    rng: SmallRng,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Replies as they should be.
    pub(crate) answered: u64,
    /// Other replies.
    pub(crate) wrong: u64,
    /// Queries without a reply in time.
    pub(crate) lost: u64,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    After(Duration),
    Answered(u64),
}

impl Flood {
    /// A loop that asks `server`.
    ///
    /// # Errors
    /// When there are no sockets.
    pub(crate) fn new(server: SocketAddr, questions: Questions) -> io::Result<Self> {
        let sockets = (0..SOCKETS).map(|_| Asker::new(server)).collect::<io::Result<_>>()?;
        let rng = SmallRng::seed_from_u64(7);
        Ok(Self { sockets, questions, rng })
    }

    /// Asks until then.
    ///
    /// # Errors
    /// When a socket fails, as it does when the server has gone.
    pub(crate) fn run(&mut self, until: Until) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let start = now();
        let mut last = start;
        loop {
            let before = tally.answered + tally.wrong;
            for asker in &mut self.sockets {
                asker.take(&self.questions.expected, &mut tally)?;
                asker.ask(&self.questions.packets, &mut self.rng)?;
            }
            let now = now();
            if tally.answered + tally.wrong > before {
                last = now;
            } else if now - last > LOST {
                tally.lost += self.sockets.iter_mut().map(Asker::forget).sum::<u64>();
                last = now;
            }
            let done = match until {
                Until::After(time) => now - start >= time,
                Until::Answered(count) => tally.answered >= count,
            };
            if done || tally.wrong + tally.lost > MUCH {
                return Ok(tally);
            }
        }
    }
}

/// Sockets, so that a server which spreads them over threads or caches has something to spread.
const SOCKETS: usize = 4;
/// A query without a reply for so long is lost.
const LOST: Duration = Duration::from_secs(1);
/// A server that does so much wrong is not measured further.
const MUCH: u64 = 10_000;
