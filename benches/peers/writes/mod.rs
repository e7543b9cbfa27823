//! Writes: signpost's embedded store beside etcd, on the same disk and cores, over as many
//! connections with the same client.

mod caller;
mod etcd;
mod registry;
mod table;
mod work;

use std::io;
use std::time::Duration;

use crate::needs;
use crate::options::Options;
pub(crate) use caller::Caller;
pub(crate) use registry::{Registry, body, put, requests};
pub(crate) use table::{Written, print, rate};
pub(crate) use work::{Work, run as write};

/// Runs all rounds of writes. One that fails is named and left out.
#[expect(clippy::print_stderr, reason = "progress of a benchmark")]
pub(crate) fn run(options: &Options) -> Written {
    let mut written = Written::default();
    for round in 0..options.rounds {
        for work in Work::ALL {
            if work == Work::Put && !needs::has(etcd::PROGRAM) || !options.wants(work.name()) {
                continue;
            }
            for connections in work.connections() {
                eprint!("\rround {} of {}: {:<24}", round + 1, options.rounds, work.name());
                match turn(work, connections, options.time()) {
                    Ok(turn) => written.entry((work, connections)).or_default().push(turn),
                    Err(error) => eprintln!("\n{}: {error}", work.name()),
                }
            }
        }
    }
    eprint!("\r{:60}\r", "");
    written
}

/// Where etcd is looked for, and what has it.
pub(crate) const ETCD: (&str, &[&str]) = (etcd::PROGRAM, &["etcd-server"]);

/// What came of one kind of write in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Writes per second.
    pub(crate) rate: f64,
    /// Seconds of the processor for a write.
    pub(crate) cpu: f64,
    /// Seconds from request to reply.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

fn turn(work: Work, connections: usize, time: Duration) -> io::Result<Turn> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if work == Work::Put {
        let etcd = etcd::Etcd::start()?;
        runtime.block_on(async {
            let (address, process) = (etcd.address, &etcd.process);
            let leases = etcd::grant(address, connections).await?;
            let puts =
                move |connection: usize, turn| etcd::put(leases[connection], connection, turn);
            work::run(process, (address, work, connections), time, puts).await
        })
    } else {
        let registry = Registry::start("embedded", "")?;
        runtime.block_on(async {
            let (address, process) = (registry.http, &registry.process);
            registry::prepare(address, work, connections).await?;
            let requests = requests(work);
            work::run(process, (address, work, connections), time, requests).await
        })
    }
}
