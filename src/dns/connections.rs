//! The TCP connections that are open, and whose turn it is to go when there are too many.
//!
//! A full house closes the connection that has been idle longest, so that idle clients cannot
//! keep others out; one in the middle of a message is left alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

/// All open connections, up to a limit.
#[derive(Debug)]
pub struct Connections {
    limit: usize,
    open: Arc<Mutex<HashMap<u64, Arc<State>, RandomState>>>,
    /// Numbers connections and their last uses in the order they happen.
    ticket: Arc<AtomicU64>,
}

impl Connections {
    /// At most `limit` at a time.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default(), ticket: Arc::new(AtomicU64::new(1)) }
    }

    /// Asks for a place for a new connection.
    pub(crate) fn admit(&self) -> Admission {
        let mut open = lock(&self.open);
        let full = open.len() >= self.limit;
        if full {
            let idle = open.iter().map(|(id, state)| (state.idle_since(), *id));
            let Some((_, longest)) = idle.filter(|(since, _)| *since != BUSY).min() else {
                return Admission::Full;
            };
            if let Some(state) = open.remove(&longest) {
                state.evicted.notify_one();
            }
        }
        let id = self.ticket.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(State { idle_since: AtomicU64::new(id), evicted: Notify::new() });
        open.insert(id, Arc::clone(&state));
        drop(open);
        let (open, ticket) = (Arc::clone(&self.open), Arc::clone(&self.ticket));
        let place = Place { open, ticket, id, state };
        if full { Admission::Evicted(place) } else { Admission::Free(place) }
    }
}

/// What came of asking for a place.
#[derive(Debug)]
pub(crate) enum Admission {
    /// There was one.
    Free(Place),
    /// There is one now: the longest idle connection has to go.
    Evicted(Place),
    /// Every connection is busy.
    Full,
}

/// The place of one connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    open: Arc<Mutex<HashMap<u64, Arc<State>, RandomState>>>,
    ticket: Arc<AtomicU64>,
    id: u64,
    state: Arc<State>,
}

impl Place {
    /// Notes that a message has begun, which is not interrupted.
    pub(crate) fn busy(&self) {
        self.state.idle_since.store(BUSY, Ordering::Relaxed);
    }

    /// Notes that all messages were answered.
    pub(crate) fn idle(&self) {
        let now = self.ticket.fetch_add(1, Ordering::Relaxed);
        self.state.idle_since.store(now, Ordering::Relaxed);
    }

    /// Completes when this connection has to go.
    pub(crate) async fn evicted(&self) {
        self.state.evicted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).remove(&self.id);
    }
}

#[derive(Debug)]
struct State {
    /// A ticket, or [`BUSY`].
    idle_since: AtomicU64,
    evicted: Notify,
}

impl State {
    fn idle_since(&self) -> u64 {
        self.idle_since.load(Ordering::Relaxed)
    }
}

fn lock<T>(open: &Mutex<T>) -> MutexGuard<'_, T> {
    // The map is whole between any two of its operations.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Larger than any ticket.
const BUSY: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(admission: Admission) -> Place {
        match admission {
            Admission::Free(place) => place,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_longest_idle_connection_makes_room() {
        let connections = Connections::new(3);
        let [first, second, third] = [(); 3].map(|()| place(connections.admit()));
        first.busy();
        second.busy();
        second.idle();

        let Admission::Evicted(fourth) = connections.admit() else { panic!("no room was made") };

        third.evicted().await;
        drop(third);
        second.busy();
        fourth.busy();
        assert!(matches!(connections.admit(), Admission::Full));
        drop(first);
        assert!(matches!(connections.admit(), Admission::Free(_)));
    }
}
