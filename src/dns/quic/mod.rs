//! DNS over QUIC (RFC 9250): handshakes, and who gets a connection. What is said on one is
//! `conversation`'s matter.
//!
//! A UDP source can be forged, so that a connection has its place among the others only when its
//! handshake is done. Until then it counts against a small number of its own, and from a tenth of
//! that on clients first have to show that they receive what is sent to them.

mod conversation;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, TokioRuntime, TransportConfig, VarInt,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::dns::counters::{count, hold};
use crate::dns::quic::conversation::converse;
use crate::dns::serve::{Shared, stopped};
use crate::dns::sockets::{self, BindError};
use crate::dns::transport::{Peer, Transport};
use crate::net::connections::{Admission, Place};
use crate::net::inherited::Inherited;

/// A bound address. What arrives before it is served waits.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    /// The address, with the port that was chosen where 0 was asked for.
    pub address: SocketAddr,
}

impl Listener {
    /// Binds `address`, unless it was `inherited`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address is in use, not this machine's, or not allowed.
    pub fn bind(
        address: SocketAddr,
        tls: rustls::ServerConfig,
        inherited: &mut Inherited,
    ) -> Result<Self, BindError> {
        let socket = sockets::datagrams(address, inherited)?;
        let error = |source| BindError::of(address, "QUIC", source);
        let address = socket.local_addr().map_err(error)?;
        let config = EndpointConfig::default();
        let endpoint = Endpoint::new(config, Some(server(tls)), socket, Arc::new(TokioRuntime));
        Ok(Self { endpoint: endpoint.map_err(error)?, address })
    }
}

/// Serves one address until `stop`, as `serve::serve` does.
pub fn serve<H>(
    listener: Listener,
    handler: &H,
    shared: &Arc<Shared>,
    stop: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
{
    let (handler, shared, stop) = (handler.clone(), Arc::clone(shared), stop.clone());
    tasks.spawn(accept(listener.endpoint, handler, shared, stop));
}

/// Why a connection or a stream is given up (RFC 9250 section 8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    /// There is nothing more to say.
    NoError = 0,
    /// The handler failed.
    InternalError = 1,
    /// The client broke a rule of RFC 9250.
    ProtocolError = 2,
    /// The place is needed for another client.
    ExcessiveLoad = 4,
    /// Everything else.
    UnspecifiedError = 5,
}

impl From<Code> for VarInt {
    fn from(code: Code) -> Self {
        Self::from_u32(code as u32)
    }
}

async fn accept<H>(
    endpoint: Endpoint,
    handler: H,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
{
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let mut connections = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => continue,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let many = HANDSHAKES - handshakes.available_permits() >= UNPROVEN;
        if many && !incoming.remote_address_validated() {
            count(&shared.counters.quic_retries);
            // Fails only with an address that has been validated.
            drop(incoming.retry());
            continue;
        }
        let Ok(handshake) = Arc::clone(&handshakes).try_acquire_owned() else {
            count(&shared.counters.tcp_refused);
            incoming.refuse();
            continue;
        };
        let (handler, shared, stop) = (handler.clone(), Arc::clone(&shared), stop.clone());
        connections.spawn(attend(incoming, handshake, handler, shared, stop));
    }
    endpoint.set_server_config(None);
    while connections.join_next().await.is_some() {}
    // For clients to hear that their connections are closed; who does not listen is not waited for.
    drop(timeout(LAST_WORDS, endpoint.wait_idle()).await);
}

/// Serves one connection from its handshake to its end.
async fn attend<H>(
    incoming: Incoming,
    handshake: OwnedSemaphorePermit,
    handler: H,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
{
    let source = incoming.remote_address();
    let agreed = tokio::select! {
        biased;
        () = stopped(&mut stop) => return,
        agreed = timeout(shared.timeouts.message, incoming) => agreed,
    };
    drop(handshake);
    let Ok(Ok(connection)) = agreed else {
        count(&shared.counters.tls_failures);
        return;
    };
    let Some(place) = place(&connection, source, &shared) else { return };
    let _open = hold(&shared.counters.quic_open);
    let peer = Peer { transport: Transport::Quic, source };
    let end = converse(&connection, &handler, peer, &place, &shared, &mut stop).await;
    if end == Code::ProtocolError {
        count(&shared.counters.quic_protocol_errors);
    }
    connection.close(end.into(), b"");
}

fn place(connection: &Connection, source: SocketAddr, shared: &Shared) -> Option<Place> {
    match shared.connections.admit(source.ip()) {
        Admission::Free(place) => Some(place),
        Admission::Evicted(place) => {
            count(&shared.counters.tcp_evicted);
            Some(place)
        }
        Admission::Full => {
            count(&shared.counters.tcp_refused);
            connection.close(Code::ExcessiveLoad.into(), b"");
            None
        }
    }
}

fn server(tls: rustls::ServerConfig) -> quinn::ServerConfig {
    let tls = QuicServerConfig::try_from(tls).expect("ring has the cipher suite that QUIC needs");
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS)
        // RFC 9250 section 4.3.3: there are none.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(STREAM_WINDOW)
        .receive_window(WINDOW)
        .send_window(WINDOW.into_inner())
        .max_idle_timeout(Some(IDLE.into()));
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
    server
        .transport_config(Arc::new(transport))
        // Limits and answers go by the address that the handshake came from.
        .migration(false)
        .max_incoming(HANDSHAKES)
        .incoming_buffer_size(INCOMING)
        .incoming_buffer_size_total(INCOMING * 16);
    server
}

/// Handshakes at a time. Each takes some 10 KiB until it is done or its time is over.
const HANDSHAKES: usize = 1_000;
/// Of these, how many with clients whose address nothing proves.
const UNPROVEN: usize = 100;
/// Questions of a connection at a time.
const STREAMS: VarInt = VarInt::from_u32(100);
/// The longest message with its length.
const STREAM_WINDOW: VarInt = VarInt::from_u32(65_537);
/// What a connection may hold of unread questions, and of replies that were not taken.
const WINDOW: VarInt = VarInt::from_u32(256 * 1_024);
/// What may wait before a handshake is looked at.
const INCOMING: u64 = 64 * 1_024;
/// Without any packet, in milliseconds.
const IDLE: VarInt = VarInt::from_u32(10_000);
const LAST_WORDS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
