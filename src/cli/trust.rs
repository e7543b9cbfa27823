//! TLS of the client commands: which servers are believed, and the certificate that they are shown.

use std::path::Path;

use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::cli::args::TrustArgs;
use crate::cli::error::ClientError;
use crate::net::tls::{self, CertificateError};

/// What `args` say; the system's authorities where they name none.
///
/// # Errors
/// When a file cannot be used, or the system has no authorities.
pub(super) fn config(args: &TrustArgs) -> Result<TlsConfig, ClientError> {
    let roots = match &args.ca {
        Some(file) => certificates(file)?,
        None => system()?,
    };
    let shown = match (&args.cert, &args.key) {
        (Some(certificate), Some(key)) => Some(shown(certificate, key)?),
        _ => None,
    };
    let config = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(tls::provider())
        .root_certs(RootCerts::new_with_certs(&roots))
        .client_cert(shown);
    Ok(config.build())
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, CertificateError> {
    let chain = tls::read_chain(file)?;
    Ok(chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

/// What this system trusts, or `SSL_CERT_FILE` and `SSL_CERT_DIR` say.
fn system() -> Result<Vec<Certificate<'static>>, ClientError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reason = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(ClientError::NoAuthorities { reason });
    }
    Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect())
}

fn shown(certificate: &Path, key: &Path) -> Result<ClientCert, CertificateError> {
    // What does not belong together would panic later.
    tls::Certificate::load(certificate, key)?;
    let unreadable = |reason| CertificateError::Read { path: key.to_owned(), reason };
    let pem = std::fs::read(key).map_err(unreadable)?;
    let private = parse_pem(&pem).find_map(|item| match item {
        Ok(PemItem::PrivateKey(private)) => Some(private),
        _ => None,
    });
    let private = private.ok_or(CertificateError::NoKey { path: key.to_owned() })?;
    Ok(ClientCert::new_with_certs(&certificates(certificate)?, private))
}
