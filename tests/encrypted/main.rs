//! DNS over TLS and over HTTPS from outside: the real binary, asked by dig, kdig and curl, and by a
//! TLS client of our own where bytes have to be sent in a way that no program sends them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

mod certificates;
mod doh;
mod dot;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use support::server::{Server, free_addresses};
use support::tls::{Stream, connect};

/// A server with a certificate of its own making, and where it speaks what.
struct Encrypted {
    server: Server,
    tls: SocketAddr,
    https: SocketAddr,
}

/// A ready server with this registry.toml, which trusts nobody's certificate but its own.
fn start(config: &str) -> Encrypted {
    let (tls, https) = free_addresses();
    let server = Server::builder(config)
        .argument("--dev-tls")
        .argument(&format!("--tls={tls}"))
        .argument(&format!("--https={https}"))
        .start();
    Encrypted { server, tls, https }
}

impl Encrypted {
    /// The certificate for clients to trust.
    fn certificate(&self) -> PathBuf {
        self.server.folder().join("data/dev-tls.pem")
    }

    /// A DoT connection that has agreed on keys.
    fn connect(&self) -> Stream {
        connect(self.tls, &std::fs::read_to_string(self.certificate()).unwrap(), b"dot")
    }

    /// The URL of DoH.
    fn url(&self) -> String {
        format!("https://{}/dns-query", self.https)
    }

    /// What curl prints, which trusts the certificate.
    fn curl(&self, arguments: &[&str]) -> String {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--cacert"])
            .arg(self.certificate())
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl {arguments:?}: {error}{text}");
        text
    }
}
