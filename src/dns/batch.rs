//! Packets that arrived together, and the replies that leave together.
//!
//! Knows no socket: `exchange` fills it and sends what is in it, a worker answers it.

use std::net::SocketAddr;

use crate::fence::contain;

/// The packets of a batch, to be answered by [`each`](Self::each).
#[derive(Debug)]
pub struct Batch<'b> {
    /// One packet in each [`BUFFER`].
    pub(crate) buffers: &'b [u8],
    pub(crate) packets: &'b [Packet],
    /// As many as packets; the first ones are used.
    pub(crate) replies: &'b mut [Vec<u8>],
    /// Which packet each reply is to.
    pub(crate) answered: &'b mut Vec<usize>,
    pub(crate) tally: Tally,
    next: usize,
}

/// Where a packet came from, and how long it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddr,
    pub(crate) length: usize,
}

/// What became of the packets that got no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// On purpose.
    pub(crate) silent: u64,
    /// Since their handling panicked.
    pub(crate) panicked: u64,
}

impl<'b> Batch<'b> {
    pub(crate) fn new(
        buffers: &'b [u8],
        packets: &'b [Packet],
        replies: &'b mut [Vec<u8>],
        answered: &'b mut Vec<usize>,
    ) -> Self {
        answered.clear();
        Self { buffers, packets, replies, answered, tally: Tally::default(), next: 0 }
    }

    /// How many packets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Calls `answer` once with each packet, where it came from and a buffer for the reply, which
    /// holds what is left of another; it says whether to send it. One that panics gets no reply
    /// sent, and the next packet is answered all the same.
    pub fn each(&mut self, mut answer: impl FnMut(&[u8], SocketAddr, &mut Vec<u8>) -> bool) {
        // One fence for many packets: it is put up again behind one that broke through.
        while self.next < self.packets.len() {
            if contain(|| self.rest(&mut answer)).is_err() {
                self.tally.panicked += 1;
            }
        }
    }

    fn rest(&mut self, answer: &mut impl FnMut(&[u8], SocketAddr, &mut Vec<u8>) -> bool) {
        while let Some(packet) = self.packets.get(self.next) {
            let number = self.next;
            self.next += 1;
            let bytes = &self.buffers[number * BUFFER..][..packet.length];
            if answer(bytes, packet.source, &mut self.replies[self.answered.len()]) {
                self.answered.push(number);
            } else {
                self.tally.silent += 1;
            }
        }
    }
}

/// How many packets are taken at a time.
pub(crate) const BATCH: usize = 32;

/// Longer than any datagram, and no power of two: the beginnings of the buffers, which is what is
/// used of them, would all compete for the same lines of the cache.
pub(crate) const BUFFER: usize = 65_536 + 576;
