//! A client that looks up many times over one socket.

use std::net::UdpSocket;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::stand::{LOOKUPS, Stand, Via};
use crate::support::dns::{Dns, Query};
use crate::support::message::Message;

/// How many clients share what a cache has for one ttl.
const CLIENTS: usize = 10;

/// Looks up [`LOOKUPS`] times, ten clients at a time; behind a cache these share one answer, and
/// then its ttl has passed. `read` gets each reply with the number of its query, in any order.
pub(crate) fn look_up(
    stand: &Stand,
    via: Via,
    (name, rtype): (&str, &str),
    mut read: impl FnMut(usize, &Message),
) {
    let query = Query::new(name, rtype).recursive();
    let mut client = Client::of(stand, via);
    for first in (0..LOOKUPS).step_by(CLIENTS) {
        if via == Via::Unbound {
            stand.unbound.let_expire(name, rtype);
        }
        // The first alone: clients that wait for the same answer would all have it in one order.
        client.ask(first, &[&query], &mut read);
        client.ask(first + 1, &[&query; CLIENTS - 1], &mut read);
    }
}

/// A socket, and the ids of its queries, which unbound rotates by.
pub(crate) struct Client {
    socket: UdpSocket,
    ids: SmallRng,
}

impl Client {
    pub(crate) fn of(stand: &Stand, via: Via) -> Self {
        let dns: Dns = match via {
            Via::Direct => stand.server.dns,
            Via::Unbound => stand.unbound.dns,
        };
        let socket = dns.socket();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { socket, ids: SmallRng::seed_from_u64(60) }
    }

    /// Sends all of `queries`, which are numbered from `first`, and reads a reply to each.
    pub(crate) fn ask(
        &mut self,
        first: usize,
        queries: &[&Query],
        read: &mut impl FnMut(usize, &Message),
    ) {
        let mut waiting: Vec<(u16, usize)> = Vec::with_capacity(queries.len());
        for (number, query) in (first..).zip(queries) {
            let fresh = |id: &u16| waiting.iter().all(|(other, _)| other != id);
            let id = std::iter::repeat_with(|| self.ids.random()).find(fresh).unwrap();
            self.socket.send(&query.packet(id)).unwrap();
            waiting.push((id, number));
        }
        let mut buffer = [0; 4096];
        while !waiting.is_empty() {
            let length = self.socket.recv(&mut buffer).expect("a reply to every query");
            let id = u16::from_be_bytes([buffer[0], buffer[1]]);
            let at = waiting.iter().position(|(waiting, _)| *waiting == id).unwrap();
            let reply = Message::parse(&buffer[..length]);
            assert_eq!(reply.rcode, "NOERROR");
            read(waiting.swap_remove(at).1, &reply);
        }
    }
}
