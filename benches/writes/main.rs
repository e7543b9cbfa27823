//! What writes cost over HTTP, and what they cost those who ask meanwhile: the real binary, its
//! embedded store, and the load on the same machine. Not a criterion bench: it prints tables.
//!
//! `cargo bench --bench writes [-- [SECONDS] [ROW]]`, where a row is named as in the tables.

mod load;
mod queries;
mod server;

use std::time::Duration;

use load::{Call, Plan};
use queries::Prober;
use server::Server;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let seconds = arguments.first().and_then(|seconds| seconds.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(5));
    let row = arguments[usize::from(seconds.is_some())..].join(" ");
    rates(time, &row);
    queries(time, &row);
}

/// Writes per second, and the processor time that server and load spend on each.
#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
fn rates(time: Duration, row: &str) {
    println!(
        "{:<20} {:>10} {:>10} {:>10} {:>10}",
        "write, connections", "per second", "per commit", "server us", "load us"
    );
    for Row { write, request, items, connections } in ROWS {
        let name = format!("{write} {connections}");
        if !name.contains(row) {
            continue;
        }
        let server = Server::start(None);
        server.call(&instances());
        let before = server.metric("signpost_store_commits_total");
        let done = load::run(&server, Plan { connections, request, pace: None }, time);
        let commits = server.metric("signpost_store_commits_total") - before;
        #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
        let per_commit = done.rate * time.as_secs_f64() / commits.max(1) as f64;
        let per_commit = if commits > 1 { format!("{per_commit:.1}") } else { "-".to_owned() };
        let items = f64::from(items);
        let (rate, used, load) = (done.rate * items, done.server / items, done.load / items);
        println!("{name:<20} {rate:>10.0} {per_commit:>10} {used:>10.2} {load:>10.2}");
    }
}

/// How long queries take at rest and while the registry changes, with the server on a processor of
/// its own and on all. What asks and what changes shares the other one: `taskset -c 1 cargo bench`.
#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
fn queries(time: Duration, row: &str) {
    println!();
    println!("{:<24} {:>8} {:>8} {:>8}", "queries, changes", "p50 us", "p99 us", "max us");
    for (cores, pace) in [(Some("0"), 0), (Some("0"), 5_000), (None, 0), (None, 5_000)] {
        let name = format!("on {}, {pace} a second", cores.unwrap_or("all"));
        if !"queries".contains(row) && !name.contains(row) {
            continue;
        }
        let server = Server::start(cores);
        server.call(&instances());
        let prober = Prober::start(&server);
        if pace == 0 {
            #[expect(clippy::disallowed_methods, reason = "questions are asked meanwhile")]
            std::thread::sleep(time);
        } else {
            load::run(&server, Plan { connections: 64, request: change, pace: Some(pace) }, time);
        }
        let took = prober.stop();
        let [p50, p99, max] = [took.p50, took.p99, took.max].map(|took| took.as_micros());
        println!("{name:<24} {p50:>8} {p99:>8} {max:>8}");
    }
}

/// 1,000 services of 4 instances.
fn instances() -> Call {
    let item = |i: u32| {
        let (service, n) = (i / 4, i % 4);
        let fields = format!(r#""addresses":["10.0.0.{n}"],"port":80,"ttl":"10m""#);
        format!(r#"{{"service":"s{service}","id":"c{n}",{fields}}}"#)
    };
    let items: Vec<String> = (0..4_000).map(item).collect();
    Call::with("POST", "/v1/batch", &format!(r#"{{"register":[{}]}}"#, items.join(",")))
}

/// Each turn is a new instance of one of the services, or in later rounds a change of one.
fn register(connection: u64, turn: u64) -> Call {
    let (service, weight) = (turn % 1_000, turn % 65_535 + 1);
    let path = format!("/v1/services/s{service}/instances/i{connection}");
    let body = format!(r#"{{"addresses":["10.0.0.1"],"port":8080,"weight":{weight}}}"#);
    Call::with("PUT", &path, &body)
}

/// A change of one of [`instances`], each time of another service.
fn change(connection: u64, turn: u64) -> Call {
    let (service, n, weight) = ((turn * 64 + connection) % 1_000, turn % 4, turn % 65_535 + 1);
    let path = format!("/v1/services/s{service}/instances/c{n}");
    let body = format!(r#"{{"addresses":["10.0.0.{n}"],"port":80,"weight":{weight}}}"#);
    Call::with("PUT", &path, &body)
}

/// A renewal of one of [`instances`].
fn heartbeat(connection: u64, turn: u64) -> Call {
    let (service, n) = ((turn * 64 + connection) % 1_000, turn % 4);
    Call::new("PUT", &format!("/v1/services/s{service}/instances/c{n}/heartbeat"))
}

/// Renewals of all [`instances`], and of some again.
fn heartbeats(_: u64, _: u64) -> Call {
    let item = |i| format!(r#"{{"service":"s{}","id":"c{}"}}"#, i / 4 % 1_000, i % 4);
    let items: Vec<String> = (0..BULK).map(item).collect();
    Call::with("POST", "/v1/heartbeats", &format!("[{}]", items.join(",")))
}

/// A row of the table of rates.
struct Row {
    write: &'static str,
    request: fn(u64, u64) -> Call,
    /// Writes in a request.
    items: u32,
    connections: u64,
}

const ROWS: [Row; 7] = [
    Row { write: "registration", request: register, items: 1, connections: 1 },
    Row { write: "registration", request: register, items: 1, connections: 64 },
    Row { write: "registration", request: register, items: 1, connections: 256 },
    Row { write: "heartbeat", request: heartbeat, items: 1, connections: 1 },
    Row { write: "heartbeat", request: heartbeat, items: 1, connections: 64 },
    Row { write: "heartbeat", request: heartbeat, items: 1, connections: 256 },
    Row { write: "bulk heartbeat", request: heartbeats, items: BULK, connections: 1 },
];

/// Items in a call of many.
const BULK: u32 = 10_000;
