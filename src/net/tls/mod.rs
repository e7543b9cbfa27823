//! TLS for both fronts: the certificate in force, and how servers are set up that prove themselves by
//! it. Which protocols are spoken is the fronts' matter.
//!
//! One library and one provider (ring) for all, given explicitly: nothing here depends on a
//! process-wide default.

mod certificate;
mod clients;
mod dev;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

pub use certificate::{Certificate, CertificateError, read_chain};
pub use clients::{Authorities, Presented};
pub use dev::{SelfSigned, SelfSignedError, self_signed};

/// The certificate in force. Handshakes that begin after a change have the new one; connections
/// that are open stay.
#[derive(Debug, Default)]
pub struct Certificates(ArcSwapOption<CertifiedKey>);

impl Certificates {
    /// Puts `certificate` in force; says whether it is another one.
    pub fn replace(&self, certificate: Certificate) -> bool {
        let chain = |key: &Option<Arc<CertifiedKey>>| key.as_ref().map(|key| key.cert.clone());
        let new = Some(certificate.0);
        let chain_of_new = chain(&new);
        chain(&self.0.swap(new)) != chain_of_new
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Whatever name the client asks for: most DNS clients know their server by its address.
        self.0.load_full()
    }
}

/// A server that proves itself by `certificates` and speaks `protocols` (ALPN), the first rather than
/// the others. Asks clients for nothing.
#[must_use]
pub fn server(
    certificates: Arc<Certificates>,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> ServerConfig {
    with(certificates, versions, protocols, WebPkiClientVerifier::no_client_auth())
}

/// The same over TCP, for clients that prove themselves by certificates of `authorities`, if of any.
/// The server chooses the cipher, the strongest first. Where clients prove themselves no session is
/// resumed: that would verify nobody, and renew itself for ever.
#[must_use]
pub fn mutual(
    certificates: Arc<Certificates>,
    protocols: &[&[u8]],
    authorities: Option<&Authorities>,
) -> ServerConfig {
    let verifier = authorities.map(|authorities| Arc::clone(&authorities.verifier));
    let verifier = verifier.unwrap_or_else(WebPkiClientVerifier::no_client_auth);
    let mut config = with(certificates, &[&TLS13, &TLS12], protocols, verifier);
    config.ignore_client_order = true;
    if authorities.is_some() {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config
}

/// Early data stays off, which is the default: what can be replayed cannot be told from what was
/// meant.
fn with(
    certificates: Arc<Certificates>,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
    verifier: Arc<dyn ClientCertVerifier>,
) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config
}

/// What all TLS here is done by.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// How many sessions can be resumed, the oldest forgotten first. About 1 KiB each.
const SESSIONS: usize = 4_096;

#[cfg(test)]
mod tests;
