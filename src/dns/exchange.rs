//! Datagrams in, datagrams out, by the batch: one call of the system for up to 32 of them each way.
//!
//! One for each thread: what nix prepares for the system is full of pointers and stays where it is.
//! Allocates nothing once it has seen a full batch. Called by `udp` alone.

use std::array;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg};

use crate::dns::batch::{BATCH, BUFFER, Batch, Packet, Tally};
use crate::dns::datagrams::{Family, Kind};
use crate::dns::transport::UDP_PAYLOAD;

/// What a socket's batches take.
pub(crate) struct Exchange<F: Family> {
    kind: Kind,
    inward: MultiHeaders<F::Address>,
    outward: MultiHeaders<F::Address>,
    /// How many of `outward` have received. nix reads the address that a datagram came from when it
    /// is asked how many were sent, so headers that were never written to may not send; and it
    /// leaves pointers to other addresses in those that have sent, so they may not receive again.
    seasoned: usize,
    buffers: Vec<u8>,
    packets: [Packet; BATCH],
    /// Where the packets came from, and later where the replies go.
    clients: [Option<F::Address>; BATCH],
    locals: [F::Local; BATCH],
    replies: [Vec<u8>; BATCH],
    answered: Vec<usize>,
}

impl<F: Family> Exchange<F> {
    /// For sockets of this kind, which is one of the family's.
    pub(crate) fn new(kind: Kind) -> Self {
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            kind,
            inward: headers::<F>(kind, BATCH),
            outward: headers::<F>(kind, 0),
            seasoned: 0,
            // Pages that no datagram was ever long enough to reach take no memory.
            buffers: vec![0; BATCH * BUFFER],
            packets: [Packet { source: nobody, length: 0 }; BATCH],
            clients: [None; BATCH],
            locals: [F::anywhere(); BATCH],
            replies: array::from_fn(|_| Vec::with_capacity(usize::from(UDP_PAYLOAD))),
            answered: Vec::with_capacity(BATCH),
        }
    }

    /// Takes what has arrived at `socket`, up to a batch, and has it answered. Waits as long as the
    /// socket does for the first datagram if `wait`, else for nothing.
    ///
    /// # Errors
    /// `WouldBlock` when there is no datagram; else what the socket has to say.
    pub(crate) fn take(
        &mut self,
        socket: &impl AsRawFd,
        wait: bool,
        answer: &mut impl FnMut(&mut Batch<'_>),
    ) -> io::Result<Tally> {
        let received = self.receive(socket, wait)?;
        let Self { buffers, packets, replies, answered, .. } = self;
        let mut batch = Batch::new(buffers, &packets[..received], replies, answered);
        answer(&mut batch);
        Ok(batch.tally)
    }

    /// Sends the replies to what was taken; how many of them the system did not take at once, which
    /// are lost. One that it refuses is no harm to others.
    pub(crate) fn send(&mut self, socket: &impl AsRawFd) -> u64 {
        for (reply, packet) in self.answered.iter().enumerate() {
            // Some before it got no reply.
            if reply != *packet {
                self.clients[reply] = self.clients[*packet];
                self.locals[reply] = self.locals[*packet];
            }
        }
        let replies = self.answered.len();
        let (mut done, mut unsent) = (0, 0);
        while done < replies {
            let end = done + self.alike(done..replies);
            match self.send_alike(socket, done, end) {
                // Less than all when there is an error next, which comes up in the next turn.
                Ok(sent) if sent > 0 => done += sent,
                Ok(_) | Err(_) => {
                    unsent += 1;
                    done += 1;
                }
            }
        }
        self.answered.clear();
        unsent
    }

    fn receive(&mut self, socket: &impl AsRawFd, wait: bool) -> io::Result<usize> {
        let mut buffers = self.buffers.chunks_exact_mut(BUFFER);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let flags = if wait { MsgFlags::MSG_WAITFORONE } else { MsgFlags::MSG_DONTWAIT };
        let datagrams = recvmmsg(socket.as_raw_fd(), &mut self.inward, &mut slices, flags, None)?;
        let mut received = 0;
        for datagram in datagrams {
            // Each has one.
            let Some(client) = datagram.address else { break };
            self.packets[received] = Packet { source: F::source(client), length: datagram.bytes };
            self.clients[received] = Some(client);
            if self.kind.tells() {
                let told = datagram.cmsgs().ok();
                let told = told.and_then(|mut all| all.find_map(|message| F::local(&message)));
                self.locals[received] = told.unwrap_or_else(F::anywhere);
            }
            received += 1;
        }
        if received > self.seasoned {
            let fresh = headers::<F>(self.kind, BATCH);
            self.outward = std::mem::replace(&mut self.inward, fresh);
            self.seasoned = received;
        }
        Ok(received)
    }

    /// How many of these replies, from the first on, leave from the same address: nix has one for all
    /// that it sends at once.
    fn alike(&self, replies: std::ops::Range<usize>) -> usize {
        if !self.kind.tells() {
            return replies.len();
        }
        let locals = &self.locals[replies];
        locals.iter().take_while(|local| F::same(local, &locals[0])).count()
    }

    fn send_alike(&mut self, socket: &impl AsRawFd, from: usize, to: usize) -> io::Result<usize> {
        let control = self.kind.tells().then(|| F::control(&self.locals[from]));
        let mut replies = self.replies[from..to].iter();
        let slices: [[IoSlice<'_>; 1]; BATCH] =
            array::from_fn(|_| [IoSlice::new(replies.next().map_or(&[], |reply| &reply[..]))]);
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut self.outward,
            &slices[..to - from],
            &self.clients[from..to],
            control.as_slice(),
            MsgFlags::MSG_DONTWAIT,
        )?;
        Ok(sent.count())
    }
}

/// Headers for `count` datagrams of this kind.
///
/// The system writes the lengths of what it received over those of the room there was, and nix
/// leaves them so: they are for sockets of one kind, whose lengths are always the same.
fn headers<F: Family>(kind: Kind, count: usize) -> MultiHeaders<F::Address> {
    MultiHeaders::preallocate(count, kind.tells().then(F::room))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::dns::datagrams::{V4, V6};

    fn socket(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).unwrap();
        Kind::of(socket.local_addr().unwrap()).prepare(&socket).unwrap();
        socket
    }

    fn client(of: &str, server: SocketAddr) -> UdpSocket {
        let client = UdpSocket::bind((of, 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.connect(server).unwrap();
        client
    }

    /// Takes until this many packets have been answered by themselves; how many were not sent.
    fn echo<F: Family>(exchange: &mut Exchange<F>, socket: &UdpSocket, count: usize) -> u64 {
        let (mut answered, mut unsent) = (0, 0);
        while answered < count {
            exchange
                .take(socket, true, &mut |batch| {
                    answered += batch.len();
                    batch.each(|packet, _, reply| {
                        reply.clear();
                        reply.extend(packet);
                        true
                    });
                })
                .unwrap();
            unsent += exchange.send(socket);
        }
        unsent
    }

    fn received(client: &UdpSocket) -> Vec<u8> {
        let mut reply = vec![0; 70_000];
        let length = client.recv(&mut reply).expect("a reply from where it was asked");
        reply.truncate(length);
        reply
    }

    #[test]
    fn replies_of_one_batch_leave_from_the_addresses_that_were_asked() {
        let server = socket("0.0.0.0:0");
        let port = server.local_addr().unwrap().port();
        let mut exchange = Exchange::<V4>::new(Kind::AllV4);

        // Batches that grow, since headers change their places, and shrink.
        for round in [1, 2, 40, 3] {
            let clients: Vec<_> = (0..round)
                .map(|i| client("127.0.0.1", ([127, 0, 0, 1 + i % 3], port).into()))
                .collect();
            (0..).zip(&clients).for_each(|(i, client)| assert!(client.send(&[i, round]).is_ok()));

            assert_eq!(echo(&mut exchange, &server, clients.len()), 0);

            for (i, client) in (0..).zip(&clients) {
                assert_eq!(received(client), [i, round]);
            }
        }
    }

    #[test]
    fn what_cannot_be_sent_is_counted_and_holds_up_nothing() {
        let server = socket("127.0.0.1:0");
        let clients: Vec<_> =
            (0..5).map(|_| client("127.0.0.1", server.local_addr().unwrap())).collect();
        let mut exchange = Exchange::<V4>::new(Kind::OneV4);
        for client in &clients {
            client.send(b"q").unwrap();
        }
        // Larger than a datagram can be, the first one and two others.
        let too_long = [0, 2, 4];
        let mut number = 0;
        let tally = exchange
            .take(&server, true, &mut |batch| {
                assert_eq!(batch.len(), 5);
                batch.each(|_, _, reply| {
                    reply.clear();
                    reply.resize(if too_long.contains(&number) { 70_000 } else { 10 }, 0);
                    number += 1;
                    true
                });
            })
            .unwrap();

        assert_eq!(exchange.send(&server), 3);

        assert_eq!(tally, Tally::default());
        assert_eq!(received(&clients[1]), [0; 10]);
        assert_eq!(received(&clients[3]), [0; 10]);
    }

    #[test]
    fn silence_and_panics_leave_the_other_replies_to_whom_they_belong() {
        let server = socket("[::1]:0");
        let clients: Vec<_> = (0..6).map(|_| client("::1", server.local_addr().unwrap())).collect();
        let mut exchange = Exchange::<V6>::new(Kind::OneV6);
        for (i, client) in (0..).zip(&clients) {
            client.send(&[i]).unwrap();
        }

        let tally = exchange
            .take(&server, true, &mut |batch| {
                batch.each(|packet, _, reply| {
                    assert_ne!(packet, [1]);
                    reply.clear();
                    reply.extend(packet);
                    packet != [3]
                });
            })
            .unwrap();

        assert_eq!(exchange.send(&server), 0);
        assert_eq!(tally, Tally { silent: 1, panicked: 1 });
        for i in [0, 2, 4, 5] {
            assert_eq!(received(&clients[usize::from(i)]), [i]);
        }
    }

    #[test]
    fn the_longest_and_the_shortest_datagram_arrive_whole() {
        let server = socket("[::]:0");
        let port = server.local_addr().unwrap().port();
        let client = client("::1", format!("[::1]:{port}").parse().unwrap());
        let mut exchange = Exchange::<V6>::new(Kind::AllV6);
        let longest = vec![7; 65_527];
        client.send(&longest).unwrap();
        client.send(&[]).unwrap();

        // As long as a datagram over IPv6 can be.
        assert_eq!(echo(&mut exchange, &server, 2), 0);

        assert!(received(&client) == longest);
        assert_eq!(received(&client), b"");
    }
}
