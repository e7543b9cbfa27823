//! A certificate chain with its private key, from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};

use crate::net::tls::provider;

/// A chain and the key that belongs to its first certificate.
#[derive(Debug, Clone)]
pub struct Certificate(pub(super) Arc<CertifiedKey>);

impl Certificate {
    /// Reads both files. Blocks.
    ///
    /// # Errors
    /// When a file cannot be read, does not hold what it should, or the two do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain = read_chain(certificate)?;
        let private =
            PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|reason| match reason {
                pem::Error::NoItemsFound => CertificateError::NoKey { path: key.to_owned() },
                reason => not_pem(key, reason),
            })?;
        let private = provider()
            .key_provider
            .load_private_key(private)
            .map_err(|reason| CertificateError::Key { path: key.to_owned(), reason })?;
        let pair = CertifiedKey::new(chain, private);
        match pair.keys_match() {
            Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self(Arc::new(pair)))
            }
            Err(TlsError::InconsistentKeys(_)) => Err(CertificateError::Mismatch {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            }),
            Err(reason) => {
                Err(CertificateError::Certificate { path: certificate.to_owned(), reason })
            }
        }
    }
}

/// The certificates of a PEM file; at least one. Blocks.
///
/// # Errors
/// When it cannot be read, or holds none.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|reason| not_pem(path, reason))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// A file is not PEM.
    #[error("{}: is not PEM: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: pem::Error,
    },
    /// No certificate in the file.
    #[error("{}: holds no certificate in PEM form (BEGIN CERTIFICATE)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No private key in the file.
    #[error("{}: holds no private key in PEM form that is not encrypted", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The first certificate is not one.
    #[error("{}: the first certificate cannot be used: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: TlsError,
    },
    /// The key is of a kind that is not known, or not a key.
    #[error("{}: the key cannot be used: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: TlsError,
    },
    /// Not the certificates of authorities.
    #[error("{}: cannot be used as the certificates of authorities: {reason}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The key is that of another certificate.
    #[error(
        "{}: is not the key of the first certificate in {}", key.display(), certificate.display()
    )]
    Mismatch {
        /// The chain's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|reason| CertificateError::Read { path: path.to_owned(), reason })
}

fn not_pem(path: &Path, reason: pem::Error) -> CertificateError {
    CertificateError::Pem { path: path.to_owned(), reason }
}
