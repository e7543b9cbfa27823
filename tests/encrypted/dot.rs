//! DNS over TLS (RFC 7858).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::dig::dig;
use crate::support::dns::{Query, receive, send};
use crate::support::eventually;
use crate::support::message::Message;
use crate::support::needs::{DIG, KDIG, works};
use crate::{Encrypted, start};

fn with_web(config: &str) -> Encrypted {
    let encrypted = start(config);
    let web = json!({"addresses": ["10.0.0.1"], "port": 80, "ttl": null});
    encrypted.server.http.register("web", "a", &web);
    encrypted
}

#[test]
fn dig_asks_over_tls_and_trusts_the_certificate() {
    if !works(DIG) {
        return;
    }
    let encrypted = with_web("");

    let trusted = encrypted.certificate();
    let line = format!(
        "+tls +tls-ca={} +tls-hostname=ns1.service.local +short web.service.local",
        trusted.display()
    );

    assert_eq!(dig(encrypted.tls, &line), ["10.0.0.1"]);
    let metrics = "signpost_dns_requests_total";
    assert_eq!(encrypted.server.http.metric(metrics, "proto=\"tls\""), Some(1.0));
}

#[test]
fn kdig_asks_over_tls_by_each_name_of_the_certificate() {
    if !works(KDIG) {
        return;
    }
    let encrypted = with_web("");

    let address = encrypted.tls.ip().to_string();
    for name in ["ns1.service.local", "service.local", "any.service.local", "localhost", &address] {
        let output = Command::new("kdig")
            .args([&format!("@{address}"), "-p", &encrypted.tls.port().to_string()])
            .arg(format!("+tls-ca={}", encrypted.certificate().display()))
            .args([&format!("+tls-hostname={name}"), "web.service.local"])
            .output()
            .unwrap();

        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("TLS session (TLS1.3)"), "{name}: {text}");
        assert!(text.contains("10.0.0.1"), "{name}: {text}");
    }
}

#[test]
fn fifty_queries_in_one_record_are_answered_in_order() {
    let encrypted = with_web("");
    let mut stream = encrypted.connect();
    let query = Query::new("web.service.local", "A");

    let mut all = Vec::new();
    for id in 1..=50 {
        send(&mut all, &query.packet(id));
    }
    stream.write_all(&all).unwrap();

    for id in 1..=50u16 {
        let reply = receive(&mut stream).unwrap();
        assert_eq!(reply[..2], id.to_be_bytes());
        assert_eq!(Message::parse(&reply).only(), "10.0.0.1");
    }
}

#[test]
fn a_reply_has_at_most_65535_bytes() {
    let encrypted = start("");
    let instance = |i: u32| {
        let address = format!("10.0.{}.{}", i / 250, i % 250);
        json!({"service": "web", "id": format!("i-{i}"), "ttl": null, "port": 80,
            "addresses": [address]})
    };
    encrypted.server.http.batch(&(0..3_000).map(instance).collect::<Vec<_>>());
    let mut stream = encrypted.connect();

    send(&mut stream, &Query::new("web.service.local", "SRV").packet(1));
    let reply = Message::parse(&receive(&mut stream).unwrap());

    assert!(reply.truncated());
    assert!((65_000..=65_535).contains(&reply.size), "{}", reply.size);
}

#[test]
fn stalled_handshakes_do_not_keep_others_out() {
    let encrypted = with_web("limits.connections = 4");

    let mut stalled: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(encrypted.tls).unwrap()).collect();
    let mut stream = encrypted.connect();
    send(&mut stream, &Query::new("web.service.local", "A").packet(1));

    assert_eq!(Message::parse(&receive(&mut stream).unwrap()).only(), "10.0.0.1");
    // The oldest had to go; the youngest of them is still there.
    stalled[0].set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let first = stalled[0].read(&mut [0]);
    assert!(matches!(first, Ok(0)) || first.is_err_and(|e| e.kind() != ErrorKind::WouldBlock));
    stalled[7].set_nonblocking(true).unwrap();
    assert_eq!(stalled[7].read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn what_is_not_tls_is_counted_and_does_no_harm() {
    let encrypted = with_web("");

    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\x1d\0\x01\x01\0\0\x01\0\0\0\0\0\0", b"\x16"]
    {
        let mut stream = TcpStream::connect(encrypted.tls).unwrap();
        stream.write_all(noise).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
    }

    eventually(Duration::from_secs(20), "three failures are counted", || {
        let failures = encrypted.server.http.metric("signpost_dns_tls_failures_total", "");
        (failures == Some(3.0)).then_some(())
    });
    encrypted.server.assert_well("after noise");
}

#[test]
fn a_stop_says_that_nothing_was_cut_off() {
    let mut encrypted = with_web("");
    let mut stream = encrypted.connect();
    send(&mut stream, &Query::new("web.service.local", "A").packet(1));
    assert!(receive(&mut stream).is_some());

    assert_eq!(encrypted.server.terminate().code(), Some(0));

    // Without close_notify this would be an error (RFC 8446 section 6.1).
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
