//! The connections that are open, and whose turn it is to go when there are too many.
//!
//! The one goes that has left this server without anything to do for longest: one that is idle, or
//! has sent half a message, or has not finished its handshake. A message takes milliseconds, so
//! that honest clients are always among the last, and clients that hold connections keep nobody
//! out. Costs the logarithm of the number of connections, and only when one comes or goes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All open connections, up to a limit in total and for each client.
#[derive(Debug)]
pub struct Connections {
    total: AtomicUsize,
    per_client: AtomicUsize,
    house: Arc<House>,
}

impl Connections {
    /// At most `total` at a time, and `per_client` of one IPv4 address or IPv6 /64.
    #[must_use]
    pub fn new(total: usize, per_client: usize) -> Self {
        let (total, per_client) = (total.into(), per_client.into());
        Self { total, per_client, house: Arc::default() }
    }

    /// Puts other limits in force. Connections over them go as new ones come.
    pub fn limit(&self, total: usize, per_client: usize) {
        self.total.store(total, Ordering::Relaxed);
        self.per_client.store(per_client, Ordering::Relaxed);
    }

    /// Asks for a place for a new connection from `source`.
    pub fn admit(&self, source: IpAddr) -> Admission {
        self.admit_with(source, 0)
    }

    /// The same for one that may be among a `reserve` beyond the limit.
    pub fn admit_with(&self, source: IpAddr, reserve: usize) -> Admission {
        let client = client(source);
        let per_client = self.per_client.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed).saturating_add(reserve);
        let mut rooms = self.house.lock();
        let mut full = false;
        while rooms.of(client).take(per_client).count() >= per_client {
            full = true;
            if !rooms.evict(Some(client), &self.house.ticket) {
                return Admission::Full;
            }
        }
        while rooms.queue.len() >= total {
            full = true;
            if !rooms.evict(None, &self.house.ticket) {
                return Admission::Full;
            }
        }
        let ticket = self.house.next();
        let state = Arc::new(State {
            client,
            queued: AtomicU64::new(ticket),
            since: AtomicU64::new(ticket),
            evicted: Notify::new(),
        });
        rooms.insert(ticket, Arc::clone(&state));
        drop(rooms);
        let place = Place { house: Arc::clone(&self.house), state };
        if full { Admission::Evicted(place) } else { Admission::Free(place) }
    }
}

/// What came of asking for a place.
#[derive(Debug)]
pub enum Admission {
    /// There was one.
    Free(Place),
    /// There is one now: another connection has to go.
    Evicted(Place),
    /// All others wait for this server.
    Full,
}

/// The place of one connection; free again when dropped.
#[derive(Debug)]
pub struct Place {
    house: Arc<House>,
    state: Arc<State>,
}

impl Place {
    /// Notes that the connection waits for this server: it is not to go.
    pub fn busy(&self) {
        self.state.since.store(BUSY, Ordering::Relaxed);
    }

    /// Notes that everything it asked is answered, and that it is its client's turn from now on.
    pub fn idle(&self) {
        self.state.since.store(self.house.next(), Ordering::Relaxed);
    }

    /// Completes when this connection has to go.
    pub async fn evicted(&self) {
        self.state.evicted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut rooms = self.house.lock();
        // One that was evicted is gone already: no ticket is given twice.
        rooms.remove(self.state.queued.load(Ordering::Relaxed));
    }
}

#[derive(Debug, Default)]
struct House {
    rooms: Mutex<Rooms>,
    /// Numbers what happens, in its order.
    ticket: AtomicU64,
}

impl House {
    fn lock(&self) -> MutexGuard<'_, Rooms> {
        // A panic within cannot leave more than one connection too many or too few.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> u64 {
        self.ticket.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct State {
    client: IpAddr,
    /// Its key in the queue; moves under the lock only.
    queued: AtomicU64,
    /// The ticket of when this server had last nothing to do for it, or [`BUSY`].
    since: AtomicU64,
    evicted: Notify,
}

/// The connections in the order of their tickets, as they were when last looked at: who is first
/// and has a later ticket by now goes back in the queue. So a message costs nothing here.
#[derive(Debug, Default)]
struct Rooms {
    queue: BTreeMap<u64, Arc<State>>,
    clients: BTreeSet<(IpAddr, u64)>,
}

impl Rooms {
    /// The keys of a client's connections, in order.
    fn of(&self, client: IpAddr) -> impl Iterator<Item = u64> {
        self.clients.range((client, 0)..=(client, u64::MAX)).map(|(_, ticket)| *ticket)
    }

    /// Closes the connection, among all or those of a client, whose turn it is. False when all are
    /// busy.
    fn evict(&mut self, within: Option<IpAddr>, next: &AtomicU64) -> bool {
        let all = within.map_or(self.queue.len(), |client| self.of(client).count());
        // Each goes back in the queue at most once, unless it is used in this very moment.
        for _ in 0..=all {
            let first = match within {
                None => self.queue.first_key_value().map(|(ticket, _)| *ticket),
                Some(client) => self.of(client).next(),
            };
            let Some(state) = first.and_then(|ticket| self.remove(ticket)) else { return false };
            let since = match state.since.load(Ordering::Relaxed) {
                BUSY => next.fetch_add(1, Ordering::Relaxed),
                since => since,
            };
            if Some(since) == first {
                state.evicted.notify_one();
                return true;
            }
            state.queued.store(since, Ordering::Relaxed);
            self.insert(since, state);
        }
        false
    }

    fn insert(&mut self, ticket: u64, state: Arc<State>) {
        self.clients.insert((state.client, ticket));
        self.queue.insert(ticket, state);
    }

    fn remove(&mut self, ticket: u64) -> Option<Arc<State>> {
        let state = self.queue.remove(&ticket)?;
        self.clients.remove(&(state.client, ticket));
        Some(state)
    }
}

/// Who counts as one client: an IPv6 host has all of its /64 for itself.
#[must_use]
pub fn client(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Larger than any ticket.
const BUSY: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    fn place(admission: Admission) -> Place {
        match admission {
            Admission::Free(place) => place,
            other => panic!("{other:?}"),
        }
    }

    fn evicting(admission: Admission) -> Place {
        match admission {
            Admission::Evicted(place) => place,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn who_has_finished_nothing_for_longest_makes_room() {
        let connections = Connections::new(3, 3);
        let [first, second, third] = [1, 2, 3].map(|last| place(connections.admit(from(last))));
        first.idle();

        let fourth = evicting(connections.admit(from(4)));
        second.evicted().await;
        let _fifth = evicting(connections.admit(from(5)));
        third.evicted().await;
        first.idle();
        let _sixth = evicting(connections.admit(from(6)));
        fourth.evicted().await;

        drop((second, third, fourth));
        drop(first);
        assert!(matches!(connections.admit(from(7)), Admission::Free(_)));
    }

    #[tokio::test]
    async fn who_waits_for_the_server_stays() {
        let connections = Connections::new(2, 2);
        let [first, second] = [1, 2].map(|last| place(connections.admit(from(last))));
        first.busy();

        let third = evicting(connections.admit(from(3)));
        second.evicted().await;
        third.busy();
        assert!(matches!(connections.admit(from(4)), Admission::Full));
        third.idle();
        first.idle();
        let _fourth = evicting(connections.admit(from(4)));
        third.evicted().await;
    }

    #[tokio::test]
    async fn a_reserve_is_for_whom_it_is_kept() {
        let connections = Connections::new(1, 9);
        let first = place(connections.admit(from(1)));
        first.busy();

        let second = place(connections.admit_with(from(2), 1));
        second.busy();

        assert!(matches!(connections.admit(from(3)), Admission::Full));
        assert!(matches!(connections.admit_with(from(3), 1), Admission::Full));
        drop(second);
        assert!(matches!(connections.admit(from(3)), Admission::Full));
        assert!(matches!(connections.admit_with(from(3), 1), Admission::Free(_)));
    }

    #[tokio::test]
    async fn a_client_over_its_own_limit_makes_room_of_its_own() {
        let connections = Connections::new(10, 2);
        let other = place(connections.admit("2001:db8::1".parse().unwrap()));
        let [first, _second] = ["2001:db8:0:1::1", "2001:db8:0:1::2"]
            .map(|source| place(connections.admit(source.parse().unwrap())));

        let _third = evicting(connections.admit("2001:db8:0:1:ffff::".parse().unwrap()));

        first.evicted().await;
        drop(other);
        assert_eq!(connections.house.lock().queue.len(), 2);
        assert_eq!(connections.house.lock().clients.len(), 2);
    }

    #[test]
    fn lower_limits_hold_for_the_next_connection() {
        let connections = Connections::new(10, 10);
        let places: Vec<Place> = (0..10).map(|_| place(connections.admit(from(1)))).collect();

        connections.limit(4, 10);
        let _next = evicting(connections.admit(from(1)));

        assert_eq!(connections.house.lock().queue.len(), 4);
        drop(places);
        assert_eq!(connections.house.lock().queue.len(), 1);
    }
}
