//! What a service's queries show of its traffic: one table of clients for each kind of answer.
//!
//! It outlives pools, which are built anew at every change; the registry keeps one for each service
//! whose algorithm needs it. A table is made when the first query comes: most services are asked by
//! few, and many by nobody.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::balance::clients::{Clients, Concentration};
use crate::balance::rate::Estimate;
use crate::model::Millis;

/// The traffic of one service.
#[derive(Debug)]
pub struct Traffic {
    record_ttl: Duration,
    seed: u64,
    streams: [OnceLock<Box<Clients>>; 3],
}

/// Kinds of answers that caches keep apart: one client asks for each in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A.
    V4,
    /// AAAA.
    V6,
    /// All others.
    Other,
}

impl Traffic {
    /// Nothing known yet of a service with records of this TTL. `seed` must be random.
    #[must_use]
    pub fn new(record_ttl: Duration, seed: u64) -> Self {
        Self { record_ttl, seed, streams: [const { OnceLock::new() }; 3] }
    }

    /// The TTL of the records that it was made for.
    #[must_use]
    pub fn record_ttl(&self) -> Duration {
        self.record_ttl
    }
}

/// The queries for one kind of answer, as a pool counts them.
#[derive(Debug, Clone)]
pub struct Stream {
    traffic: Arc<Traffic>,
    asked: Asked,
}

impl Stream {
    /// Those of `traffic` that ask for this.
    #[must_use]
    pub fn new(traffic: &Arc<Traffic>, asked: Asked) -> Self {
        Self { traffic: Arc::clone(traffic), asked }
    }

    /// Counts a query of `client` and says what is known of those behind it.
    pub(super) fn note(&self, client: u64, now: Millis) -> Estimate {
        let traffic = &self.traffic;
        let clients = traffic.streams[self.asked as usize]
            .get_or_init(|| Clients::new(traffic.record_ttl.as_secs_f32(), traffic.seed).into());
        clients.note(client, now)
    }

    /// What is known of those behind `client`. Counts nothing.
    pub(super) fn look(&self, client: u64) -> Estimate {
        self.clients().map(|clients| clients.look(client)).unwrap_or_default()
    }

    /// All requests per second, as far as they are known; 0 when they are not.
    pub(super) fn total(&self) -> f32 {
        self.clients().map_or(0.0, Clients::total)
    }

    /// How far the traffic hangs on one client.
    pub(super) fn concentration(&self, now: Millis) -> Concentration {
        self.clients().map(|clients| clients.concentration(now)).unwrap_or_default()
    }

    fn clients(&self) -> Option<&Clients> {
        self.traffic.streams[self.asked as usize].get().map(|clients| &**clients)
    }
}
