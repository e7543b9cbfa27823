//! DNS over UDP: a thread for each socket, which takes datagrams by the batch and answers them.
//!
//! Threads of their own, since nothing here waits for anybody but the socket: a reply that the
//! system does not take at once is dropped and counted, and its client asks again.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::dns::batch::Batch;
use crate::dns::datagrams::{Family, Kind, V4, V6};
use crate::dns::exchange::Exchange;
use crate::dns::pulse::Pulse;
use crate::dns::serve::{ERROR_PAUSE, Shared};
use crate::dns::sockets::Datagrams;

/// Answers what arrives at the sockets by one `worker` each, on a thread of its own, until told to
/// stop; then what had arrived by then, unless the sockets are kept for the next process. `tasks`
/// gets a task for each thread, which joins it and panics if that did.
///
/// # Errors
/// When the system has no more threads.
pub fn start<A>(
    datagrams: Datagrams,
    worker: impl Fn() -> A,
    shared: &Arc<Shared>,
    stop: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> io::Result<()>
where
    A: FnMut(&mut Batch<'_>) + Send + 'static,
{
    let Datagrams { sockets, kind, kept } = datagrams;
    for (number, socket) in sockets.into_iter().enumerate() {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(LOOK_UP))?;
        let (pulse, shared) = (shared.pulses.add(), Arc::clone(shared));
        let loops = Loop { socket, kind, kept, pulse, shared, stop: stop.clone() };
        let (answer, (alive, ended)) = (worker(), oneshot::channel::<()>());
        let work = move || {
            match kind {
                Kind::OneV4 | Kind::AllV4 => loops.run::<V4>(answer),
                Kind::OneV6 | Kind::AllV6 => loops.run::<V6>(answer),
            }
            drop(alive);
        };
        let thread = thread::Builder::new().name(format!("dns-{number}")).spawn(work)?;
        tasks.spawn(async move {
            // The sender is dropped, however the thread ends.
            ended.await.ok();
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        });
    }
    Ok(())
}

/// What a thread runs.
struct Loop {
    socket: UdpSocket,
    kind: Kind,
    kept: bool,
    pulse: Pulse,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

impl Loop {
    fn run<F: Family>(self, mut answer: impl FnMut(&mut Batch<'_>)) {
        let mut exchange = Exchange::<F>::new(self.kind);
        while !self.stopped() {
            self.pulse.beat();
            match self.turn(&mut exchange, true, &mut answer) {
                Ok(()) => {}
                Err(error) if NOTHING.contains(&error.kind()) => {}
                // A lasting one must not spin.
                Err(_) => thread::park_timeout(ERROR_PAUSE),
            }
        }
        let last = if self.kept { 0 } else { LAST_BATCHES };
        for _ in 0..last {
            if self.turn(&mut exchange, false, &mut answer).is_err() {
                return;
            }
        }
    }

    fn turn<F: Family>(
        &self,
        exchange: &mut Exchange<F>,
        wait: bool,
        answer: &mut impl FnMut(&mut Batch<'_>),
    ) -> io::Result<()> {
        let tally = exchange.take(&self.socket, wait, answer)?;
        let counters = &self.shared.counters;
        add(&counters.silent, tally.silent);
        add(&counters.panics, tally.panicked);
        add(&counters.dropped_sends, exchange.send(&self.socket));
        Ok(())
    }

    /// Whether to stop; also when nobody could say so any more. Takes no lock until something is said.
    fn stopped(&self) -> bool {
        self.stop.has_changed().map_or(true, |said| said && *self.stop.borrow())
    }
}

/// All threads share the counter, so it is left alone as long as all is well.
fn add(counter: &AtomicU64, number: u64) {
    if number > 0 {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

/// How long an idle thread may take to hear of a stop.
const LOOK_UP: Duration = Duration::from_millis(100);

/// What a socket says that has no datagram.
const NOTHING: [ErrorKind; 3] =
    [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted];

const LAST_BATCHES: u32 = 128;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroUsize;

    use tokio::net::UdpSocket;

    use super::*;
    use crate::dns::sockets::bind;
    use crate::net::inherited::Inherited;

    /// Echoes packets; silent on an empty one, panics at `panic`.
    fn echo(packet: &[u8], _: SocketAddr, reply: &mut Vec<u8>) -> bool {
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

    fn echoing() -> Server {
        let bound = bind(
            ([127, 0, 0, 1], 0).into(),
            NonZeroUsize::new(2).unwrap(),
            &mut Inherited::default(),
        )
        .unwrap();
        let address = bound.address;
        let shared = Arc::new(Shared::new(10, 10));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let worker = || |batch: &mut Batch<'_>| batch.each(echo);
        start(bound.udp, worker, &shared, &stopped, &mut tasks).unwrap();
        Server { address, shared, stop, tasks }
    }

    async fn client(server: &Server) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server.address).await.unwrap();
        socket
    }

    #[tokio::test]
    async fn packets_are_answered_to_who_sent_them() {
        let server = echoing();

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
        let server = echoing();
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
        let mut server = echoing();
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

    #[tokio::test]
    async fn a_worker_that_panics_ends_its_task_with_an_error() {
        let bound =
            bind(([127, 0, 0, 1], 0).into(), NonZeroUsize::MIN, &mut Inherited::default()).unwrap();
        let address = bound.address;
        let shared = Arc::new(Shared::new(10, 10));
        let (_go_on, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let worker = || |_: &mut Batch<'_>| panic!("outside of the fence");
        start(bound.udp, worker, &shared, &stopped, &mut tasks).unwrap();

        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"query", address).unwrap();

        assert!(tasks.join_next().await.unwrap().unwrap_err().is_panic());
    }
}
