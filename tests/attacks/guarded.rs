//! A server with tokens, and an admin of it.

use std::process::Command;

use serde_json::Value;

use crate::support::http::Http;
use crate::support::server::Server;

/// A server, and its side-port for an admin.
pub(crate) struct Guarded {
    pub(crate) server: Server,
    pub(crate) admin: Http,
}

impl Guarded {
    /// A ready server with this registry.toml, whose first token is made offline.
    pub(crate) fn start(config: &str) -> Self {
        let builder = Server::builder(config);
        let file = builder.path("registry.toml");
        std::fs::write(&file, config).unwrap();
        let made = Command::new(env!("CARGO_BIN_EXE_signpost"))
            .args(["token", "create", "root", "--scope", "admin", "--offline", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let root = String::from_utf8(made.stdout).unwrap();
        let server = builder.start();
        let admin = server.http.with_token(root.trim());
        Self { server, admin }
    }

    /// Makes a token; what was replied.
    pub(crate) fn made(&self, spec: &Value) -> Value {
        let reply = self.admin.post("/v1/tokens", Some(spec));
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.body
    }
}
