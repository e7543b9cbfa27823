//! The loops that carry packets, UDP in `udp`, TCP in `tcp`, and what they share. They know nothing
//! of DNS but its framing.
//!
//! A handler answers one packet into a buffer and says whether to send it; over UDP a worker answers
//! a batch of them. Loops survive whatever clients and the system do to them, and end when told to,
//! with what is in flight answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::dns::counters::{Counters, count};
use crate::dns::pulse::Pulses;
use crate::dns::tcp::{self, Protocol};
use crate::dns::transport::{IDLE_TIMEOUT, Peer};
use crate::fence::contain;
use crate::net::connections::Connections;

/// What all loops of a server share.
#[derive(Debug)]
pub struct Shared {
    /// What went wrong.
    pub counters: Counters,
    /// The TCP connections, all addresses together.
    pub connections: Connections,
    /// The threads of datagrams.
    pub pulses: Pulses,
    /// How long TCP clients may take.
    pub timeouts: Timeouts,
}

impl Shared {
    /// With the default timeouts, and at most this many connections in total and of one client.
    #[must_use]
    pub fn new(connections: usize, connections_per_client: usize) -> Self {
        Self {
            counters: Counters::default(),
            connections: Connections::new(connections, connections_per_client),
            pulses: Pulses::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// How long a TCP client may take (RFC 7766 section 6.2.3: "on the order of a few seconds").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Between two messages.
    pub idle: Duration,
    /// From the first byte of a message to its last, however it trickles in.
    pub message: Duration,
    /// To take the replies that are ready.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let five = Duration::from_secs(5);
        Self { idle: IDLE_TIMEOUT, message: five, write: five }
    }
}

/// Serves one address over a stream protocol until `stop` becomes true (or its sender is gone). The
/// loop is added to `tasks`, whose owner joins it.
///
/// `handler` writes the reply to a packet into the buffer and says whether to send it. It is called
/// on the runtime's threads, so it must not block. One that panics gets no reply sent.
pub fn serve_streams<H>(
    listener: TcpListener,
    protocol: Protocol,
    handler: &H,
    shared: &Arc<Shared>,
    stop: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
{
    let (handler, shared, stop) = (handler.clone(), Arc::clone(shared), stop.clone());
    tasks.spawn(tcp::accept(listener, protocol, handler, shared, stop));
}

/// Completes when the server is told to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which stops as well.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Calls the handler behind a fence.
pub(crate) fn call<H>(
    handler: &H,
    packet: &[u8],
    peer: Peer,
    reply: &mut Vec<u8>,
    counters: &Counters,
) -> Handled
where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
{
    // The buffer is emptied before it is used again, so a torn one is never seen.
    match contain(|| handler(packet, peer, reply)) {
        Ok(true) => Handled::Reply,
        Ok(false) => {
            count(&counters.silent);
            Handled::Silence
        }
        Err(_) => {
            count(&counters.panics);
            Handled::Panicked
        }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// The buffer holds the reply.
    Reply,
    /// None is to be sent.
    Silence,
    /// The handler failed.
    Panicked,
}

/// After an error that might come again at once.
pub(crate) const ERROR_PAUSE: Duration = Duration::from_millis(10);
