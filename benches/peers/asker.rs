//! One socket of the flood, and the queries that are on their way from it.

use std::array;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg};
use rand::RngExt;
use rand::rngs::SmallRng;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use crate::flood::Tally;
use crate::reply::Expected;

/// A connected socket with room for a batch each way.
pub(crate) struct Asker {
    socket: UdpSocket,
    /// The id that each place waits for; a place without one is free.
    waiting: [Option<u16>; PLACES],
    /// Queries that were given up: their replies may still come.
    forgotten: u64,
    next: u16,
    outward: Vec<[u8; LONGEST_QUERY]>,
    inward: Vec<[u8; LONGEST_REPLY]>,
    headers: MultiHeaders<SockaddrIn>,
}

impl Asker {
    pub(crate) fn new(server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        Ok(Self {
            socket,
            waiting: [None; PLACES],
            forgotten: 0,
            next: 0,
            outward: vec![[0; LONGEST_QUERY]; PLACES],
            inward: vec![[0; LONGEST_REPLY]; PLACES],
            headers: MultiHeaders::preallocate(PLACES, None),
        })
    }

    /// Takes the replies that are there.
    pub(crate) fn take(&mut self, expected: &Expected, tally: &mut Tally) -> io::Result<()> {
        let Self { socket, waiting, forgotten, inward, headers, .. } = self;
        let mut buffers = inward.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; PLACES] = array::from_fn(|_| {
            let buffer: &mut [u8] = buffers.next().map_or(&mut [], |buffer| buffer);
            [IoSliceMut::new(buffer)]
        });
        let flags = MsgFlags::MSG_DONTWAIT;
        let replies = match recvmmsg(socket.as_raw_fd(), headers, &mut slices, flags, None) {
            Ok(replies) => replies,
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for reply in replies {
            let reply = reply.iovs().next().unwrap_or_default();
            let Some(id) = expected.id(reply) else {
                tally.wrong += 1;
                continue;
            };
            let place = &mut waiting[usize::from(id) % PLACES];
            if *place == Some(id) {
                *place = None;
                tally.answered += 1;
            } else if *forgotten > 0 {
                *forgotten -= 1;
            } else {
                tally.wrong += 1;
            }
        }
        Ok(())
    }

    /// Sends a query from each free place.
    pub(crate) fn ask(&mut self, queries: &[Vec<u8>], rng: &mut SmallRng) -> io::Result<()> {
        let Self { socket, waiting, next, outward, .. } = self;
        let (mut places, mut lengths, mut count) = ([0; PLACES], [0; PLACES], 0);
        for (place, waiting) in waiting.iter_mut().enumerate() {
            if waiting.is_none() {
                let query = &queries[rng.random_range(0..queries.len())];
                // The place is in the low bits; the others tell a reply that came too late.
                let id = *next | u16::try_from(place).expect("places fit an id");
                let packet = &mut outward[count];
                packet[..query.len()].copy_from_slice(query);
                packet[..2].copy_from_slice(&id.to_be_bytes());
                (places[count], lengths[count]) = (place, query.len());
                *waiting = Some(id);
                count += 1;
            }
        }
        *next = next.wrapping_add(u16::try_from(PLACES).expect("places fit an id"));
        let sent = send(socket, &outward[..count], &lengths)?;
        for &place in &places[sent..count] {
            waiting[place] = None;
        }
        Ok(())
    }

    /// Gives up what is on its way, and tells how much that was.
    pub(crate) fn forget(&mut self) -> u64 {
        let lost = self.waiting.iter_mut().filter_map(Option::take).map(|_| 1).sum();
        self.forgotten += lost;
        lost
    }
}

/// Sends the packets at once; how many the system took.
fn send(
    socket: &UdpSocket,
    packets: &[[u8; LONGEST_QUERY]],
    lengths: &[usize; PLACES],
) -> io::Result<usize> {
    if packets.is_empty() {
        return Ok(0);
    }
    let slices: [[IoSlice<'_>; 1]; PLACES] = array::from_fn(|i| {
        let packet = packets.get(i).map_or(&[][..], |packet| &packet[..lengths[i]]);
        [IoSlice::new(packet)]
    });
    let mut control: [SendAncillaryBuffer<'_, '_, '_>; PLACES] =
        array::from_fn(|_| SendAncillaryBuffer::default());
    let messages = slices.iter().zip(&mut control);
    let mut messages: Vec<MMsgHdr<'_>> =
        messages.take(packets.len()).map(|(slice, control)| MMsgHdr::new(slice, control)).collect();
    match sendmmsg(socket, &mut messages, SendFlags::DONTWAIT) {
        Ok(sent) => Ok(sent),
        Err(rustix::io::Errno::AGAIN) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Queries that are on their way from one socket: a power of two.
const PLACES: usize = 32;
/// Longer than any query here.
const LONGEST_QUERY: usize = 64;
/// Longer than any reply here.
const LONGEST_REPLY: usize = 4096;
