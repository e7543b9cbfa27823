//! The server under test: the real binary, with its embedded store on this disk.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::load::{self, Call};

/// A server that runs until this is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) dns: SocketAddr,
    pub(crate) http: SocketAddr,
    _folder: TempDir,
}

impl Server {
    /// Starts a server that knows nothing, on the processors `cores` (as `taskset -c` takes them)
    /// or on all.
    pub(crate) fn start(cores: Option<&str>) -> Self {
        let folder = tempfile::tempdir_in(".").expect("a folder on this disk");
        let http = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr());
        let dns = UdpSocket::bind("127.0.0.1:0").and_then(|probe| probe.local_addr());
        let (http, dns) = (http.expect("a free port"), dns.expect("a free port"));
        let file = folder.path().join("registry.toml");
        std::fs::write(&file, "").expect("written");
        let binary = env!("CARGO_BIN_EXE_signpost");
        let mut command = match cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cores, binary]);
                command
            }
            None => Command::new(binary),
        };
        command.args(["serve", "--config"]).arg(&file);
        command.args(["--dns", &dns.to_string(), "--http", &http.to_string()]);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut server = Self { process: process.expect("started"), dns, http, _folder: folder };
        while TcpStream::connect(http).is_err() {
            let ended = server.process.try_wait().expect("its state");
            assert!(ended.is_none(), "the server did not start: {ended:?}");
            #[expect(clippy::disallowed_methods, reason = "until it listens")]
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Processor time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        load::cpu(&self.process.id().to_string())
    }

    /// Makes one call on a connection of its own.
    pub(crate) fn call(&self, call: &Call) -> String {
        load::call(&mut TcpStream::connect(self.http).expect("connected"), call)
    }

    /// A number that `/metrics` shows.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.call(&Call::new("GET", "/metrics"));
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
