//! What is written, and the closed loop that writes it: each connection has one request on its way.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock::now;
use crate::process::Process;
use crate::writes::Turn;
use crate::writes::caller::Caller;

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// etcd: a key with a lease.
    Put,
    /// signpost: an instance that is new or has changed.
    Registration,
    /// signpost: one renewal in a request.
    Heartbeat,
    /// signpost: many renewals in a request.
    Bulk,
}

impl Work {
    pub(crate) const ALL: [Self; 4] = [Self::Put, Self::Registration, Self::Heartbeat, Self::Bulk];

    /// What the table and `--only` call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put => "etcd put",
            Self::Registration => "registration",
            Self::Heartbeat => "heartbeat",
            Self::Bulk => "heartbeats in bulk",
        }
    }

    /// With how many connections it is tried.
    pub(crate) fn connections(self) -> Vec<usize> {
        if self == Self::Bulk { vec![4] } else { vec![64, 256] }
    }

    /// Writes in a request.
    pub(crate) fn size(self) -> usize {
        if self == Self::Bulk { BULK } else { 1 }
    }

    async fn connect(self, server: SocketAddr) -> io::Result<Caller> {
        if self == Self::Put { Caller::http2(server).await } else { Caller::http1(server).await }
    }
}

/// Writes for so long, after a while that does not count. `request` makes the request of a
/// connection's so-and-so-many-th turn.
///
/// # Errors
/// When a write fails.
pub(crate) async fn run(
    process: &Process,
    (server, work, connections): (SocketAddr, Work, usize),
    time: Duration,
    request: impl Fn(usize, u64) -> Request<Full<Bytes>> + Send + Sync + 'static,
) -> io::Result<Turn> {
    let (shared, request) = (Arc::new(Shared::default()), Arc::new(request));
    let mut loops = JoinSet::new();
    for connection in 0..connections {
        let caller = work.connect(server).await?;
        let (shared, request) = (Arc::clone(&shared), Arc::clone(&request));
        loops.spawn(async move { shared.repeat(caller, |turn| request(connection, turn)).await });
    }
    sleep(time / 4).await;
    shared.take();
    let (start, before) = (now(), process.cpu());
    sleep(time).await;
    let (elapsed, cpu, times) = (start.elapsed(), process.cpu() - before, shared.take());
    shared.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = loops.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    Ok(turn(work, elapsed, cpu, times))
}

/// What the loops of all connections have in common.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    times: Mutex<Vec<Duration>>,
}

impl Shared {
    async fn repeat(
        &self,
        mut caller: Caller,
        request: impl Fn(u64) -> Request<Full<Bytes>>,
    ) -> io::Result<()> {
        let mut turn = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let start = now();
            caller.call(request(turn)).await?;
            self.times.lock().expect("no loop panics").push(start.elapsed());
            turn += 1;
        }
        Ok(())
    }

    /// The times of the requests since the last call.
    fn take(&self) -> Vec<Duration> {
        mem::take(&mut *self.times.lock().expect("no loop panics"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn turn(work: Work, elapsed: Duration, cpu: Duration, mut times: Vec<Duration>) -> Turn {
    times.sort_unstable();
    let writes = (times.len() * work.size()) as f64;
    let quantile =
        |part: usize| times.get(times.len() * part / 100).map_or(f64::NAN, Duration::as_secs_f64);
    Turn {
        rate: writes / elapsed.as_secs_f64(),
        cpu: cpu.as_secs_f64() / writes,
        p50: quantile(50),
        p99: quantile(99),
    }
}

/// Heartbeats in a request: as many as one may hold.
const BULK: usize = 10_000;
