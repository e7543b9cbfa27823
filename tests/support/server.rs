//! The real binary on free ports with a data folder of its own, killed with the test.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::dns::{Dns, Query};
use super::http::Http;
use super::{SOON, eventually};

/// A server, and the folder that it lives in.
pub(crate) struct Server {
    /// Asks it over DNS.
    pub(crate) dns: Dns,
    /// Calls its side-port.
    pub(crate) http: Http,
    folder: TempDir,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    child: Option<Child>,
}

/// What can be said of a server before it starts.
pub(crate) struct Builder {
    config: String,
    dns: SocketAddr,
    http: SocketAddr,
    folder: TempDir,
    flags: bool,
    everywhere: bool,
    arguments: Vec<String>,
    wrapper: Vec<String>,
}

impl Server {
    /// A ready server with this registry.toml. Its addresses come by flags, so that the file
    /// says only what the test is about; its data folder is `data`, beside the file.
    pub(crate) fn start(config: &str) -> Self {
        Self::builder(config).start()
    }

    /// A server that is not started yet. `{dns}` and `{http}` in `config` stand for its addresses.
    pub(crate) fn builder(config: &str) -> Builder {
        let (dns, http) = free_addresses();
        let config = config.replace("{dns}", &dns.to_string());
        let config = config.replace("{http}", &http.to_string());
        let folder = tempfile::tempdir().unwrap();
        let (arguments, wrapper) = (Vec::new(), Vec::new());
        let (flags, everywhere) = (true, false);
        Builder { config, dns, http, folder, flags, everywhere, arguments, wrapper }
    }

    /// The URL of its side-port.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http.address)
    }

    /// The folder with registry.toml, data and zones.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces its registry.toml; it does not read it until told. All at once: half a file may be
    /// a legal one.
    pub(crate) fn write_config(&self, config: &str) {
        let new = self.folder().join("registry.toml.new");
        std::fs::write(&new, config).unwrap();
        std::fs::rename(new, self.folder().join("registry.toml")).unwrap();
    }

    /// What it wrote to stderr since its last start.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("stderr")).unwrap_or_default()
    }

    /// What it wrote to stdout since its last start.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.folder().join("stdout")).unwrap_or_default()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends it a signal, e.g. `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Ends it with SIGTERM and tells how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.exit()
    }

    /// Waits until it has ended by itself, and tells how.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let status = eventually(SOON, "the server has ended", || {
            self.child.as_mut().unwrap().try_wait().unwrap()
        });
        self.child = None;
        status
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again after it has ended, and waits until it is ready.
    pub(crate) fn start_again(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    /// Ends it in an orderly way and starts it again.
    pub(crate) fn restart(&mut self) {
        assert_eq!(self.terminate().code(), Some(0));
        self.start_again();
    }

    /// Asserts that it still does what it is for, where 10.0.0.1 is the only instance of web, and
    /// that nothing panicked.
    pub(crate) fn assert_well(&self, what: &str) {
        let query = Query::new("web.service.local", "A");
        assert_eq!(self.dns.query(&query).only(), "10.0.0.1", "{what}");
        assert_eq!(self.dns.tcp(&query).only(), "10.0.0.1", "{what}");
        let body = serde_json::json!({ "addresses": ["10.0.0.2"], "ttl": null });
        self.http.register("api", "a", &body);
        assert_eq!(self.http.delete("/v1/services/api/instances/a").status, 204, "{what}");
        assert_eq!(self.http.metric("signpost_panics_total", ""), Some(0.0), "{what}");
        assert!(!self.log().contains("panicked"), "{what}: {}", self.log());
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let output = |name: &str| File::create(self.folder.path().join(name)).unwrap();
        let binary = env!("CARGO_BIN_EXE_signpost");
        let mut command = match self.wrapper.split_first() {
            None => Command::new(binary),
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(binary);
                command
            }
        };
        command.args(&self.arguments).env_remove("RUST_LOG").stdin(Stdio::null());
        command.stdout(output("stdout")).stderr(output("stderr"));
        self.child = Some(command.spawn().unwrap());
    }

    fn wait_until_ready(&mut self) {
        let mut ended = None;
        let ready = eventually(SOON, "the server is ready or has ended", || {
            ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let ready = self.http.try_get("/readyz").is_some_and(|reply| reply.status == 200);
            (ready || ended.is_some()).then_some(ready)
        });
        assert!(ready, "the server ended ({ended:?}) before it was ready:\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("--- stderr of the server at {} ---\n{}---", self.dns.address, self.log());
        }
    }
}

impl Builder {
    /// Adds a file to the folder.
    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Takes the addresses from the file alone.
    pub(crate) fn without_flags(mut self) -> Self {
        self.flags = false;
        self
    }

    /// Adds an argument to its command line.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Runs the server as the child of another program.
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Answers DNS here.
    pub(crate) fn dns(mut self, address: &str) -> Self {
        self.dns = address.parse().unwrap();
        self
    }

    /// Answers HTTP on all addresses of this machine; it is called by the one it has.
    pub(crate) fn http_everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(self) -> Server {
        let mut server = self.spawn();
        server.wait_until_ready();
        server
    }

    /// Starts it where it is meant to fail, and tells how it ended and what it said.
    pub(crate) fn fail(self) -> (Option<i32>, String) {
        let mut server = self.spawn();
        (server.exit().code(), server.log())
    }

    fn spawn(self) -> Server {
        let file = self.path("registry.toml");
        std::fs::write(&file, &self.config).unwrap();
        let mut arguments = vec!["serve".to_owned(), format!("--config={}", file.display())];
        if self.flags {
            arguments.push(format!("--dns={}", self.dns));
            let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.http.port()));
            let http = if self.everywhere { everywhere } else { self.http };
            arguments.push(format!("--http={http}"));
        }
        arguments.extend(self.arguments);
        let Self { dns, http, folder, wrapper, .. } = self;
        let (dns, http) = (Dns { address: dns }, Http::new(http));
        let mut server = Server { dns, http, folder, arguments, wrapper, child: None };
        server.spawn();
        server
    }
}

/// Addresses for DNS and HTTP that are free and stay so, also while a server is away between two
/// starts: the loopback address is this process's own, and the ports are below those that the
/// system hands out by itself.
pub(crate) fn free_addresses() -> (SocketAddr, SocketAddr) {
    let pid = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 64 | pid[1] & 63, pid[2], pid[3]);
    loop {
        let port = NEXT_PORT.fetch_add(2, Ordering::Relaxed);
        assert!(port < 32_000, "no free port is left");
        let (dns, http) = ((own, port).into(), (own, port + 1).into());
        let free = |address: SocketAddr| TcpListener::bind(address).is_ok();
        if free(dns) && free(http) && UdpSocket::bind(dns).is_ok() {
            return (dns, http);
        }
    }
}

/// Addresses for instances that listen: each on an address of its own, all on one port.
pub(crate) fn free_instances(count: u8) -> Vec<SocketAddr> {
    let pid = std::process::id().to_be_bytes();
    loop {
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no free port is left");
        let own = |i: u8| (Ipv4Addr::new(127, 128 + i, pid[2], pid[3]), port).into();
        let addresses: Vec<SocketAddr> = (0..count).map(own).collect();
        if addresses.iter().all(|address| TcpListener::bind(address).is_ok()) {
            return addresses;
        }
    }
}

/// What a program wrote to a pipe, as text; empty without one.
pub(crate) fn text(pipe: Option<impl Read>) -> String {
    let mut text = String::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_string(&mut text).unwrap();
    }
    text
}

/// A child process that ends with the test.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A short while, for what should not happen.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

static NEXT_PORT: AtomicU16 = AtomicU16::new(10_000);
