//! What a reload changes for new connections and for open ones.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::SanType;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use serde_json::json;

use crate::authority::{Authority, LONG, dns};
use crate::support::needs::{CURL, works};
use crate::support::{SOON, eventually};
use crate::{Encrypted, names, prepare, start};

/// A connection that lives on: HTTP/1.1, one call after the other.
struct Open(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Open {
    /// Shows `NAME.pem` of `folder` to a server that `trusted` has signed for.
    fn new(server: SocketAddr, trusted: &str, folder: &Path, name: Option<&str>) -> Self {
        Self::with(server, config(trusted, folder, name))
    }

    /// Clients of one `config` resume sessions of each other.
    fn with(server: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(config, name).unwrap();
        let socket = TcpStream::connect(server).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(BufReader::new(StreamOwned::new(session, socket)))
    }

    /// Whether it goes on with a session that was agreed on before.
    fn resumed(&self) -> bool {
        self.0.get_ref().conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Asks for `path`, and reads the head of the reply: its status.
    fn ask(&mut self, path: &str) -> u16 {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut status = String::new();
        assert_ne!(self.0.read_line(&mut status).unwrap(), 0, "it is closed");
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "it is closed");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        status.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// A client that trusts `trusted` and shows `NAME.pem` of `folder`.
fn config(trusted: &str, folder: &Path, name: Option<&str>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match name {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let file = |end: &str| folder.join(format!("{name}.{end}"));
            let chain = vec![CertificateDer::from_pem_file(file("pem")).unwrap()];
            let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

impl Encrypted {
    fn open(&self, name: Option<&str>) -> Open {
        Open::new(self.tls, self.authority.pem(), self.folder(), name)
    }

    /// A watch that has begun.
    fn watch(&self, name: Option<&str>) -> Open {
        let mut watch = self.open(name);
        let request = "GET /v1/watch HTTP/1.0\r\nHost: localhost\r\n\r\n";
        watch.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        while !said.contains("event: reset") {
            assert_ne!(watch.0.read_line(&mut said).unwrap(), 0, "{said}");
        }
        watch
    }

    fn reload(&self) -> u16 {
        self.server.http.post("/v1/reload", None).status
    }
}

const SHOP: &str =
    "[[auth.certificates]]\nsan = \"shop.example\"\nname = \"shop\"\nscopes = [\"read\"]\n";
const OPTIONAL: &str = "client_ca = \"ca.pem\"\nclient_certificates = \"optional\"";
/// Whoever comes by TLS has to say who they are; loopback has not, so that it can reload.
const REQUIRED: &str = "client_ca = \"ca.pem\"\nclient_certificates = \"required\"";

#[test]
fn a_new_certificate_is_for_new_connections_and_open_ones_stay() {
    if !works(CURL) {
        return;
    }
    let encrypted = start("", "");
    let mut open = encrypted.open(None);
    assert_eq!(open.ask("/v1/services"), 200);
    let other = Authority::new();
    other.write(encrypted.folder(), "other.pem");
    other.sign(encrypted.folder(), "cert", &names(encrypted.tls), LONG);

    assert_eq!(encrypted.reload(), 200);

    assert_eq!(open.ask("/v1/services"), 200);
    let old = encrypted.curl(&[], "/v1/services");
    assert_eq!(old.status, 0, "{old:?}");
    let mut new = Open::new(encrypted.tls, other.pem(), encrypted.folder(), None);
    assert_eq!(new.ask("/v1/services"), 200);
}

#[test]
fn other_authorities_are_believed_from_a_reload_on() {
    if !works(CURL) {
        return;
    }
    let encrypted = start(REQUIRED, SHOP);
    let old = encrypted.client("old", &[dns("shop.example")]);
    let mut open = encrypted.open(Some("old"));
    assert_eq!(open.ask("/v1/services"), 200);
    let other = Authority::new();
    other.sign(encrypted.folder(), "new", &[dns("shop.example")], LONG);
    let new = crate::shows(encrypted.folder(), "new");
    assert_eq!(encrypted.curl(&new, "/v1/services").status, 0);

    // A file that holds none changes nothing.
    other.write(encrypted.folder(), "other.pem");
    encrypted.authority.write(encrypted.folder(), "mine.pem");
    std::fs::write(encrypted.folder().join("ca.pem"), "nothing").unwrap();
    let refused = encrypted.server.http.post("/v1/reload", None);
    assert_eq!(refused.problem(), (422, "bad-config", None));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("ca.pem: holds no certificate in PEM form"), "{detail}");
    encrypted.authority.write(encrypted.folder(), "ca.pem");
    assert_eq!(encrypted.curl(&old, "/v1/services").status, 200);

    let ca = std::fs::read_to_string(encrypted.folder().join("other.pem")).unwrap();
    std::fs::write(encrypted.folder().join("ca.pem"), ca).unwrap();
    assert_eq!(encrypted.reload(), 200);
    // Curl now needs another file to trust the server by.
    let own = |who: &[String]| {
        let trusted = encrypted.folder().join("mine.pem").display().to_string();
        [&["--cacert".to_owned(), trusted], who].concat()
    };
    assert_eq!(encrypted.curl(&own(&new), "/v1/services").status, 200);
    assert_eq!(encrypted.curl(&own(&old), "/v1/services").status, 0);
    // The connection lives on; its certificate proves nothing any more.
    assert_eq!(open.ask("/v1/services"), 401);
    assert_eq!(open.ask("/healthz"), 200);
}

#[test]
fn a_certificate_that_ends_is_nobodys_on_an_open_connection_too() {
    let encrypted = start(REQUIRED, SHOP);
    let soon = Duration::from_secs(3);
    encrypted.authority.sign(encrypted.folder(), "short", &[dns("shop.example")], soon);
    let mut open = encrypted.open(Some("short"));
    assert_eq!(open.ask("/v1/services"), 200);

    eventually(SOON, "the certificate is over", || (open.ask("/v1/services") == 401).then_some(()));

    assert_eq!(open.ask("/healthz"), 200);
}

#[test]
fn a_session_is_no_way_around_the_end_of_a_certificate() {
    let resumed = |encrypted: &Encrypted| {
        let config = config(encrypted.authority.pem(), encrypted.folder(), None);
        [(); 2].map(|()| {
            let mut open = Open::with(encrypted.tls, Arc::clone(&config));
            assert_eq!(open.ask("/healthz"), 200);
            open.resumed()
        })
    };
    // Who is asked for no certificate may go on.
    assert_eq!(resumed(&start("", "")), [false, true]);
    assert_eq!(resumed(&start(OPTIONAL, SHOP)), [false, false]);
    let encrypted = start(REQUIRED, SHOP);
    let soon = Duration::from_secs(3);
    encrypted.authority.sign(encrypted.folder(), "short", &[dns("shop.example")], soon);
    let config = config(encrypted.authority.pem(), encrypted.folder(), Some("short"));
    let again = || {
        let mut open = Open::with(encrypted.tls, Arc::clone(&config));
        let asked = open.0.get_mut().write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n");
        // Where the handshake fails, the connection ends before a reply.
        asked.and_then(|()| open.0.read_line(&mut String::new())).is_ok_and(|length| length > 0)
    };
    assert!(again());

    eventually(SOON, "nobody connects by it", || (!again()).then_some(()));
}

#[test]
fn a_stop_waits_for_nobody_who_says_nothing() {
    let mut encrypted = start("", "");
    let mut open = encrypted.open(None);
    assert_eq!(open.ask("/v1/services"), 200);
    let _watch = encrypted.watch(None);
    let silent = TcpStream::connect(encrypted.tls).unwrap();
    eventually(SOON, "all are connected", || {
        let open = encrypted.server.http.metric("signpost_http_connections", "");
        (open >= Some(4.0)).then_some(())
    });

    assert_eq!(encrypted.server.terminate().code(), Some(0));

    assert!(!encrypted.server.log().contains("did not end in time"), "{}", encrypted.server.log());
    // And it is said that nothing was cut off.
    let mut rest = Vec::new();
    assert_eq!(open.0.read_to_end(&mut rest).unwrap(), 0);
    drop(silent);
}

#[test]
fn an_identity_that_is_taken_away_is_gone_at_once() {
    let prepared = prepare(REQUIRED, SHOP);
    let encrypted = prepared.start();
    encrypted.authority.sign(encrypted.folder(), "shop", &[dns("shop.example")], LONG);
    let mut open = encrypted.open(Some("shop"));
    assert_eq!(open.ask("/v1/services"), 200);
    let mut watch = encrypted.watch(Some("shop"));
    let config = std::fs::read_to_string(encrypted.file()).unwrap();

    encrypted.server.write_config(&config.replace("shop.example", "other.example"));
    assert_eq!(encrypted.reload(), 200);

    assert_eq!(open.ask("/v1/services"), 401);
    let body = json!({ "addresses": ["10.0.0.1"], "ttl": null });
    encrypted.server.http.register("web", "unseen", &body);
    let mut rest = Vec::new();
    // It ends without the last word of TLS where it is cut.
    drop(watch.0.read_to_end(&mut rest));
    assert!(!String::from_utf8_lossy(&rest).contains("unseen"));
    encrypted.server.write_config(&config);
    assert_eq!(encrypted.reload(), 200);
    assert_eq!(open.ask("/v1/services"), 200);
}

#[test]
fn certificates_that_become_required_end_what_anyone_has_begun() {
    let prepared = prepare(OPTIONAL, SHOP);
    let encrypted = prepared.start();
    let begin = |request: &str, until: &str| {
        let mut open = encrypted.open(None);
        open.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        while !said.contains(until) {
            assert_ne!(open.0.read_line(&mut said).unwrap(), 0, "{said}");
        }
        open
    };
    let mut watch = begin("GET /v1/watch HTTP/1.0\r\nHost: localhost\r\n\r\n", "event: reset");
    let mut half = begin(
        "PUT /v1/services/web/instances/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 26\r\nExpect: 100-continue\r\n\r\n",
        "100 Continue\r\n\r\n",
    );
    let config = std::fs::read_to_string(encrypted.file()).unwrap();

    encrypted.server.write_config(&config.replace(OPTIONAL, REQUIRED));
    assert_eq!(encrypted.reload(), 200);

    half.0.get_mut().write_all(b"{\"addresses\":[\"10.0.0.1\"]}").unwrap();
    for (open, expected) in
        [(&mut half, "HTTP/1.1 401 "), (&mut watch, ": ended: what let it in holds no longer\n\n")]
    {
        let mut said = Vec::new();
        // It may end without the last word of TLS.
        drop(open.0.read_to_end(&mut said));
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(encrypted.server.http.get("/v1/services/web").status, 404);
}

#[test]
fn a_watch_of_nobody_ends_when_nobody_may_stay_unknown() {
    let encrypted = start(OPTIONAL, SHOP);
    let mut watch = encrypted.watch(None);
    let body = json!({ "addresses": ["10.0.0.1"], "ttl": null });
    encrypted.server.http.register("web", "seen", &body);
    let mut said = String::new();
    while !said.contains("\"seen\"") {
        assert_ne!(watch.0.read_line(&mut said).unwrap(), 0, "{said}");
    }
    let config = std::fs::read_to_string(encrypted.file()).unwrap();

    encrypted.server.write_config(&config.replace("optional", "required"));
    assert_eq!(encrypted.reload(), 200);
    encrypted.server.http.register("web", "unseen", &body);

    let mut rest = Vec::new();
    drop(watch.0.read_to_end(&mut rest));
    assert!(!String::from_utf8_lossy(&rest).contains("unseen"));
}

#[test]
fn who_is_kept_out_by_certificates_alone_is_not_let_in_by_a_reload() {
    let prepared = prepare(REQUIRED, SHOP);
    let (tls, builder) = (prepared.tls, prepared.builder);
    let everywhere = format!("tls_listen = [\"0.0.0.0:{}\"]", tls.port());
    let config =
        format!("[tls]\ncertificate = \"cert.pem\"\nkey = \"cert.key\"\n[http]\n{everywhere}\n");
    drop(builder);
    let builder = crate::Server::builder(&format!("{config}{REQUIRED}\n{SHOP}"));
    let authority = prepared.authority;
    authority.write(&builder.path(""), "ca.pem");
    authority.sign(
        &builder.path(""),
        "cert",
        &[dns("localhost"), SanType::IpAddress(tls.ip())],
        LONG,
    );
    let encrypted = Encrypted { server: builder.start(), tls, authority };

    // The new file is legal by itself: it listens on loopback.
    let tamed = config.replace("0.0.0.0", "127.0.0.1");
    encrypted.server.write_config(&format!("{tamed}{OPTIONAL}\n{SHOP}"));
    let reply = encrypted.server.http.post("/v1/reload", None);

    assert_eq!(reply.problem(), (422, "bad-config", Some("http.client_certificates")));
    encrypted.server.write_config(&format!("{config}{OPTIONAL}\n{SHOP}"));
    let reply = encrypted.server.http.post("/v1/reload", None);
    assert_eq!(reply.problem(), (422, "bad-config", Some("http.tls_listen[0]")));
}
