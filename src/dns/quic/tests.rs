use std::sync::atomic::Ordering;

use quinn::{ClientConfig, ConnectionError, ReadToEndError};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::dns::serve::Timeouts;
use crate::dns::tls::doq;
use crate::net::inherited::Inherited;
use crate::net::tls::{Certificates, self_signed};
use crate::registry::Clock;

/// Echoes messages; silent to what has QR=1, panics at opcode 15.
fn echo(packet: &[u8], _: Peer, reply: &mut Vec<u8>) -> bool {
    assert_ne!(packet[2], 15 << 3);
    reply.clear();
    reply.extend(packet);
    packet[2] & 0x80 == 0
}

struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    client: Endpoint,
}

fn start_with(connections: usize, timeouts: Timeouts) -> Server {
    let made = self_signed(&["ns1.test".into()], &[], Clock::start().wall()).unwrap();
    let certificates = Certificates::default();
    certificates.replace(made.certificate);
    let tls = doq(Arc::new(certificates));
    let listener =
        Listener::bind(([127, 0, 0, 1], 0).into(), tls, &mut Inherited::default()).unwrap();
    let address = listener.address;
    let shared = Arc::new(Shared { timeouts, ..Shared::new(connections, connections) });
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    serve(listener, &echo, &shared, &stopped, &mut tasks);

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"doq".to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut client = Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    client.set_default_client_config(ClientConfig::new(Arc::new(tls)));
    Server { address, shared, stop, tasks, client }
}

fn start() -> Server {
    start_with(10, Timeouts::default())
}

impl Server {
    async fn connect(&self) -> Connection {
        self.client.connect(self.address, "ns1.test").unwrap().await.unwrap()
    }
}

fn message(number: u8) -> Vec<u8> {
    [[0, 14, 0, 0].as_slice(), &[0; 11], &[number]].concat()
}

async fn ask(connection: &Connection, bytes: &[u8]) -> Result<Vec<u8>, ReadToEndError> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    send.finish().unwrap();
    receive.read_to_end(100_000).await
}

/// The code that the server closes the connection with.
async fn closed(connection: &Connection) -> u64 {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_stream_is_answered_and_ended() {
    let server = start();
    let connection = server.connect().await;

    let mut asked = JoinSet::new();
    for number in 0..200 {
        let connection = connection.clone();
        asked.spawn(async move {
            assert_eq!(ask(&connection, &message(number)).await.unwrap(), message(number));
        });
    }

    while let Some(answered) = asked.join_next().await {
        answered.unwrap();
    }
    let largest = [[0xff, 0xff].as_slice(), &[0; 65_535]].concat();
    assert_eq!(ask(&connection, &largest).await.unwrap(), largest);
}

#[tokio::test]
async fn who_breaks_a_rule_is_closed_with_a_protocol_error() {
    let server = start();
    let keepalive = [
        [0, 27].as_slice(),
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 11, 0, 0],
    ]
    .concat();
    let reply = [[0, 12, 0, 0, 0x80].as_slice(), &[0; 9]].concat();
    for bytes in [
        Vec::new(),
        vec![0],
        vec![0, 14, 0, 0],
        [message(1), message(2)].concat(),
        [[0, 14, 0, 7].as_slice(), &[0; 12]].concat(),
        [message(1), vec![0; 65_535]].concat(),
        keepalive,
        reply,
    ] {
        let connection = server.connect().await;

        let reply = ask(&connection, &bytes).await.unwrap_or_default();

        assert_eq!(reply, b"", "{bytes:?}");
        assert_eq!(closed(&connection).await, 2, "{bytes:?}");
    }
    assert_eq!(server.shared.counters.quic_protocol_errors.load(Ordering::Relaxed), 8);
}

#[tokio::test]
async fn a_question_without_an_end_has_its_time() {
    let short = Duration::from_millis(50);
    let server = start_with(10, Timeouts { message: short, ..Timeouts::default() });
    let connection = loop {
        // The handshake has the same time, and other tests run beside this one.
        let connecting = server.client.connect(server.address, "ns1.test").unwrap();
        if let Ok(connection) = connecting.await {
            break connection;
        }
    };

    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&message(1)).await.unwrap();

    assert_eq!(closed(&connection).await, 2);
}

#[tokio::test]
async fn a_panic_costs_its_stream_alone() {
    let server = start();
    let connection = server.connect().await;
    let panics = [[0, 12, 0, 0, 15 << 3].as_slice(), &[0; 9]].concat();

    let lost = ask(&connection, &panics).await.unwrap_err();

    let reset = ReadToEndError::Read(quinn::ReadError::Reset(Code::InternalError.into()));
    assert_eq!(lost, reset);
    assert_eq!(ask(&connection, &message(1)).await.unwrap(), message(1));
}

#[tokio::test]
async fn an_idle_connection_ends_though_packets_come() {
    let short = Duration::from_millis(50);
    let server = start_with(10, Timeouts { idle: short, ..Timeouts::default() });
    let connection = server.connect().await;

    assert_eq!(closed(&connection).await, 0);
}

#[tokio::test]
async fn a_full_house_closes_who_has_asked_nothing_for_longest() {
    let server = start_with(2, Timeouts::default());
    let [first, second] = [server.connect().await, server.connect().await];
    ask(&first, &message(1)).await.unwrap();
    // The second asks nothing, so that it is the first to go once the first one's reply is known to
    // have arrived.
    while server.shared.counters.quic_open.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    ask(&first, &message(2)).await.unwrap();

    let third = server.connect().await;
    ask(&third, &message(3)).await.unwrap();

    assert_eq!(closed(&second).await, 4);
    ask(&first, &message(4)).await.unwrap();
    assert_eq!(server.shared.counters.tcp_evicted.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_client_opens_no_stream_of_one_direction() {
    let server = start();
    let connection = server.connect().await;

    let opened = timeout(Duration::from_millis(100), connection.open_uni()).await;

    assert!(opened.is_err(), "the server grants none");
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let mut server = start();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    server.client.set_default_client_config(ClientConfig::new(Arc::new(tls)));

    let refused = server.client.connect(server.address, "ns1.test").unwrap().await;

    assert!(refused.is_err());
    while server.shared.counters.tls_failures.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_closes_without_an_error_and_ends_all_tasks() {
    let mut server = start();
    let connection = server.connect().await;
    ask(&connection, &message(1)).await.unwrap();

    server.stop.send(true).unwrap();

    assert_eq!(closed(&connection).await, 0);
    while let Some(ended) = server.tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(server.shared.counters.quic_open.load(Ordering::Relaxed), 0);
}
