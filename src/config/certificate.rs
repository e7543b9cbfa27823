//! `[tls]`: where the certificate and its key are. What is in the files is read by who serves them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::document::Document;
use crate::config::file::TlsSection;
use crate::config::key_path::KeyPath;

/// A certificate chain and its private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The two files; `None` when neither is named, and a fault when only one is.
pub(super) fn files(
    document: &mut Document<'_>,
    section: &TlsSection,
    folder: &Path,
) -> Option<CertificateFiles> {
    let named = |path: &Path| !path.as_os_str().is_empty();
    let absent = match (named(&section.certificate), named(&section.key)) {
        (true, true) => {
            let (certificate, key) = (folder.join(&section.certificate), folder.join(&section.key));
            if readable_by_all(&key) {
                let message = format!("every user of this machine can read {}", key.display());
                let hint = format!("chmod o= {}", key.display());
                document.warn(&KeyPath::of("tls.key"), &message, Some(&hint));
            }
            return Some(CertificateFiles { certificate, key });
        }
        (false, false) => return None,
        (false, true) => "tls.certificate",
        (true, false) => "tls.key",
    };
    let hint = "[tls] has both, as PEM files: certificate = \"cert.pem\" and key = \"key.pem\"";
    document.fault(&KeyPath::of(absent), "is missing", Some(hint));
    None
}

fn readable_by_all(path: &Path) -> bool {
    // One that is not there is refused when it is loaded.
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & READ_BY_OTHERS != 0)
}

const READ_BY_OTHERS: u32 = 0o004;
