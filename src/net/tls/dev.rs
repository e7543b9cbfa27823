//! A self-signed certificate for trying out. Its key is made here and never leaves the process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::net::tls::certificate::Certificate;
use crate::net::tls::provider;

/// A certificate that nobody vouches for.
#[derive(Debug)]
pub struct SelfSigned {
    /// To serve with.
    pub certificate: Certificate,
    /// For clients to trust. Without the key.
    pub pem: String,
}

/// Makes a certificate for `names`, of which the first is the subject, for `addresses` and for this
/// machine. It is valid for a year from `now`, the time since 1970.
///
/// # Errors
/// When a name is no host name, or the system has no randomness to give.
pub fn self_signed(
    names: &[String],
    addresses: &[IpAddr],
    now: Duration,
) -> Result<SelfSigned, SelfSignedError> {
    let mut params = CertificateParams::new(names)?;
    let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    for address in local.iter().chain(addresses) {
        let name = SanType::IpAddress(*address);
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    if let Some(name) = names.first() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = date_time_ymd(1970, 1, 1) + now;
    // Clocks of clients may be behind.
    (params.not_before, params.not_after) = (now - DAY, now + 365 * DAY);

    let key = KeyPair::generate()?;
    let signed = params.self_signed(&key)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let pem = signed.pem();
    let pair = CertifiedKey::from_der(vec![signed.into()], private, &provider())?;
    Ok(SelfSigned { certificate: Certificate(Arc::new(pair)), pem })
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// It could not be written.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] Error),
    /// It could not be read back.
    #[error("cannot use the certificate that was made: {0}")]
    Use(#[from] rustls::Error),
}

const DAY: Duration = Duration::from_secs(86_400);
