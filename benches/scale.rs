//! A million instances: what memory they take, how soon a start is ready, and what a query and a
//! registration cost beside them. The real binary and its embedded store; it prints one table.
//!
//! `cargo bench --bench scale [-- SERVICES]`, of 10 instances each. Costs are the server's processor
//! time: the load shares the machine.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signpost::model::{
    Admin, Change, Commit, InstanceId, InstanceSpec, Record, Revision, ServiceName,
};
use signpost::store::{Embedded, Store};
use tempfile::TempDir;

/// What an instance says of itself beside its address.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// An unnamed port.
    Plain,
    /// A named port, two pairs of metadata, a tag.
    Rich,
}

/// Instances of each service.
const EACH: usize = 10;
/// Services of the registry that a full one is compared with.
const FEW: usize = 1_000;
const ROUNDS: usize = 5;

fn spec(kind: Kind, number: usize) -> String {
    let address = Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).expect("few enough"));
    let rest = match kind {
        Kind::Plain => r#""port":8080"#.to_owned(),
        Kind::Rich => format!(
            r#""ports":[{{"name":"http","port":8080}}],"tags":["canary"],"metadata":{{"version":"1.{}.3","commit":"{number:08x}"}}"#,
            number % 7
        ),
    };
    format!(r#"{{"addresses":["{address}"],{rest},"ttl":"24h"}}"#)
}

fn name(service: usize) -> String {
    format!("service-{service}")
}

/// Makes the registry that a server in `folder` will find.
fn fill(folder: &Path, services: usize, kind: Kind) {
    let mut store = Embedded::open(&folder.join("data")).expect("a new store");
    let numbers: Vec<usize> = (0..services).collect();
    let mut revision = Revision(1);
    for chunk in numbers.chunks(2_000) {
        let all = chunk.iter().flat_map(|s| (0..EACH).map(move |i| (*s, i)));
        let changes = all.map(|(s, i)| {
            let spec: InstanceSpec =
                serde_json::from_str(&spec(kind, s * EACH + i)).expect("a legal instance");
            let id = InstanceId::new(&format!("instance-{i}")).expect("a legal id");
            let instance = spec.build(id, None, Admin::Enabled).expect("a legal instance");
            let record =
                Record { instance: Arc::new(instance), generation: revision.0, owner: None };
            Change::Put { service: ServiceName::new(&name(s)).expect("a legal name"), record }
        });
        store.commit(&Commit { revision, changes: changes.collect() }).expect("committed");
        revision = revision.next();
    }
    Box::new(store).close(revision).expect("closed");
}

struct Server {
    process: Child,
    dns: SocketAddr,
    http: SocketAddr,
    /// From the start of the process.
    ready_after: Duration,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let [dns, http] = [(); 2].map(|()| {
            let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
            probe.local_addr().expect("bound")
        });
        let file = folder.join("registry.toml");
        std::fs::write(&file, "[limits]\ninstances = 2_000_000\nservices = 200_000\n")
            .expect("written");
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
        let start = Instant::now();
        let process = Command::new(env!("CARGO_BIN_EXE_signpost"))
            .args(["serve", "--config"])
            .arg(&file)
            .args(["--dns", &dns.to_string(), "--http", &http.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut server = Self { process, dns, http, ready_after: Duration::ZERO };
        while !server.is_ready() {
            #[expect(clippy::disallowed_methods, reason = "the server needs the processor")]
            std::thread::sleep(Duration::from_millis(2));
        }
        server.ready_after = start.elapsed();
        server
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.http) else { return false };
        let ask = stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n");
        let mut reply = String::new();
        ask.is_ok() && stream.read_to_string(&mut reply).is_ok() && reply.contains(" 200 ")
    }

    /// Kilobytes of this line of /proc/PID/status.
    fn status(&self, line: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let text = std::fs::read_to_string(path).expect("it lives");
        let line = text.lines().find_map(|l| l.strip_prefix(line)).expect("a known line");
        line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().expect("a number")
    }

    /// Nanoseconds that it has run.
    fn ran(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let times = tasks.expect("it lives").map(|task| {
            let path = task.expect("a task").path().join("schedstat");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0)
        });
        times.sum()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.http).expect("connected");
        stream.set_nodelay(true).expect("set");
        stream
    }

    fn call(&self, stream: &mut TcpStream, method: &str, path: &str, body: &str) {
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{kind}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut reply = [0; 4_096];
        let mut read = 0;
        loop {
            read += stream.read(&mut reply[read..]).expect("read");
            let text = String::from_utf8_lossy(&reply[..read]);
            let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
            assert!(head.starts_with("HTTP/1.1 2"), "{text}");
            let length = head.to_ascii_lowercase();
            let length = length.lines().find_map(|l| l.strip_prefix("content-length: "));
            if rest.len() >= length.and_then(|l| l.parse().ok()).unwrap_or(0) {
                return;
            }
        }
    }

    /// Processor time of a query for the A records of any of `services`, in nanoseconds.
    fn query_cost(&self, services: usize, seed: u64) -> u64 {
        const WINDOW: usize = 32;
        const QUERIES: usize = 40_000;
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        socket.connect(self.dns).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        let (mut random, mut reply) = (seed, [0; 1_500]);
        let before = self.ran();
        for _ in 0..QUERIES / WINDOW {
            for _ in 0..WINDOW {
                let service = below(&mut random, services);
                socket.send(&query(&name(service))).expect("sent");
            }
            for _ in 0..WINDOW {
                let length = socket.recv(&mut reply).expect("an answer");
                assert!(length > 12 && reply[7] > 0, "an answer with records");
            }
        }
        (self.ran() - before) / QUERIES as u64
    }

    /// Processor time of a durable registration in any of `services` whose names begin so, in
    /// nanoseconds, from 16 connections.
    fn registration_cost(&self, prefix: &str, services: usize, seed: u64) -> u64 {
        const CONNECTIONS: usize = 16;
        const TURNS: usize = 250;
        let before = self.ran();
        std::thread::scope(|scope| {
            for connection in 0..CONNECTIONS {
                scope.spawn(move || {
                    let mut stream = self.connect();
                    let mut random = seed + connection as u64;
                    for turn in 0..TURNS {
                        let service = below(&mut random, services);
                        let number = connection * TURNS + turn;
                        let path =
                            format!("/v1/services/{prefix}-{service}/instances/new-{connection}");
                        self.call(&mut stream, "PUT", &path, &spec(Kind::Plain, number));
                    }
                });
            }
        });
        (self.ran() - before) / (CONNECTIONS * TURNS) as u64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn query(service: &str) -> Vec<u8> {
    let mut packet = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [service, "service", "local", ""] {
        packet.push(u8::try_from(label.len()).expect("a label"));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 1, 0, 1]);
    packet
}

/// A number below `bound` (splitmix64).
fn below(state: &mut u64, bound: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((bits ^ (bits >> 31)) % bound as u64).expect("below a usize")
}

/// The medians of both costs, measured in turns.
fn medians(mut few: impl FnMut(u64) -> u64, mut many: impl FnMut(u64) -> u64) -> [f64; 2] {
    let mut costs = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS as u64 {
        let both = [few(round * 1_000), many(round * 1_000 + 500)];
        // The first finds everything cold.
        if round > 0 {
            costs.iter_mut().zip(both).for_each(|(costs, cost)| costs.push(cost));
        }
    }
    costs.map(|mut costs| {
        costs.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let microseconds = costs[ROUNDS / 2] as f64 / 1_000.0;
        microseconds
    })
}

/// Makes the system forget a file, so that a start reads it from the disk.
fn chill(folder: &Path) {
    let file = format!("if={}", folder.join("data/registry.redb").display());
    let dd = Command::new("dd").args([&file, "iflag=nocache", "count=0", "status=none"]).status();
    assert!(dd.is_ok_and(|status| status.success()), "dd drops the file from the cache");
}

fn folder() -> TempDir {
    tempfile::tempdir_in(".").expect("a folder on this disk")
}

fn report(services: usize, kind: Kind) -> String {
    let (empty_folder, few_folder, full_folder) = (folder(), folder(), folder());
    fill(few_folder.path(), FEW, kind);
    fill(full_folder.path(), services, kind);
    let empty = Server::start(empty_folder.path());
    let few = Server::start(few_folder.path());
    chill(full_folder.path());
    let full = Server::start(full_folder.path());

    let instances = (services * EACH) as u64;
    let mut out = format!("{kind:?}: {instances} instances in {services} services\n");
    let mut line = |what: &str, figure: String| {
        writeln!(out, "  {what:<46} {figure}").expect("written to a string");
    };
    line("ready after a cold start", format!("{:.2} s", full.ready_after.as_secs_f64()));
    for (what, field) in [("memory", "VmRSS"), ("peak", "VmHWM")] {
        let above = full.status(field) - empty.status(field);
        let bytes = above * 1_024 / instances;
        line(&format!("{what} above the empty process, an instance"), format!("{bytes} B"));
    }
    let [a, b] = medians(|s| few.query_cost(FEW, s), |s| full.query_cost(services, s));
    line(&format!("a query at {FEW} services"), format!("{a:.2} us"));
    line(&format!("a query at {services} services"), format!("{b:.2} us, {:.2}x", b / a));
    let [a, b] = medians(
        |s| empty.registration_cost("new", FEW, s),
        |s| full.registration_cost("new", FEW, s),
    );
    line("a registration in an empty registry", format!("{a:.1} us"));
    line("the same in the full one", format!("{b:.1} us, {:.2}x", b / a));
    let [a, b] = medians(
        |s| few.registration_cost("service", FEW, s),
        |s| full.registration_cost("service", services, s),
    );
    line(&format!("a registration in one of {FEW} services"), format!("{a:.1} us"));
    line(&format!("in one of {services}"), format!("{b:.1} us, {:.2}x", b / a));
    // Dropped is killed: the next start is one after a crash.
    drop(full);
    let again = Server::start(full_folder.path());
    line("ready after kill -9", format!("{:.2} s", again.ready_after.as_secs_f64()));
    out
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
fn main() {
    let services = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(100_000);
    for kind in [Kind::Plain, Kind::Rich] {
        println!("{}", report(services, kind));
    }
}
