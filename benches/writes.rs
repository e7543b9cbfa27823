//! Durable registrations and heartbeats per second over HTTP: the real binary, its embedded store,
//! and the load on the same machine. Not a criterion bench: it prints one table.
//!
//! `cargo bench --bench writes [-- SECONDS]`

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

struct Server {
    process: Child,
    http: SocketAddr,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir_in(".").expect("a folder on this disk");
        let [dns, http] = [(); 2].map(|()| {
            let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
            probe.local_addr().expect("bound")
        });
        let file = folder.path().join("registry.toml");
        std::fs::write(&file, "").expect("written");
        let process = Command::new(env!("CARGO_BIN_EXE_signpost"))
            .args(["serve", "--config"])
            .arg(&file)
            .args(["--dns", &dns.to_string(), "--http", &http.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let server = Self { process, http, _folder: folder };
        while TcpStream::connect(http).is_err() {
            std::thread::yield_now();
        }
        server
    }

    fn commits(&self) -> u64 {
        let text =
            call(&mut TcpStream::connect(self.http).expect("connected"), "GET", "/metrics", "");
        let line = text.lines().find_map(|l| l.strip_prefix("signpost_store_commits_total "));
        line.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn call(stream: &mut TcpStream, method: &str, path: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\n{kind}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut reply = Vec::new();
    let mut chunk = [0; 16_384];
    loop {
        let n = stream.read(&mut chunk).expect("read");
        reply.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&reply);
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
        });
        let length: usize = length.and_then(|l| l.parse().ok()).unwrap_or(0);
        if rest.len() >= length {
            assert!(head.starts_with("HTTP/1.1 2"), "{text}");
            return rest.to_owned();
        }
    }
}

/// Runs `request` on `connections` connections for `time`; requests done per second.
fn load(
    server: &Server,
    connections: usize,
    time: Duration,
    request: impl Fn(&mut TcpStream, usize, u64) + Copy + Send + Sync,
) -> f64 {
    let (done, stop) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    let start = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..connections {
            let (done, stop) = (&done, Arc::clone(&stop));
            scope.spawn(move || {
                let mut stream = TcpStream::connect(server.http).expect("connected");
                stream.set_nodelay(true).expect("set");
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    request(&mut stream, connection, turn);
                    turn += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        #[expect(clippy::disallowed_methods, reason = "the load runs for a given time")]
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    rate
}

fn register(stream: &mut TcpStream, connection: usize, turn: u64) {
    // 1,000 services; each turn is a new instance, or in later rounds a change of one.
    let (service, weight) = (turn % 1_000, turn % 65_535 + 1);
    let path = format!("/v1/services/s{service}/instances/c{connection}");
    let body = format!(r#"{{"addresses":["10.0.0.1"],"port":8080,"weight":{weight}}}"#);
    call(stream, "PUT", &path, &body);
}

fn heartbeat(stream: &mut TcpStream, connection: usize, turn: u64) {
    let path = format!("/v1/services/s{}/instances/c{connection}/heartbeat", turn % 1_000);
    call(stream, "PUT", &path, "");
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
fn main() {
    let seconds = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(5);
    let time = Duration::from_secs(seconds);
    println!("{:<12} {:>11} {:>10} {:>13}", "write", "connections", "per second", "per commit");
    for connections in [1, 64, 256] {
        let server = Server::start();
        let before = server.commits();
        let rate = load(&server, connections, time, register);
        let commits = server.commits() - before;
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        let per_commit = rate * seconds as f64 / commits.max(1) as f64;
        println!("{:<12} {connections:>11} {rate:>10.0} {per_commit:>13.1}", "registration");
        if connections > 1 {
            for connection in 0..connections {
                let mut stream = TcpStream::connect(server.http).expect("connected");
                register(&mut stream, connection, 0);
            }
            let renew = |stream: &mut TcpStream, connection: usize, _: u64| {
                heartbeat(stream, connection, 0);
            };
            let rate = load(&server, connections, time, renew);
            println!("{:<12} {connections:>11} {rate:>10.0} {:>13}", "heartbeat", "-");
        }
    }
}
