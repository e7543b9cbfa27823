//! Draws where the time of a query goes: a server with `--features pprof`, asked by DNS for a service
//! of each algorithm, profiled by its own side-port.
//!
//! `cargo bench --profile profiling --features pprof --bench flamegraph` writes
//! `docs/flamegraph.svg` and, without the time of system calls, `docs/flamegraph-ours.svg`.

#![expect(clippy::print_stdout, reason = "a benchmark says what it has made")]

mod names;
mod profile;
mod svg;

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use profile::Stack;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let [dns, http] = [(); 2].map(|()| {
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        probe.local_addr().expect("bound")
    });
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, registry()).expect("written");
    let _server = Server(
        Command::new(env!("CARGO_BIN_EXE_signpost"))
            .args(["serve", "--config"])
            .arg(&file)
            .args(["--dns", &dns.to_string(), "--http", &http.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("started"),
    );
    while TcpStream::connect(http).is_err() {
        std::thread::yield_now();
    }
    let stacks = profile::stacks(&under_load(dns, http)).expect("the encoding of a profile");
    let answering = |stack: &Stack| Some((names::of_a_query(&stack.frames)?, stack.samples));
    let shown: Vec<(Vec<String>, u64)> = stacks.iter().filter_map(answering).collect();
    draw("flamegraph", "Answering A queries, all of it", &shown);
    // Most of it is the system's, so that ours needs a picture of its own.
    let system = |name: &String| name.starts_with(names::SYSTEM);
    let ours: Vec<_> =
        shown.into_iter().filter(|(names, _)| !names.last().is_some_and(system)).collect();
    draw("flamegraph-ours", "Answering A queries, without the system", &ours);
}

fn draw(name: &str, title: &str, stacks: &[(Vec<String>, u64)]) {
    let samples: u64 = stacks.iter().map(|(_, samples)| samples).sum();
    let path = format!("{}/docs/{name}.svg", env!("CARGO_MANIFEST_DIR"));
    let title = format!("{title}: {samples} samples");
    std::fs::write(&path, svg::draw(&title, stacks)).expect("the picture can be written");
    println!("{title}: {path}");
}

/// A service of four instances for each algorithm.
fn registry() -> String {
    let mut text = "[store]\nkind = \"memory\"\n".to_owned();
    for (number, balance) in ALGORITHMS.iter().enumerate() {
        writeln!(text, "[services.s{number}]\nbalance = {balance:?}").expect("a string takes it");
        for i in 1..=4 {
            writeln!(text, "[[services.s{number}.instances]]").expect("as above");
            writeln!(text, "id = \"i{i}\"\naddresses = [\"10.0.{number}.{i}\"]").expect("as above");
        }
    }
    text
}

/// A profile of a minute, during which the server has as much to answer as it can.
fn under_load(dns: SocketAddr, http: SocketAddr) -> Vec<u8> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..ALGORITHMS.len() {
            let over = &over;
            scope.spawn(move || ask(dns, number, over));
        }
        let url = format!("http://{http}/debug/pprof/profile?seconds=60&hz=997");
        let mut reply = ureq::get(url).call().expect("a server with --features pprof");
        over.store(true, Ordering::Relaxed);
        reply.body_mut().read_to_vec().expect("a profile")
    })
}

/// Asks for the service of this number, 16 queries on their way at a time, until it is over.
fn ask(dns: SocketAddr, number: usize, over: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(dns).expect("an address of this machine");
    // A reply may be lost.
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("not zero");
    let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, b's', b'0'];
    packet[14] += u8::try_from(number).expect("few algorithms");
    packet.extend(b"\x07service\x05local\x00\x00\x01\x00\x01");
    packet.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    let mut reply = [0; 1_232];
    while !over.load(Ordering::Relaxed) {
        let sent = (0..16).filter(|_| socket.send(&packet).is_ok()).count();
        (0..sent).take_while(|_| socket.recv(&mut reply).is_ok()).for_each(drop);
    }
}

/// Ends with this program.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

const ALGORITHMS: [&str; 5] =
    ["round_robin", "random", "weighted_round_robin", "least_connections", "consistent_hash"];
