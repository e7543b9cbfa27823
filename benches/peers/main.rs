//! signpost beside other servers that do the same work, on this machine, in one table.
//!
//! `cargo bench --bench peers [-- --install --plot --rounds 5 --only NSD,round_robin]`
//!
//! Each server gets the same names and addresses, one thread and one core; the load has the other.
//! What is not installed is named and left out. Compare the figures of one run with each other.

mod asker;
mod clock;
mod cores;
mod data;
mod disturbed;
mod flood;
mod instructions;
mod latency;
mod needs;
mod options;
mod plot;
mod probe;
mod process;
mod reply;
mod results;
mod rounds;
mod scale;
mod servers;
mod table;
mod targets;
mod visible;
mod writes;

use std::fs;
use std::io;

use data::Data;
use options::Options;
use results::Results;
use servers::Server;

fn main() {
    let mut options = Options::read();
    if !options.bench {
        // `cargo test --benches` only wants to see it start.
        return;
    }
    let servers = prepare(&mut options);
    cores::pin_load();
    let mut results = Results { rows: rounds::run(&servers, DATA, &options), ..Results::default() };
    table::print(&results.rows);
    results.written = writes::run(&options);
    writes::print(&results.written);
    if options.wants("visible") {
        results.visible = named(visible::measure(REGISTRATIONS));
    }
    for _ in (0..options.rounds).filter(|_| options.wants("disturbed")) {
        results.disturbed.extend(named(disturbed::measure(options.time())));
    }
    table::print_times(&results);
    let mut subset = None;
    if options.plot {
        subset = named(scale::subset(options.time()));
        grow(&mut results, &options);
        scale::print(&results.sizes, subset.as_ref());
    }
    targets::print(&targets::all(&results, subset.as_ref()));
    said(named(results.save()).map(|file| file.display().to_string()));
}

/// Which servers there are to compare, once what is missing and wanted is installed.
fn prepare(options: &mut Options) -> Vec<Server> {
    let wanted = |server: &Server| options.wants(server.name());
    let mut servers: Vec<Server> = Server::all().into_iter().filter(wanted).collect();
    servers.retain(|server| {
        let (program, packages) = server.program();
        there(options.install, server.name(), program, packages)
    });
    if options.wants(writes::Work::Put.name()) {
        let (etcd, packages) = writes::ETCD;
        there(options.install, "etcd", etcd, packages);
    }
    if !options.no_instructions && !servers.is_empty() {
        options.no_instructions = !there(options.install, "valgrind", VALGRIND, &["valgrind"]);
    }
    servers
}

/// Whether a program is there, once it was installed if that is wanted.
#[expect(clippy::print_stderr, reason = "progress of a benchmark")]
fn there(install: bool, name: &str, program: &str, packages: &[&str]) -> bool {
    if needs::has(program) {
        return true;
    }
    if !install {
        eprintln!("{name} is not here and left out; --install installs {}", packages.join(" "));
    } else if let Err(error) = needs::install(packages) {
        eprintln!("{name} is left out: {error}");
    }
    needs::has(program)
}

/// Measures registries of all sizes, and draws them once the largest is among them.
#[expect(clippy::print_stderr, reason = "progress of a benchmark")]
fn grow(results: &mut Results, options: &Options) {
    let with_nsd = needs::has(Server::Nsd.program().0);
    for services in [1, 10, 100, 1_000, 10_000, 100_000] {
        eprint!("\r{services} services of 10 instances      ");
        results.sizes.extend(named(scale::measure(services, options.time(), with_nsd)));
    }
    eprint!("\r{:60}\r", "");
    named(fs::write(PICTURE, plot::svg(&results.sizes)));
}

/// What was measured; else says why not.
#[expect(clippy::print_stderr, reason = "progress of a benchmark")]
fn named<T>(measured: io::Result<T>) -> Option<T> {
    measured.inspect_err(|error| eprintln!("{error}")).ok()
}

/// Says where the results are.
#[expect(clippy::print_stderr, reason = "progress of a benchmark")]
fn said(file: Option<String>) {
    eprintln!("{}", file.unwrap_or_default());
}

/// What the servers of the first table serve.
const DATA: Data = Data { services: 1_000, instances: 4 };
/// How many registrations are timed one by one.
const REGISTRATIONS: usize = 2_000;
const VALGRIND: &str = "/usr/bin/valgrind";
/// What is drawn.
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cost.svg");
