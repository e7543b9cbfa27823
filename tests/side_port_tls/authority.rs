//! An authority of the test's own, and certificates of it.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// For how long a certificate is good, from an hour ago.
pub(crate) const LONG: Duration = Duration::from_secs(90 * 86_400);
/// One that is over.
pub(crate) const OVER: Duration = Duration::ZERO;

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes it into `folder`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(name), &self.pem).unwrap();
    }

    /// Writes `NAME.pem` and `NAME.key` into `folder`: a certificate for these names, which ends
    /// after `lasts`.
    pub(crate) fn sign(&self, folder: &Path, name: &str, names: &[SanType], lasts: Duration) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = names.to_vec();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let moment = |at: Duration| rcgen::date_time_ymd(1970, 1, 1) + at;
        params.not_before = moment(now - Duration::from_secs(3_600));
        params.not_after = moment(now + lasts - Duration::from_secs(u64::from(lasts == OVER)));
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), signed.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// A DNS name in a certificate.
pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A URI in a certificate.
pub(crate) fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

/// Authorities of one name would be taken for one with two keys.
static NEXT: AtomicUsize = AtomicUsize::new(1);
