//! What queries notice of changes: their times while nothing changes, and while 5,000 registrations
//! a second do, to the services that are asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::data::{Data, Set};
use crate::latency::Latencies;
use crate::writes::{Caller, Registry, body, put};

/// What was measured in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disturbed {
    /// Changes per second that there really were.
    pub(crate) changes: f64,
    /// The time that 99 of 100 queries do not exceed, without and with changes.
    pub(crate) idle: Duration,
    pub(crate) busy: Duration,
}

/// Measures both, for so long each.
///
/// # Errors
/// When a server or a call fails.
pub(crate) fn measure(time: Duration) -> io::Result<Disturbed> {
    let registry = Registry::start("embedded", "")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(registry.fill(DATA))?;
    registry.process.settle();
    let latencies = || {
        let latencies = Latencies::measure(registry.dns, DATA.questions(Set::All), QUERIES, time)?;
        latencies.quantile(990).ok_or_else(|| io::Error::other("no answers"))
    };
    let idle = latencies()?;
    let (stop, done) = (AtomicBool::new(false), Arc::new(AtomicU64::new(0)));
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            // On the core of both loads queries go first: they are what is timed.
            let _ = rustix::process::nice(LAST);
            runtime.block_on(change(registry.http, &stop, &done))
        });
        let before = done.load(Ordering::Relaxed);
        let busy = latencies();
        let changed = done.load(Ordering::Relaxed) - before;
        stop.store(true, Ordering::Relaxed);
        changes.join().map_err(|_| io::Error::other("the changes panicked"))??;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let changes = changed as f64 / time.as_secs_f64();
        Ok(Disturbed { changes, idle, busy: busy? })
    })
}

/// Changes the services that are asked for, at a fixed rate, until told to stop.
async fn change(http: SocketAddr, stop: &AtomicBool, done: &Arc<AtomicU64>) -> io::Result<()> {
    let mut connections = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (mut caller, done) = (Caller::http1(http).await?, Arc::clone(done));
        connections.spawn(async move {
            sleep(PERIOD / CONNECTIONS * connection).await;
            let mut ticks = interval(PERIOD);
            loop {
                ticks.tick().await;
                let turn = done.fetch_add(1, Ordering::Relaxed);
                let service = usize::try_from(turn).map_or(0, |turn| turn % DATA.services);
                let body = body(DATA.address(service, 0), turn);
                if let Err(error) = caller.call(put(&Data::service('s', service), "i0", body)).await
                {
                    return error;
                }
            }
        });
    }
    while !stop.load(Ordering::Relaxed) {
        if let Ok(ended) = timeout(PERIOD, connections.join_next()).await {
            return Err(ended.map_or_else(
                || io::ErrorKind::Other.into(),
                |error| error.unwrap_or_else(io::Error::other),
            ));
        }
    }
    Ok(())
}

const DATA: Data = Data { services: 1_000, instances: 4 };
/// Queries a second.
const QUERIES: u32 = 10_000;
/// 5,000 changes a second: each connection makes one in each period.
const CONNECTIONS: u32 = 50;
const PERIOD: Duration = Duration::from_millis(10);
/// The least that a thread can ask for.
const LAST: i32 = 19;
