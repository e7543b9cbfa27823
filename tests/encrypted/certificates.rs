//! Where certificates come from, and how they are replaced.

use std::path::Path;
use std::process::Command;

use rcgen::generate_simple_self_signed;
use serde_json::json;

use crate::support::dns::{Query, receive, send};
use crate::support::message::Message;
use crate::support::server::{Server, free_addresses};
use crate::{connect, start};

const TLS: &str = "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

/// Writes a new certificate and its key into `folder`; the certificate.
fn renew(folder: &Path) -> String {
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

#[test]
fn a_renewed_certificate_is_served_after_a_reload_and_open_connections_stay() {
    let (tls, _) = free_addresses();
    let config = format!("{TLS}[dns]\ntls_listen = [\"{tls}\"]\n");
    let builder = Server::builder(&config);
    let old = renew(builder.path("").as_path());
    let server = builder.start();
    let query = Query::new("ns1.service.local", "A").packet(1);
    let mut open = connect(tls, &old, b"dot");

    let new = renew(server.folder());
    let reply = server.http.post("/v1/reload", None);

    assert_eq!((reply.status, &reply.body["needs_restart"]), (200, &json!([])));
    let mut renewed = connect(tls, &new, b"dot");
    for stream in [&mut open, &mut renewed] {
        send(stream, &query);
        assert_eq!(Message::parse(&receive(stream).unwrap()).rcode, "NOERROR");
    }
    assert_eq!(server.log().matches("certificate replaced").count(), 1);

    // The key of another certificate: nothing changes.
    std::fs::write(server.folder().join("cert.pem"), old).unwrap();
    let refused = server.http.post("/v1/reload", None);

    assert_eq!(refused.problem(), (422, "bad-config", None));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("key.pem: is not the key of the first certificate in"), "{detail}");
    drop(connect(tls, &new, b"dot"));
    let file = server.folder().join("registry.toml");
    let check =
        Command::new(env!("CARGO_BIN_EXE_signpost")).arg("check").arg(file).output().unwrap();
    let said = String::from_utf8(check.stderr).unwrap();
    assert_eq!(check.status.code(), Some(1), "{said}");
    assert!(said.contains("key.pem: is not the key of the first certificate in"), "{said}");
}

#[test]
fn nothing_is_encrypted_without_a_certificate() {
    let (tls, _) = free_addresses();

    let (code, said) = Server::builder(&format!("[dns]\ntls_listen = [\"{tls}\"]\n")).fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("dns.tls_listen: needs a certificate"), "{said}");
    assert!(said.contains("[tls]") && said.contains("--dev-tls"), "{said}");

    let (code, said) = Server::builder(TLS).argument(&format!("--tls={tls}")).fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cert.pem: cannot be read: No such file"), "{said}");

    let (code, said) = Server::builder(TLS).argument("--dev-tls").fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--dev-tls makes another one"), "{said}");
}

#[test]
fn trying_out_takes_one_flag() {
    let server = Server::builder("").argument("--dev-tls").start();

    let ip = server.dns.address.ip();
    let printed = server.printed();
    for line in [
        format!("dot   {ip}:8853 (tls)\n"),
        format!("doh   https://{ip}:8443/dns-query\n"),
        format!("doq   {ip}:8853 (quic)\n"),
    ] {
        assert!(printed.contains(&line), "{line} is not in {printed}");
    }
    let file = format!("file={}/data/dev-tls.pem", server.folder().display());
    assert!(server.log().contains(&file), "{}", server.log());
    for file in std::fs::read_dir(server.folder().join("data")).unwrap() {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&content).contains("PRIVATE KEY"), "the key is on disk");
    }
}

#[test]
fn an_address_that_trying_out_takes_too_is_told_with_the_way_out() {
    let (dns, _) = free_addresses();
    let config = format!("[http]\nlisten = [\"{}:8443\"]", dns.ip());
    let builder = Server::builder(&config).without_flags();

    let (code, said) = builder.argument("--dev-tls").argument(&format!("--dns={dns}")).fail();

    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(":8443 is in http.listen already"), "{said}");
    assert!(said.contains("choose others by --tls, --https or --quic"), "{said}");
}

#[test]
fn each_start_makes_another_certificate() {
    let mut encrypted = start("");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let first = read(&encrypted.certificate());

    encrypted.server.restart();

    assert_ne!(read(&encrypted.certificate()), first);
    drop(encrypted.connect());
}
