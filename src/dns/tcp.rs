//! DNS over TCP (RFC 7766) and TLS (RFC 7858): accepts connections, cuts streams into messages,
//! answers in order. Those of HTTPS are accepted here too and handed on.
//!
//! Everything a client can hold is bounded: connections by number, a message by the time from its
//! first byte, replies by the time to take them. A client that is slow only waits for itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::dns::counters::count;
use crate::dns::https;
use crate::dns::serve::{Handled, Shared, call, stopped};
use crate::dns::transport::{Peer, Transport};
use crate::net::accept::Acceptor;
use crate::net::connections::{Admission, Place};

/// What is spoken on the connections of an address.
#[derive(Debug, Clone)]
pub enum Protocol {
    /// Messages with a length in front.
    Tcp,
    /// The same, encrypted.
    Tls(Arc<ServerConfig>),
    /// HTTP, encrypted.
    Https(Arc<ServerConfig>),
}

/// Accepts connections until told to stop, then waits for those that are open to end.
pub(crate) async fn accept<H>(
    listener: TcpListener,
    protocol: Protocol,
    handler: H,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    let mut acceptor = Acceptor::new(listener);
    loop {
        let (stream, source) = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = acceptor.accept(|| count(&shared.counters.tcp_accept_errors)) => accepted,
        };
        let place = match shared.connections.admit(source.ip()) {
            Admission::Free(place) => place,
            Admission::Evicted(place) => {
                count(&shared.counters.tcp_evicted);
                // Let it go, or a flood would hold more descriptors than there are places.
                yield_now().await;
                place
            }
            Admission::Full => {
                count(&shared.counters.tcp_refused);
                continue;
            }
        };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        let connection = Connection { source, place, shared, stop };
        connections.spawn(connection.run(stream, protocol.clone(), handler.clone()));
    }
    drop(acceptor);
    while connections.join_next().await.is_some() {}
}

/// One connection, whatever is spoken on it.
struct Connection {
    source: SocketAddr,
    place: Place,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

impl Connection {
    /// Serves the connection until it ends, for whatever reason: nobody needs to know which.
    async fn run<H>(mut self, mut stream: TcpStream, protocol: Protocol, handler: H)
    where
        H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
    {
        let shared = Arc::clone(&self.shared);
        shared.counters.tcp_open.fetch_add(1, Ordering::Relaxed);
        // Replies are whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        match protocol {
            Protocol::Tcp => self.messages(&mut stream, Transport::Tcp, &handler).await,
            Protocol::Tls(config) => {
                if let Some(mut stream) = self.handshake(stream, config).await {
                    self.messages(&mut stream, Transport::Tls, &handler).await;
                    // Says that nothing was cut off (RFC 8446 section 6.1), to who still listens.
                    let _ = timeout(shared.timeouts.write, stream.shutdown()).await;
                }
            }
            Protocol::Https(config) => {
                if let Some(stream) = self.handshake(stream, config).await {
                    let Self { source, place, shared, stop } = &mut self;
                    let peer = Peer { transport: Transport::Https, source: *source };
                    https::converse(stream, handler, peer, place, shared, stop).await;
                }
            }
        }
        shared.counters.tcp_open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Agrees on keys within the time for a message. The place is one that can be taken away: a
    /// client that has not said anything yet is idle.
    async fn handshake(
        &mut self,
        stream: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Option<TlsStream<TcpStream>> {
        let agree = TlsAcceptor::from(config).accept(stream);
        let agreed = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return None,
            () = self.place.evicted() => return None,
            agreed = timeout(self.shared.timeouts.message, agree) => agreed,
        };
        let Ok(Ok(stream)) = agreed else {
            count(&self.shared.counters.tls_failures);
            return None;
        };
        Some(stream)
    }

    async fn messages<H, S>(&mut self, stream: &mut S, transport: Transport, handler: &H)
    where
        H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { source, place, shared, stop } = self;
        let peer = Peer { transport, source: *source };
        tokio::select! {
            biased;
            () = place.evicted() => {}
            _ = exchange(stream, handler, peer, place, shared, stop) => {}
        }
    }
}

/// Reads, answers and writes until the client is done or out of time, or the server stops.
async fn exchange<H, S>(
    stream: &mut S,
    handler: &H,
    peer: Peer,
    place: &Place,
    shared: &Shared,
    stop: &mut watch::Receiver<bool>,
) -> io::Result<()>
where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let timeouts = shared.timeouts;
    let mut input = Vec::with_capacity(READ);
    let mut output = Vec::new();
    let mut reply = Vec::new();
    let timer = sleep(timeouts.idle);
    tokio::pin!(timer);
    // The message that the timer runs for has begun to arrive.
    let mut begun = false;
    loop {
        let read = tokio::select! {
            biased;
            read = stream.read_buf(&mut input) => read?,
            () = &mut timer => return Ok(()),
            () = stopped(stop) => return Ok(()),
        };
        if read == 0 {
            return Ok(());
        }
        let mut answered = 0;
        let mut end = false;
        while let Some(frame) = first_frame(&input[answered..]) {
            let Frame::Message(packet) = frame else {
                end = true;
                break;
            };
            answered += LENGTH + packet.len();
            match call(handler, packet, peer, &mut reply, &shared.counters) {
                Handled::Reply => {
                    // Replies keep to 65535 bytes; one that did not could not be framed.
                    let Ok(length) = u16::try_from(reply.len()) else { continue };
                    output.extend(length.to_be_bytes());
                    output.append(&mut reply);
                }
                Handled::Silence => {}
                Handled::Panicked => {
                    end = true;
                    break;
                }
            }
            if output.len() >= FLUSH {
                timeout(timeouts.write, send(stream, &output)).await??;
                output.clear();
            }
        }
        input.drain(..answered);
        if !output.is_empty() {
            timeout(timeouts.write, send(stream, &output)).await??;
            output.clear();
            output.shrink_to(FLUSH);
        }
        // A client that never stops asking must not hold up a stop.
        if end || *stop.borrow() {
            return Ok(());
        }
        // Half a message is no progress: who never sends the rest is the first to go.
        if answered > 0 {
            place.idle();
        }
        // A message has one deadline from its first byte on, which more bytes do not move.
        match (input.is_empty(), begun && answered == 0) {
            (true, _) => timer.set(sleep(timeouts.idle)),
            (false, true) => {}
            (false, false) => timer.set(sleep(timeouts.message)),
        }
        begun = !input.is_empty();
        input.reserve(READ);
    }
}

/// Writes `replies` and sees them off: what encrypts keeps some of them back until it is told.
async fn send(stream: &mut (impl AsyncWrite + Unpin), replies: &[u8]) -> io::Result<()> {
    stream.write_all(replies).await?;
    stream.flush().await
}

enum Frame<'b> {
    Message(&'b [u8]),
    /// Too short for a DNS header, so the stream is not DNS.
    Nonsense,
}

/// The message at the start of a stream; `None` until it is whole.
fn first_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length < HEADER {
        return Some(Frame::Nonsense);
    }
    rest.get(..length).map(Frame::Message)
}

const LENGTH: usize = 2;
const HEADER: usize = 12;

/// Room for the next read; what arrives beyond it is read in the next round.
const READ: usize = 4_096;

/// Replies are sent when they are this many bytes, though more messages are waiting.
const FLUSH: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dns::serve::Timeouts;

    /// Echoes messages; silent to one that begins with 0, panics at one that begins with 9.
    fn echo(packet: &[u8], _: Peer, reply: &mut Vec<u8>) -> bool {
        assert_ne!(packet[0], 9);
        reply.clear();
        reply.extend(packet);
        packet[0] != 0
    }

    struct Server {
        address: SocketAddr,
        shared: Arc<Shared>,
        stop: watch::Sender<bool>,
        tasks: JoinSet<()>,
    }

    async fn start_with(max_connections: usize, timeouts: Timeouts) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { timeouts, ..Shared::new(max_connections, max_connections) });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Protocol::Tcp, echo, Arc::clone(&shared), stopped));
        Server { address, shared, stop, tasks }
    }

    async fn start() -> Server {
        start_with(10, Timeouts::default()).await
    }

    fn message(number: u8) -> Vec<u8> {
        [[0, 14].as_slice(), &[number; 14]].concat()
    }

    async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// What comes until the server closes, by FIN or RST.
    async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
        bytes
    }

    #[tokio::test]
    async fn fifty_messages_in_one_segment_are_answered_in_order() {
        let server = start().await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let all: Vec<u8> = (10..60).flat_map(message).collect();

        stream.write_all(&all).await.unwrap();

        assert_eq!(read(&mut stream, all.len()).await, all);
    }

    #[tokio::test]
    async fn a_message_of_single_bytes_is_answered() {
        let server = start().await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();

        for byte in message(1) {
            stream.write_all(&[byte]).await.unwrap();
            yield_now().await;
        }

        assert_eq!(read(&mut stream, 16).await, message(1));
    }

    #[tokio::test]
    async fn a_half_closed_connection_is_still_answered_then_closed() {
        let server = start().await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();

        stream.write_all(&[message(1), message(2)].concat()).await.unwrap();
        stream.shutdown().await.unwrap();

        assert_eq!(read_to_close(&mut stream).await, [message(1), message(2)].concat());
    }

    #[tokio::test]
    async fn the_largest_message_passes() {
        let server = start().await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let largest = [[0xff, 0xff].as_slice(), &[7; 65_535]].concat();

        stream.write_all(&largest).await.unwrap();

        assert_eq!(read(&mut stream, largest.len()).await, largest);
    }

    #[tokio::test]
    async fn nonsense_and_panics_close_the_connection_after_what_was_before() {
        let server = start().await;
        for end in [vec![0, 0], vec![0, 11], message(9)] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let silent = message(0);

            stream.write_all(&[message(1), silent, end].concat()).await.unwrap();

            assert_eq!(read_to_close(&mut stream).await, message(1));
        }
        assert_eq!(server.shared.counters.silent.load(Ordering::Relaxed), 3);
        assert_eq!(server.shared.counters.panics.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn idle_and_dripping_clients_are_closed() {
        let (short, long) = (Duration::from_millis(20), Duration::from_secs(60));
        let idle = start_with(10, Timeouts { idle: short, message: long, write: long }).await;
        let drip = start_with(10, Timeouts { idle: long, message: short, write: long }).await;

        let mut stream = TcpStream::connect(idle.address).await.unwrap();
        assert_eq!(read_to_close(&mut stream).await, b"");

        let (mut reader, mut writer) = TcpStream::connect(drip.address).await.unwrap().into_split();
        let dripping = async {
            // A new byte every now and then does not prolong the message.
            let mut ticks = tokio::time::interval(Duration::from_millis(2));
            writer.write_all(&[0xff]).await.unwrap();
            while writer.write_all(&[0xff]).await.is_ok() {
                ticks.tick().await;
            }
        };
        let mut byte = [0];
        let closed = async { reader.read(&mut byte).await.map_or(true, |read| read == 0) };
        tokio::join!(dripping, async { assert!(closed.await) });
    }

    #[tokio::test]
    async fn a_full_house_closes_the_longest_idle() {
        let server = start_with(2, Timeouts::default()).await;
        let mut streams = Vec::new();
        for number in 1..4 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(&message(number)).await.unwrap();
            assert_eq!(read(&mut stream, 16).await, message(number));
            streams.push(stream);
        }

        assert_eq!(read_to_close(&mut streams[0]).await, b"");
        for stream in &mut streams[1..] {
            stream.write_all(&message(7)).await.unwrap();
            assert_eq!(read(stream, 16).await, message(7));
        }
        assert_eq!(server.shared.counters.tcp_evicted.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_stop_closes_connections_and_ends_all_tasks() {
        let mut server = start().await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&message(1)).await.unwrap();
        assert_eq!(read(&mut stream, 16).await, message(1));

        server.stop.send(true).unwrap();
        while let Some(ended) = server.tasks.join_next().await {
            ended.unwrap();
        }

        assert_eq!(read_to_close(&mut stream).await, b"");
        assert!(TcpStream::connect(server.address).await.is_err());
        assert_eq!(server.shared.counters.tcp_open.load(Ordering::Relaxed), 0);
    }
}
