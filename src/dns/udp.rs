//! DNS over UDP: takes datagrams by the batch and answers each.
//!
//! Nothing here waits for a client: a reply that the system does not take at once is dropped and
//! counted, and its client asks again.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::dns::datagrams::{self, Exchanged, Kind};
use crate::dns::serve::{ERROR_PAUSE, Handled, Shared, call, stopped};
use crate::dns::transport::{Peer, Transport};

/// Answers what arrives at `socket` until told to stop, then what had arrived by then.
pub(crate) async fn answer<H>(
    socket: UdpSocket,
    kind: Kind,
    handler: H,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
{
    let counters = &shared.counters;
    let exchange = |socket: &UdpSocket| {
        let exchanged = datagrams::exchange(socket, kind, |packet, source, reply| {
            let peer = Peer { transport: Transport::Udp, source };
            call(&handler, packet, peer, reply, counters) == Handled::Reply
        })?;
        counters.dropped_sends.fetch_add(exchanged.unsent, Ordering::Relaxed);
        Ok(exchanged)
    };
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            _ = socket.readable() => {}
        }
        match socket.try_io(Interest::READABLE, || exchange(&socket)) {
            // Under load the socket is always readable, and others want to run too.
            Ok(Exchanged { full: true, .. }) => yield_now().await,
            Ok(Exchanged { full: false, .. }) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // A lasting one must not spin.
            Err(_) => sleep(ERROR_PAUSE).await,
        }
    }
    // What had arrived when the stop came is answered; asked of the system itself, since the
    // runtime may not have heard of it yet.
    for _ in 0..LAST_BATCHES {
        if exchange(&socket).is_err() {
            return;
        }
    }
}

const LAST_BATCHES: u32 = 128;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;
    use crate::dns::serve::serve;
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
        let shared = Arc::new(Shared::new(10, 10));
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
