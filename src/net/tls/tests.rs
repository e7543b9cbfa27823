//! What is loaded and what is refused. Handshakes are tested where they are served.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{KeyPair, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::*;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// What `error` says, without the folder.
    fn said(&self, error: &CertificateError) -> String {
        error.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// A certificate and its key, as PEM.
fn pair() -> (String, String) {
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn refused(folder: &Folder, certificate: &Path, key: &Path) -> String {
    folder.said(&Certificate::load(certificate, key).unwrap_err())
}

#[test]
fn a_chain_with_its_key_is_loaded() {
    let folder = Folder::new();
    let ((own, key), (issuer, _)) = (pair(), pair());
    let chain = folder.write("chain.pem", &format!("text\n{own}{issuer}"));
    let key = folder.write("key.pem", &key);

    let loaded = Certificate::load(&chain, &key).unwrap();

    let expected = [own, issuer].map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
    assert_eq!(loaded.0.cert, expected);
}

#[test]
fn what_cannot_be_served_is_refused_by_file_and_reason() {
    let folder = Folder::new();
    let ((own, own_key), (_, other_key)) = (pair(), pair());
    let cert = folder.write("cert.pem", &own);
    let key = folder.write("key.pem", &own_key);
    let other = folder.write("other.pem", &other_key);
    let torn = folder.write("torn.pem", &own[..own.len() / 2]);
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let garbage = folder.write("garbage.pem", garbage);
    let nothing = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let nothing = folder.write("nothing.pem", nothing);
    let absent = folder.0.path().join("absent.pem");

    for (certificate, private, reason) in [
        (&absent, &key, "absent.pem: cannot be read: No such file or directory (os error 2)"),
        (&cert, &absent, "absent.pem: cannot be read: No such file or directory (os error 2)"),
        (&key, &key, "key.pem: holds no certificate in PEM form (BEGIN CERTIFICATE)"),
        (&cert, &cert, "cert.pem: holds no private key in PEM form that is not encrypted"),
        (&cert, &other, "other.pem: is not the key of the first certificate in cert.pem"),
    ] {
        assert_eq!(refused(&folder, certificate, private), reason);
    }
    for (certificate, private, reason) in [
        (&torn, &key, "torn.pem: is not PEM: "),
        (&cert, &garbage, "garbage.pem: the key cannot be used: "),
        (&nothing, &key, "nothing.pem: the first certificate cannot be used: "),
    ] {
        let said = refused(&folder, certificate, private);
        assert!(said.starts_with(reason), "{said}");
    }
}

#[test]
fn a_replacement_says_whether_it_is_another_one() {
    let folder = Folder::new();
    let load = |(certificate, key): (String, String)| {
        let (certificate, key) = (folder.write("c", &certificate), folder.write("k", &key));
        Certificate::load(&certificate, &key).unwrap()
    };
    let (first, second) = (load(pair()), load(pair()));
    let certificates = Certificates::default();

    assert!(certificates.replace(first.clone()));
    assert!(!certificates.replace(first));
    assert!(certificates.replace(second));
}

#[test]
fn a_self_signed_certificate_is_new_each_time_and_keeps_its_key_to_itself() {
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let names = ["ns1.service.local".to_owned(), "localhost".to_owned()];
    let make = || self_signed(&names, &[address, address], Duration::from_secs(1 << 30)).unwrap();
    let (first, second) = (make(), make());

    assert_ne!(first.pem, second.pem);
    assert!(first.pem.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!first.pem.contains("PRIVATE"));
    assert!(KeyPair::from_pem(&first.pem).is_err());
    let read_back = CertificateDer::from_pem_slice(first.pem.as_bytes()).unwrap();
    assert_eq!(first.certificate.0.cert, [read_back]);
}
