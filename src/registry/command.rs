//! What the engine is asked, and what it answers.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::{
    Commit, CommitError, InstanceId, Load, Millis, Revision, ServiceName, Settings, Status,
};
use crate::registry::plan::{Policy, Write};
use crate::registry::refusal::Refusal;
use crate::registry::view::InstanceView;

/// A batch for the store, and where to say what became of it.
#[derive(Debug)]
pub struct PersistRequest {
    /// What to make durable.
    pub commit: Commit,
    /// Told once it is durable, or why it is not.
    pub done: oneshot::Sender<Result<(), CommitError>>,
}

/// What the engine is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Write(Box<Write>, Reply),
    Renew(Vec<Renewal>, oneshot::Sender<Result<Vec<Renewed>, Refusal>>),
    Reload(Box<Policy>, oneshot::Sender<Result<Reloaded, Refusal>>),
    ShutDown(oneshot::Sender<Revision>),
}

/// Who waits for a write, and for what.
#[derive(Debug)]
pub(crate) enum Reply {
    Instance(ServiceName, InstanceId, oneshot::Sender<Result<Written, Refusal>>),
    Settings(ServiceName, oneshot::Sender<Result<(Settings, Revision), Refusal>>),
    Revision(oneshot::Sender<Result<Revision, Refusal>>),
    Renewed(Vec<Renewed>, oneshot::Sender<Result<Vec<Renewed>, Refusal>>),
}

/// An instance as a write left it.
#[derive(Debug, Clone)]
pub struct Written {
    /// The instance.
    pub instance: InstanceView,
    /// The registry's revision with this write.
    pub revision: Revision,
    /// Whether it was not there before.
    pub created: bool,
    /// For one that is draining or disabled: how long caches that keep TTLs may still hold it.
    pub safe_in: Option<Duration>,
}

/// A heartbeat.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub id: InstanceId,
    /// What the registration handed out; a stale one is refused.
    pub generation: Option<u64>,
    /// A new status.
    pub status: Option<Status>,
    /// A load report.
    pub load: Option<Load>,
    /// When the heartbeat was read.
    pub read_at: Millis,
}

/// What became of a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewed {
    /// The lease runs this long from now; `None` without one.
    Until(Option<Duration>),
    /// Nothing of this name is registered: register again.
    Unknown,
    /// The generation is over.
    Owned,
}

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloaded {
    /// The registry's revision with it.
    pub revision: Revision,
    /// Whether any service or instance is different.
    pub changed: bool,
}

/// Counters that only the engine moves. Read by metrics.
#[derive(Debug, Default)]
pub struct EngineStats {
    /// Registered instances whose lease ended.
    pub expired: AtomicU64,
    /// The longest that any expiry was late, in milliseconds, since the last look.
    pub expiry_lag_ms: AtomicU64,
    /// Batches made durable.
    pub commits: AtomicU64,
    /// Batches that the store refused.
    pub commit_failures: AtomicU64,
    /// 1 while the store cannot write.
    pub degraded: AtomicU64,
    /// Heartbeats taken.
    pub renewals: AtomicU64,
    /// Times that the process found itself stopped, and gave every lease a fresh ttl.
    pub stalls: AtomicU64,
    /// Instances known.
    pub instances: AtomicU64,
}

impl Reply {
    /// Tells that the write did not happen.
    pub(crate) fn refuse(self, refusal: Refusal) {
        // Whoever asked may have gone away.
        match self {
            Self::Instance(_, _, reply) => drop(reply.send(Err(refusal))),
            Self::Settings(_, reply) => drop(reply.send(Err(refusal))),
            Self::Revision(reply) => drop(reply.send(Err(refusal))),
            Self::Renewed(_, reply) => drop(reply.send(Err(refusal))),
        }
    }
}
