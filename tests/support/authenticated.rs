//! A server that knows tokens, the first of which was made while it did not run.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::http::Http;
use super::server::Server;

/// A server, and its side-port for an admin.
pub(crate) struct Authenticated {
    pub(crate) server: Server,
    pub(crate) admin: Http,
    /// The admin's token.
    pub(crate) root: String,
}

impl Authenticated {
    /// A ready server with this registry.toml, and an admin of it.
    pub(crate) fn start(config: &str) -> Self {
        let builder = Server::builder(config);
        let file = builder.path("registry.toml");
        fs::write(&file, config).unwrap();
        let root = first_token(&file);
        let server = builder.start();
        let admin = server.http.with_token(&root);
        Self { server, admin, root }
    }

    /// Makes a token; what was replied.
    pub(crate) fn made(&self, spec: &Value) -> Value {
        let reply = self.admin.post("/v1/tokens", Some(spec));
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.body
    }

    /// The side-port for who holds a new token.
    pub(crate) fn client(&self, spec: &Value) -> Http {
        self.server.http.with_token(self.made(spec)["token"].as_str().unwrap())
    }
}

/// Makes a token of an admin, where no server of this configuration runs.
pub(crate) fn first_token(config: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signpost"));
    command.args(["token", "create", "root", "--scope", "admin", "--offline", "--config"]);
    let output = command.arg(config).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
