//! The side-port over TLS and on unix sockets: the real server, called by curl, by its own command
//! line, and by a TLS client of our own where a connection has to live on.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

mod authority;
mod commands;
mod handshakes;
mod identities;
mod judges;
mod reloads;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;
mod unix;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use authority::{Authority, LONG, dns};
use rcgen::SanType;
use serde_json::Value;
use support::http::Http;
use support::server::{Builder, Server, free_addresses};

/// A server with TLS on its side-port.
struct Encrypted {
    server: Server,
    tls: SocketAddr,
    authority: Authority,
}

/// What came back by curl.
#[derive(Debug)]
struct Said {
    /// 0: there was no reply.
    status: u16,
    body: Value,
    /// What went wrong.
    error: String,
}

/// A server that is not started yet, with certificates in its folder: `cert.pem` for itself, `ca.pem`
/// of who signed it. In `http` are keys of `[http]`; `rest` comes after.
struct Prepared {
    builder: Builder,
    tls: SocketAddr,
    authority: Authority,
}

fn prepare(http: &str, rest: &str) -> Prepared {
    let (tls, _) = free_addresses();
    let authority = Authority::new();
    let config = format!(
        "[tls]\ncertificate = \"cert.pem\"\nkey = \"cert.key\"\n\
         [http]\ntls_listen = [\"{tls}\"]\n{http}\n{rest}"
    );
    let builder = Server::builder(&config);
    let folder = builder.path("");
    authority.write(&folder, "ca.pem");
    authority.sign(&folder, "cert", &names(tls), LONG);
    Prepared { builder, tls, authority }
}

/// What the server is called by.
fn names(tls: SocketAddr) -> Vec<SanType> {
    vec![dns("localhost"), SanType::IpAddress(tls.ip())]
}

fn start(http: &str, rest: &str) -> Encrypted {
    prepare(http, rest).start()
}

impl Prepared {
    fn start(self) -> Encrypted {
        let Self { builder, tls, authority } = self;
        Encrypted { server: builder.start(), tls, authority }
    }
}

impl Encrypted {
    fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// A certificate of the server's authority for these names, and the arguments that show it.
    fn client(&self, name: &str, names: &[SanType]) -> Vec<String> {
        self.authority.sign(self.folder(), name, names, LONG);
        shows(self.folder(), name)
    }

    /// Calls a path by curl, which trusts the authority.
    fn curl(&self, arguments: &[String], path: &str) -> Said {
        let ca = self.folder().join("ca.pem");
        let mut all = vec!["--cacert".to_owned(), ca.display().to_string()];
        all.extend_from_slice(arguments);
        curl(&all, &format!("https://{}{path}", self.tls))
    }

    /// Registers `body` as an instance.
    fn put(&self, arguments: &[String], path: &str, body: &Value) -> Said {
        let words = ["-X", "PUT", "-H", "content-type: application/json", "--data"];
        let mut all: Vec<String> = words.map(str::to_owned).to_vec();
        all.push(body.to_string());
        all.extend_from_slice(arguments);
        self.curl(&all, path)
    }

    /// Its configuration.
    fn file(&self) -> PathBuf {
        self.folder().join("registry.toml")
    }
}

/// The arguments of curl that show a certificate.
fn shows(folder: &Path, name: &str) -> Vec<String> {
    let path = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
    ["--cert".to_owned(), path("pem"), "--key".to_owned(), path("key")].to_vec()
}

/// The arguments of curl that show a token.
fn bearer(token: &str) -> Vec<String> {
    vec!["-H".to_owned(), format!("Authorization: Bearer {token}")]
}

fn curl(arguments: &[String], url: &str) -> Said {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "-w", "\n%{http_code}"])
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    let json = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { status: status.parse().unwrap(), body: json, error }
}

/// A token that `admin` makes.
fn token(admin: &Http, spec: &Value) -> String {
    let reply = admin.post("/v1/tokens", Some(spec));
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.body["token"].as_str().unwrap().to_owned()
}
