//! DNS over TLS and over HTTPS from outside: the real binary, asked by dig, kdig and curl, and by a
//! TLS client of our own where bytes have to be sent in a way that no program sends them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

mod certificates;
mod doh;
mod dot;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use support::server::{Server, free_addresses};

/// A server with a certificate of its own making, and where it speaks what.
struct Encrypted {
    server: Server,
    tls: SocketAddr,
    https: SocketAddr,
}

/// A TLS connection to a server.
type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A ready server with this registry.toml, which trusts nobody's certificate but its own.
fn start(config: &str) -> Encrypted {
    let (tls, https) = free_addresses();
    let server = Server::builder(config)
        .argument("--dev-tls")
        .argument(&format!("--tls={tls}"))
        .argument(&format!("--https={https}"))
        .start();
    Encrypted { server, tls, https }
}

impl Encrypted {
    /// The certificate for clients to trust.
    fn certificate(&self) -> PathBuf {
        self.server.folder().join("data/dev-tls.pem")
    }

    /// A DoT connection that has agreed on keys.
    fn connect(&self) -> Stream {
        connect(self.tls, &std::fs::read_to_string(self.certificate()).unwrap(), b"dot")
    }

    /// The URL of DoH.
    fn url(&self) -> String {
        format!("https://{}/dns-query", self.https)
    }

    /// What curl prints, which trusts the certificate.
    fn curl(&self, arguments: &[&str]) -> String {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--cacert"])
            .arg(self.certificate())
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl {arguments:?}: {error}{text}");
        text
    }
}

/// A TLS connection to `server`, whose certificate has to be, or be signed by, that in `trusted`.
fn connect(server: SocketAddr, trusted: &str, protocol: &[u8]) -> Stream {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket).unwrap();
    }
    assert_eq!(session.alpn_protocol(), Some(protocol));
    StreamOwned::new(session, socket)
}
