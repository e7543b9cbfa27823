//! An HTTP server that does one request at a time, and takes its time for each.
//!
//! It goes by when a request is to be done, not by how long it slept: a machine that wakes it late
//! makes neither its line longer nor its utilisation higher.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

use crate::support::now;

/// One that runs until it is killed.
pub(crate) struct Instance {
    pub(crate) work: Arc<Work>,
    task: JoinHandle<()>,
}

/// What it has done since it was started.
#[derive(Debug, Default)]
pub(crate) struct Work {
    busy: AtomicU64,
    completed: AtomicU64,
    connections: AtomicU64,
}

/// The same at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    /// How long it has worked, by what its requests take.
    pub(crate) busy: Duration,
    /// How many requests it has answered.
    pub(crate) completed: u64,
    /// How many clients wait or are served.
    pub(crate) connections: u64,
}

impl Work {
    pub(crate) fn done(&self) -> Done {
        Done {
            busy: Duration::from_nanos(self.busy.load(Ordering::Relaxed)),
            completed: self.completed.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }
}

impl Instance {
    /// Listens here and takes `service` for a request, a fifth more or less.
    pub(crate) async fn start(address: SocketAddr, service: Duration) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let work = Arc::new(Work::default());
        let task = tokio::spawn(run(listener, service, Arc::clone(&work)));
        Self { work, task }
    }

    /// Ends it as a crash would: its port is closed, whoever waits is cut off.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }
}

/// Clients wait in a line, and one at a time is served.
async fn run(listener: TcpListener, service: Duration, work: Arc<Work>) {
    let (line, mut waiting) = unbounded_channel();
    let door = async {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            work.connections.fetch_add(1, Ordering::Relaxed);
            line.send((client, now())).unwrap();
        }
    };
    let worker = async {
        let mut rng = SmallRng::seed_from_u64(listener.local_addr().unwrap().port().into());
        let mut free = now();
        while let Some((client, came)) = waiting.recv().await {
            let takes = service.mul_f64(rng.random_range(0.8..1.2));
            free = free.max(came) + takes;
            tokio::time::sleep_until(free.into()).await;
            work.busy.fetch_add(u64::try_from(takes.as_nanos()).unwrap(), Ordering::Relaxed);
            work.completed.fetch_add(1, Ordering::Relaxed);
            reply(client).await;
            work.connections.fetch_sub(1, Ordering::Relaxed);
        }
    };
    tokio::join!(door, worker);
}

/// Reads what the client has sent meanwhile and answers. One that has gone is none of its business.
async fn reply(mut client: TcpStream) {
    let mut request = [0; 512];
    if client.read(&mut request).await.is_ok() {
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        client.write_all(reply).await.ok();
    }
}
