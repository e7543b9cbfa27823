//! The loops that carry packets: UDP here, TCP in `tcp`. They know nothing of DNS but its framing.
//!
//! A handler answers one packet into a buffer and says whether to send it. Loops survive whatever
//! clients and the system do to them, and end when told to, with what is in flight answered.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::dns::connections::Connections;
use crate::dns::counters::{Counters, count};
use crate::dns::sockets::Bound;
use crate::dns::tcp::{self, Protocol};
use crate::dns::transport::{Peer, Transport};

/// What all loops of a server share.
#[derive(Debug)]
pub struct Shared {
    /// What went wrong.
    pub counters: Counters,
    /// The TCP connections, all addresses together.
    pub connections: Connections,
    /// How long TCP clients may take.
    pub timeouts: Timeouts,
}

impl Shared {
    /// With the default timeouts, and at most this many TCP connections.
    #[must_use]
    pub fn new(max_connections: usize) -> Self {
        Self {
            counters: Counters::default(),
            connections: Connections::new(max_connections),
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
        let (idle, message, write) = (10, 5, 5);
        let [idle, message, write] = [idle, message, write].map(Duration::from_secs);
        Self { idle, message, write }
    }
}

/// Serves one address until `stop` becomes true (or its sender is gone). The loops are added to
/// `tasks`, whose owner joins them.
///
/// `handler` writes the reply to a packet into the buffer and says whether to send it. It is called
/// on the runtime's threads, so it must not block. One that panics gets no reply sent.
pub fn serve<H>(
    bound: Bound,
    handler: &H,
    shared: &Arc<Shared>,
    stop: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
{
    for socket in bound.udp {
        tasks.spawn(udp(socket, handler.clone(), Arc::clone(shared), stop.clone()));
    }
    serve_streams(bound.tcp, Protocol::Tcp, handler, shared, stop, tasks);
}

/// Serves one address over a stream protocol, as [`serve`] does.
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
    match catch_unwind(AssertUnwindSafe(|| handler(packet, peer, reply))) {
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

async fn udp<H>(socket: UdpSocket, handler: H, shared: Arc<Shared>, mut stop: watch::Receiver<bool>)
where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
{
    let mut packet = vec![0; MAX_PACKET];
    let mut reply = Vec::with_capacity(REPLY_CAPACITY);
    let counters = &shared.counters;
    let answer = |packet: &[u8], source, reply: &mut Vec<u8>| {
        let peer = Peer { transport: Transport::Udp, source };
        call(&handler, packet, peer, reply, counters) == Handled::Reply
    };
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            _ = socket.readable() => {}
        }
        let mut taken = 0;
        while taken < BATCH {
            match socket.try_recv_from(&mut packet) {
                Ok((length, source)) => {
                    taken += 1;
                    if answer(&packet[..length], source, &mut reply) {
                        // Waiting would let one full queue stop every client; they ask again.
                        count_error(socket.try_send_to(&reply, source), counters);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    // Usually what a peer's ICMP left behind; a lasting one must not spin.
                    tokio::time::sleep(ERROR_PAUSE).await;
                    break;
                }
            }
        }
        // Under load the socket is always readable, and others want to run too.
        if taken == BATCH {
            tokio::task::yield_now().await;
        }
    }
    // What had arrived when the stop came is answered; asked of the system itself, since the
    // runtime may not have heard of it yet.
    let Ok(socket) = socket.into_std() else { return };
    for _ in 0..LAST_PACKETS {
        let Ok((length, source)) = socket.recv_from(&mut packet) else { return };
        if answer(&packet[..length], source, &mut reply) {
            count_error(socket.send_to(&reply, source), counters);
        }
    }
}

fn count_error(sent: io::Result<usize>, counters: &Counters) {
    if sent.is_err() {
        count(&counters.dropped_sends);
    }
}

const MAX_PACKET: usize = 65_535;
const REPLY_CAPACITY: usize = 1_232;
const BATCH: u32 = 64;
const LAST_PACKETS: u32 = 4_096;

/// After an error that might come again at once.
pub(crate) const ERROR_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroUsize;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::dns::sockets::bind;

    /// Echoes packets; silent on an empty one, panics at `panic`.
    fn echo(packet: &[u8], _: Peer, reply: &mut Vec<u8>) -> bool {
        assert_ne!(packet, b"panic");
        reply.clear();
        reply.extend(packet);
        !packet.is_empty()
    }

    struct Server {
        address: SocketAddr,
        shared: Arc<Shared>,
        stop: watch::Sender<bool>,
        tasks: JoinSet<()>,
    }

    fn start() -> Server {
        let bound = bind(([127, 0, 0, 1], 0).into(), NonZeroUsize::new(2).unwrap()).unwrap();
        let address = bound.address;
        let shared = Arc::new(Shared::new(10));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        serve(bound, &echo, &shared, &stopped, &mut tasks);
        Server { address, shared, stop, tasks }
    }

    async fn client(server: &Server) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server.address).await.unwrap();
        socket
    }

    #[tokio::test]
    async fn packets_are_answered_to_who_sent_them() {
        let server = start();

        for i in 0..20 {
            let client = client(&server).await;
            client.send(&[i, i]).await.unwrap();
            let mut reply = [0; 10];
            assert_eq!(client.recv(&mut reply).await.unwrap(), 2);
            assert_eq!(reply[..2], [i, i]);
        }
    }

    #[tokio::test]
    async fn silence_and_panics_are_counted_and_the_loop_goes_on() {
        let server = start();
        let client = client(&server).await;
        for packet in [b"".as_slice(), b"panic", b"after"] {
            client.send(packet).await.unwrap();
        }

        let mut reply = [0; 10];
        let length = client.recv(&mut reply).await.unwrap();

        assert_eq!(&reply[..length], b"after");
        let counters = &server.shared.counters;
        assert_eq!(counters.silent.load(Ordering::Relaxed), 1);
        assert_eq!(counters.panics.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_stop_answers_what_has_arrived_and_ends_all_tasks() {
        let mut server = start();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // Nothing is awaited in between, so the loops first run when the stop is there already.
        client.send_to(b"last", server.address).unwrap();
        server.stop.send(true).unwrap();

        while let Some(ended) = server.tasks.join_next().await {
            ended.unwrap();
        }

        let mut reply = [0; 10];
        assert_eq!(client.recv(&mut reply).unwrap(), 4);
    }
}
