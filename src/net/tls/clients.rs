//! Certificates of clients: whose are believed, and what a client has proved to have.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConnection};
use webpki::EndEntityCert;

use crate::model::CertificateName;
use crate::net::tls::certificate::{CertificateError, read_chain};
use crate::net::tls::provider;

/// The authorities whose certificates prove who a client is, and whether it needs one.
#[derive(Debug, Clone)]
pub struct Authorities {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// Reads the authorities' certificates from a PEM file; a client without a certificate of theirs
    /// is turned away when one is `required`. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or holds what is no certificate of an authority.
    pub fn load(path: &Path, required: bool) -> Result<Self, CertificateError> {
        let unusable = |reason| CertificateError::Authority { path: path.to_owned(), reason };
        let mut roots = RootCertStore::empty();
        for certificate in read_chain(path)? {
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        let verifier = builder.build().map_err(|error| unusable(error.to_string()))?;
        Ok(Self { verifier })
    }

    /// Whether what was `presented` holds at `now`, the time since 1970: handshakes ask once, and
    /// connections outlive certificates and authorities.
    #[must_use]
    pub fn believe(&self, presented: &Presented, now: Duration) -> bool {
        let Some((own, issuers)) = presented.chain.split_first() else { return false };
        let now = UnixTime::since_unix_epoch(now);
        self.verifier.verify_client_cert(own, issuers, now).is_ok()
    }
}

/// The certificate whose key a client has proved to have.
#[derive(Debug)]
pub struct Presented {
    chain: Vec<CertificateDer<'static>>,
    names: Vec<CertificateName>,
}

impl Presented {
    /// That of the client of `connection`, whose handshake is done; `None`: it presented none.
    #[must_use]
    pub fn of(connection: &ServerConnection) -> Option<Self> {
        let chain: Vec<_> =
            connection.peer_certificates()?.iter().map(|der| der.clone().into_owned()).collect();
        let names = names(chain.first()?);
        Some(Self { chain, names })
    }

    /// The DNS names and URIs that it is for.
    #[must_use]
    pub fn names(&self) -> &[CertificateName] {
        &self.names
    }
}

fn names(certificate: &CertificateDer<'_>) -> Vec<CertificateName> {
    // It was read once to verify it.
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let dns = certificate.valid_dns_names().map(CertificateName::dns);
    dns.chain(certificate.valid_uri_names().map(CertificateName::uri)).collect()
}
