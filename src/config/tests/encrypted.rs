//! The encrypted addresses and their certificate: what file and flags come to together.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::config::{CertificateFiles, Flags, load, parse_with};

fn file() -> &'static Path {
    Path::new("/etc/signpost/registry.toml")
}

fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// What is listened on: TLS, HTTPS, QUIC.
fn listened(text: &str, flags: &Flags) -> [Vec<SocketAddr>; 3] {
    let boot = parse_with(text, file(), flags).unwrap().boot;
    assert_eq!(boot.dev_tls, flags.dev_tls);
    [boot.tls_listen, boot.https_listen, boot.quic_listen]
}

fn said(text: &str, flags: &Flags) -> String {
    parse_with(text, file(), flags).unwrap_err().to_string()
}

const CERTIFICATE: &str = "[tls]\ncertificate = \"cert.pem\"\nkey = \"/run/key.pem\"\n";

#[test]
fn the_paths_of_a_certificate_start_at_the_folder_of_the_file() {
    let config = parse_with(CERTIFICATE, file(), &Flags::default()).unwrap();

    let expected = CertificateFiles {
        certificate: "/etc/signpost/cert.pem".into(),
        key: "/run/key.pem".into(),
    };
    assert_eq!(config.live.certificate, Some(expected));
}

#[test]
fn flags_replace_the_encrypted_lists_of_the_file() {
    let text = format!(
        "{CERTIFICATE}[dns]\ntls_listen = [\"[::1]:1\"]\nhttps_listen = [\"[::1]:2\"]\n\
         quic_listen = [\"[::1]:3\"]"
    );
    let flags = Flags {
        tls: sockets(&["[::1]:4", "[::1]:5"]),
        quic: sockets(&["[::1]:6"]),
        ..Flags::default()
    };

    assert_eq!(
        listened(&text, &flags),
        [sockets(&["[::1]:4", "[::1]:5"]), sockets(&["[::1]:2"]), sockets(&["[::1]:6"])]
    );
}

#[test]
fn trying_out_listens_beside_plain_dns_where_nothing_is_named() {
    let dev = Flags { dev_tls: true, ..Flags::default() };
    for (dns, dot, doh) in [
        (&["127.0.0.1:8053"][..], &["127.0.0.1:8853"][..], &["127.0.0.1:8443"][..]),
        (&["0.0.0.0:53", "[::]:53"], &["0.0.0.0:853", "[::]:853"], &["0.0.0.0:443", "[::]:443"]),
        (&["[::1]:0", "[::1]:0"], &["[::1]:0", "[::1]:0"], &["[::1]:0", "[::1]:0"]),
        (&["10.0.0.1:1", "10.0.0.1:2"], &["10.0.0.1:8853"], &["10.0.0.1:8443"]),
    ] {
        let text = format!("server.addresses = [\"10.0.0.1\"]\ndns.listen = {dns:?}");

        assert_eq!(listened(&text, &dev), [dot, doh, dot].map(sockets), "{dns:?}");
    }

    let one = Flags { https: sockets(&["[::1]:9"]), ..dev.clone() };
    assert_eq!(listened("", &one), [vec![], sockets(&["[::1]:9"]), vec![]]);
    let of_file = "dns.tls_listen = [\"[::1]:9\"]";
    assert_eq!(listened(of_file, &dev), [sockets(&["[::1]:9"]), vec![], vec![]]);
}

#[test]
fn two_certificates_are_one_too_many() {
    let flags = Flags { dev_tls: true, ..Flags::default() };

    assert_eq!(
        said(CERTIFICATE, &flags),
        "/etc/signpost/registry.toml:2:15: tls.certificate: is configured, and --dev-tls makes \
         another one\n  hint: leave --dev-tls away, or take [tls] out of the file"
    );
}

#[test]
fn flags_need_a_certificate_too() {
    let flags = Flags { https: sockets(&["[::1]:9"]), ..Flags::default() };

    let expected = "/etc/signpost/registry.toml:1:1: tls.certificate: is missing, --https needs it";
    let said = said("", &flags);
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_key_that_everyone_can_read_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("registry.toml"), folder.path().join("key.pem"));
    std::fs::write(&file, "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"").unwrap();
    std::fs::write(&key, "").unwrap();
    let warnings = |mode| {
        std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        load(&file).unwrap().warnings
    };

    let key = key.display().to_string();
    let warning = format!(
        "{}:3:7: tls.key: every user of this machine can read {key}\n  hint: chmod o= {key}",
        file.display()
    );
    assert_eq!(warnings(0o644), [warning]);
    assert_eq!(warnings(0o640), Vec::<String>::new());
    assert_eq!(warnings(0o600), Vec::<String>::new());
}

#[test]
fn encrypted_addresses_need_a_restart_and_a_certificate_does_not() {
    let old = parse_with(CERTIFICATE, file(), &Flags::default()).unwrap().boot;
    let other = CERTIFICATE.replace("cert.pem", "other.pem");
    let other = parse_with(&other, file(), &Flags::default()).unwrap().boot;
    assert_eq!(old.differences(&other), Vec::<&str>::new());

    for key in ["tls_listen", "https_listen", "quic_listen"] {
        let text = format!("dns.{key} = [\"[::1]:1\"]\n{CERTIFICATE}");
        let new = parse_with(&text, file(), &Flags::default()).unwrap().boot;

        assert_eq!(old.differences(&new), [format!("dns.{key}")]);
    }
}
