//! Who is let in to speak, and what is spoken.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::authority::{Authority, LONG, OVER, dns};
use crate::support::needs::{CURL, works};
use crate::support::{SOON, eventually};
use crate::{Encrypted, curl, shows, start};

/// Who calls with a certificate that is good, with none, with one of somebody else's, with one that
/// is over: the status of each, 0 where there is no connection.
fn statuses(encrypted: &Encrypted) -> [u16; 4] {
    let folder = encrypted.folder();
    let good = encrypted.client("good", &[dns("web.prod.example")]);
    Authority::new().sign(folder, "foreign", &[dns("web.prod.example")], LONG);
    encrypted.authority.sign(folder, "over", &[dns("web.prod.example")], OVER);
    [good, Vec::new(), shows(folder, "foreign"), shows(folder, "over")]
        .map(|arguments| encrypted.curl(&arguments, "/v1/services").status)
}

const IDENTITY: &str =
    "[[auth.certificates]]\nsan = \"web.prod.example\"\nname = \"web\"\nscopes = [\"read\"]\n";

#[test]
fn both_versions_of_http_are_spoken_and_it_is_said_where() {
    if !works(CURL) {
        return;
    }
    let encrypted = start("", "");

    for (version, head) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        let said = encrypted.curl(&["-i", version].map(str::to_owned), "/v1/services");
        assert!(said.body.as_str().unwrap().starts_with(head), "{version}: {said:?}");
    }
    let line = format!("https {}\n", encrypted.tls);
    assert!(encrypted.server.printed().contains(&line), "{}", encrypted.server.printed());
    let trusted = curl(&[], &format!("https://{}/healthz", encrypted.tls));
    assert!(trusted.error.contains("certificate"), "{trusted:?}");
}

#[test]
fn certificates_are_asked_for_as_the_file_says() {
    if !works(CURL) {
        return;
    }
    let asked = |mode: &str| format!("client_ca = \"ca.pem\"\nclient_certificates = \"{mode}\"");

    assert_eq!(statuses(&start("", "")), [200, 200, 200, 200]);
    let optional = start(&asked("optional"), IDENTITY);
    assert_eq!(statuses(&optional), [200, 200, 0, 0]);
    let required = start(&asked("required"), IDENTITY);
    assert_eq!(statuses(&required), [200, 0, 0, 0]);
    // Each of those is told by TLS why.
    let none = required.curl(&[], "/healthz");
    assert!(none.error.contains("certificate required"), "{none:?}");
    let foreign = required.curl(&shows(required.folder(), "foreign"), "/healthz");
    assert!(foreign.error.contains("unknown ca"), "{foreign:?}");
    let over = required.curl(&shows(required.folder(), "over"), "/healthz");
    assert!(over.error.contains("certificate expired"), "{over:?}");
    let failures = required.server.http.metric("signpost_http_tls_failures_total", "");
    assert_eq!(failures, Some(6.0));
}

#[test]
fn plain_http_is_told_what_is_spoken_here() {
    let encrypted = start("", "");
    let mut stream = TcpStream::connect(encrypted.tls).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();

    stream.write_all(b"GET /v1/services HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();

    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    assert!(
        said.ends_with("\"detail\":\"this address speaks TLS: call it by https://\"}"),
        "{said}"
    );
}

#[test]
fn handshakes_that_stall_make_room_and_end() {
    if !works(CURL) {
        return;
    }
    let encrypted = start("", "[limits]\nconnections = 4");
    let silent: Vec<TcpStream> = (0..8)
        .map(|i| {
            let mut stream = TcpStream::connect(encrypted.tls).unwrap();
            // Half of them begin: the head of a record, and nothing in it.
            if i % 2 == 0 {
                drop(stream.write_all(&[22, 3, 1, 2, 0, 1]));
            }
            stream
        })
        .collect();

    let said = encrypted.curl(&[], "/v1/services");

    assert_eq!(said.status, 200, "{said:?}");
    // The others are not waited for either, when their time is over.
    eventually(SOON, "silent clients are gone", || {
        let http = &encrypted.server.http;
        let open = http.metric("signpost_http_connections", "").unwrap();
        (open <= 1.0).then_some(())
    });
    drop(silent);
    let registered = json!({ "addresses": ["10.0.0.1"], "ttl": null });
    encrypted.server.http.register("web", "a", &registered);
    encrypted.server.assert_well("after handshakes that stalled");
}
