//! The connections of DNS over TCP (RFC 7766), TLS (RFC 7858) and HTTPS: accepts them, agrees on
//! keys, and hands them to who speaks what is spoken on them, `messages` or `https`.
//!
//! Connections are bounded by number, in total and for each client; one more takes the place of the
//! one that has done nothing for longest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::dns::counters::{count, hold};
use crate::dns::https;
use crate::dns::messages::exchange;
use crate::dns::serve::{Shared, stopped};
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
        let _open = hold(&shared.counters.tcp_open);
        // Replies are whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        match protocol {
            Protocol::Tcp => {
                self.messages(&mut stream, Transport::Tcp, &handler).await;
            }
            Protocol::Tls(config) => {
                if let Some(mut stream) = self.handshake(stream, config).await {
                    let ended = self.messages(&mut stream, Transport::Tls, &handler).await;
                    // Says that nothing was cut off (RFC 8446 section 6.1), to who still listens.
                    // Who takes nothing, or has to make room, is not waited for.
                    let patience = if ended { shared.timeouts.write } else { Duration::ZERO };
                    let _ = timeout(patience, stream.shutdown()).await;
                }
            }
            Protocol::Https(config) => {
                if let Some(stream) = self.handshake(stream, config).await {
                    self.requests(stream, handler).await;
                }
            }
        }
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

    /// Whether the client was there to the end, and its place too.
    async fn messages<H, S>(&mut self, stream: &mut S, transport: Transport, handler: &H) -> bool
    where
        H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { source, place, shared, stop } = self;
        let peer = Peer { transport, source: *source };
        tokio::select! {
            biased;
            () = place.evicted() => false,
            ended = exchange(stream, handler, peer, place, shared, stop) => ended.is_ok(),
        }
    }

    async fn requests<H, S>(&mut self, stream: S, handler: H)
    where
        H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { source, place, shared, stop } = self;
        let peer = Peer { transport: Transport::Https, source: *source };
        https::converse(stream, handler, peer, place, shared, stop).await;
    }
}

/// Serves one stream until it ends, as a connection of `peer` on which keys are agreed on: for who
/// has a stream that no socket gave, as fuzzing does.
pub async fn converse<H, S>(
    mut stream: S,
    peer: Peer,
    handler: H,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Peer { transport, source } = peer;
    let (Admission::Free(place) | Admission::Evicted(place)) =
        shared.connections.admit(source.ip())
    else {
        return;
    };
    let mut connection = Connection { source, place, shared, stop };
    if transport == Transport::Https {
        connection.requests(stream, handler).await;
    } else {
        connection.messages(&mut stream, transport, &handler).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rustls::crypto::ring;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::AsyncReadExt;
    use tokio::time::sleep;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::dns::serve::Timeouts;
    use crate::dns::tls::dot;
    use crate::net::tls::{Certificates, self_signed};
    use crate::registry::Clock;

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
        start_as(Protocol::Tcp, max_connections, timeouts).await
    }

    async fn start_as(protocol: Protocol, max_connections: usize, timeouts: Timeouts) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { timeouts, ..Shared::new(max_connections, max_connections) });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, protocol, echo, Arc::clone(&shared), stopped));
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
    async fn a_handshake_that_stalls_is_closed_and_counted() {
        let protocols: [fn(Arc<ServerConfig>) -> Protocol; 2] = [Protocol::Tls, Protocol::Https];
        for protocol in protocols {
            let protocol = protocol(Arc::new(dot(Arc::default())));
            let (short, long) = (Duration::from_millis(20), Duration::from_secs(60));
            let timeouts = Timeouts { idle: long, message: short, write: long };
            let server = start_as(protocol, 10, timeouts).await;
            let mut stream = TcpStream::connect(server.address).await.unwrap();

            // The head of a TLS record, and nothing in it.
            stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();

            assert_eq!(read_to_close(&mut stream).await, b"");
            assert_eq!(server.shared.counters.tls_failures.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_and_has_to_go_is_not_waited_for() {
        let names = ["localhost".to_owned()];
        let made = self_signed(&names, &[], Clock::start().wall()).unwrap();
        let certificates = Arc::new(Certificates::default());
        certificates.replace(made.certificate);
        let long = Duration::from_secs(600);
        let timeouts = Timeouts { idle: long, message: long, write: long };
        let server = start_as(Protocol::Tls(Arc::new(dot(certificates))), 1, timeouts).await;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(made.pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = TcpStream::connect(server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let client = TlsConnector::from(Arc::new(config)).connect(name, client).await;
        let mut client = client.unwrap();

        // Until nothing moves any more.
        let large = [[0xff, 0xff].as_slice(), &[7; 65_535]].concat();
        let stalled = Duration::from_millis(500);
        while timeout(stalled, client.write_all(&large)).await.is_ok() {}
        let _next = TcpStream::connect(server.address).await.unwrap();

        let open = || server.shared.counters.tcp_open.load(Ordering::Relaxed);
        let evicted = || server.shared.counters.tcp_evicted.load(Ordering::Relaxed) == 1;
        let gone = async {
            while !(evicted() && open() == 1) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(Duration::from_secs(20), gone).await.is_ok(), "it is still there");
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
