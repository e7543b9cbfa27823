//! signpost beside other servers that do the same work, on this machine, in one table.
//!
//! `cargo bench --bench peers [-- --install --rounds 5 --only NSD,round_robin]`
//!
//! Each server gets the same names and addresses, one thread and one core; the load has the other.
//! What is not installed is named and left out. Compare the figures of one run with each other.

mod asker;
mod cores;
mod data;
mod flood;
mod instructions;
mod latency;
mod needs;
mod options;
mod probe;
mod process;
mod reply;
mod rounds;
mod servers;
mod table;

use data::Data;
use options::Options;
use servers::Server;

fn main() {
    let mut options = Options::read();
    if !options.bench {
        // `cargo test --benches` only wants to see it start.
        return;
    }
    cores::pin_load();
    if !needs::has(VALGRIND) {
        install_or_name(&options, "valgrind", &["valgrind"]);
        options.no_instructions |= !needs::has(VALGRIND);
    }
    let data = Data { services: 1_000, instances: 4 };
    let servers: Vec<Server> = Server::all()
        .into_iter()
        .filter(|server| options.wants(server.name()))
        .filter(|server| {
            let (program, packages) = server.program();
            if !needs::has(program) {
                install_or_name(&options, server.name(), packages);
            }
            needs::has(program)
        })
        .collect();
    let rows = rounds::run(&servers, data, &options);
    table::print(&rows);
}

/// Installs what is missing if that is wanted; else says that it is left out.
#[expect(clippy::print_stderr, reason = "progress of a benchmark")]
fn install_or_name(options: &Options, name: &str, packages: &[&str]) {
    if !options.install {
        eprintln!("{name} is not here and left out; --install installs {}", packages.join(" "));
    } else if let Err(error) = needs::install(packages) {
        eprintln!("{name} is left out: {error}");
    }
}

const VALGRIND: &str = "/usr/bin/valgrind";
