//! What a registry costs as it grows: 10 instances a service, from 10 to 1,000,000 of them.

use std::io;
use std::time::Duration;

use crate::data::{Data, Set};
use crate::flood::{Flood, Until};
use crate::process::Process;
use crate::servers::nsd_with_addresses;
use crate::writes::{Registry, Work, requests, write};

/// A registry of one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) data: Data,
    /// Seconds of the processor for a query: of signpost, and of NSD with the same addresses.
    pub(crate) cpu: f64,
    pub(crate) nsd: Option<f64>,
    /// Seconds of the processor for a registration.
    pub(crate) registration: f64,
    /// Bytes for an instance, more than without any: once all are registered, and after a restart.
    pub(crate) registered: f64,
    pub(crate) loaded: f64,
    /// From the start of the process until it is ready.
    pub(crate) ready: Duration,
}

/// What a query for 8 of a service costs: with 10 instances, and with 10,000.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subset {
    pub(crate) small: f64,
    pub(crate) large: f64,
}

/// Measures one size, for so long each.
///
/// # Errors
/// When a server fails.
pub(crate) fn measure(services: usize, time: Duration, with_nsd: bool) -> io::Result<Size> {
    let data = Data { services, instances: INSTANCES };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut registry = Registry::start("embedded", SETTINGS)?;
    let empty = registry.process.memory();
    runtime.block_on(registry.fill(data))?;
    registry.process.settle();
    let registered = registry.process.memory();
    let ready = registry.restart()?;
    registry.process.settle();
    let loaded = registry.process.memory();
    let cpu = per_query(&registry.process, registry.dns, data, Set::All, time)?;
    let target = (registry.http, Work::Registration, CONNECTIONS);
    let registration =
        runtime.block_on(write(&registry.process, target, time, requests(Work::Registration)))?;
    drop(registry);
    let nsd = with_nsd.then(|| {
        let nsd = nsd_with_addresses(data)?;
        per_query(&nsd.process, nsd.dns, data, Set::All, time)
    });
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let each = |memory: u64| memory.saturating_sub(empty) as f64 / (services * INSTANCES) as f64;
    Ok(Size {
        data,
        cpu,
        nsd: nsd.transpose()?,
        registration: registration.cpu,
        registered: each(registered),
        loaded: each(loaded),
        ready,
    })
}

/// Measures what a sample costs.
///
/// # Errors
/// When the server fails.
pub(crate) fn subset(time: Duration) -> io::Result<Subset> {
    let cost = |instances| {
        let data = Data { services: 1, instances };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let registry = Registry::start("memory", "[defaults]\nanswer = \"subset\"\n")?;
        runtime.block_on(registry.fill(data))?;
        per_query(&registry.process, registry.dns, data, Set::Sample, time)
    };
    Ok(Subset { small: cost(INSTANCES)?, large: cost(10_000)? })
}

fn per_query(
    process: &Process,
    dns: std::net::SocketAddr,
    data: Data,
    set: Set,
    time: Duration,
) -> io::Result<f64> {
    process.settle();
    let mut flood = Flood::new(dns, data.questions(set))?;
    flood.run(Until::After(time / 4))?;
    let before = process.cpu();
    let tally = flood.run(Until::After(time))?;
    if tally.wrong > 0 || tally.answered == 0 {
        return Err(io::Error::other(format!("{data:?}: {tally:?}")));
    }
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    let cpu = (process.cpu() - before).as_secs_f64() / tally.answered as f64;
    Ok(cpu)
}

/// Writes the table to stdout.
#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
pub(crate) fn print(sizes: &[Size], subset: Option<&Subset>) {
    if !sizes.is_empty() {
        println!(
            "{:>9} {:>9} {:>10} {:>10} {:>12} {:>11} {:>11} {:>8}",
            "services",
            "instances",
            "query us",
            "NSD us",
            "register us",
            "B/instance",
            "restarted",
            "ready s"
        );
    }
    for size in sizes {
        let nsd = size.nsd.map_or_else(|| "-".to_owned(), |cpu| format!("{:.2}", cpu * 1e6));
        println!(
            "{:>9} {:>9} {:>10.2} {nsd:>10} {:>12.1} {:>11.0} {:>11.0} {:>8.2}",
            size.data.services,
            size.data.services * size.data.instances,
            size.cpu * 1e6,
            size.registration * 1e6,
            size.registered,
            size.loaded,
            size.ready.as_secs_f64(),
        );
    }
    if let Some(Subset { small, large }) = subset {
        println!(
            "8 of a service: {:.2} us of the processor among 10, {:.2} us among 10,000",
            small * 1e6,
            large * 1e6
        );
    }
    println!();
}

/// Of each service.
const INSTANCES: usize = 10;
/// Of the load of registrations.
const CONNECTIONS: usize = 64;
/// All ten in an answer, as NSD has it; and room for what is registered on top of a million.
const SETTINGS: &str = "[defaults]\nanswer = \"all\"\n\
                        [limits]\ninstances = 2_000_000\nservices = 200_000\n";
