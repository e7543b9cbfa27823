//! DNS over QUIC as other people's programs speak it.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::net::SocketAddr;
use std::process::Command;

use support::needs;
use support::server::{Server, free_addresses};

const WEB: &str =
    "[[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80\n";

fn start() -> (Server, SocketAddr) {
    let quic = free_addresses().0;
    let server = Server::builder(WEB).argument("--dev-tls").argument(&format!("--quic={quic}"));
    (server.start(), quic)
}

#[test]
fn kdig_asks_over_quic() {
    if !needs::works(KDIG_QUIC) {
        return;
    }
    let (server, quic) = start();
    let certificate = format!("+tls-ca={}", server.folder().join("data/dev-tls.pem").display());

    let output = Command::new("kdig")
        .args([&format!("@{}", quic.ip()), "-p", &quic.port().to_string()])
        // Last, since the options of TLS mean DNS over TLS.
        .args([&certificate, "+tls-hostname=ns1.service.local", "+quic", "+noall", "+answer"])
        .args(["web.service.local", "web-1.web.service.local", "no.service.local"])
        .output()
        .unwrap();

    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let records = printed.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    let records: Vec<_> = records.map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    let expected = ["web.service.local.", "web-1.web.service.local."];
    assert_eq!(records, expected.map(|name| vec![name, "5", "IN", "A", "10.0.0.1"]), "{said}");
    let asked = server.http.metric("signpost_dns_requests_total", "proto=\"quic\"");
    assert_eq!(asked, Some(3.0));
    assert_eq!(server.http.metric("signpost_dns_quic_protocol_errors_total", ""), Some(0.0));
}

#[test]
fn what_is_no_quic_does_no_harm() {
    let (server, quic) = start();
    let socket = support::dns::Dns { address: quic }.socket();

    for length in [1, 7, 21, 1_200, 1_500] {
        for first in [0x00, 0x40, 0x80, 0xc0, 0xff] {
            let mut packet = vec![0xab; length];
            packet[0] = first;
            drop(socket.send(&packet));
        }
    }

    server.assert_well("after packets that are no QUIC");
}

/// kdig, built with QUIC: without it this option is unknown.
const KDIG_QUIC: &[&str] = &["sh", "-c", "kdig -h | grep -q quic"];
