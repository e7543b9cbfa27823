//! What the engine is asked, and what it answers.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::{
    Author, Commit, CommitError, InstanceId, Label, Load, Millis, Network, Outcome, Revision,
    ServiceName, Status,
};
use crate::registry::capture::Capture;
use crate::registry::checks::CheckView;
use crate::registry::instance::InstanceView;
use crate::registry::narrow::Narrow;
use crate::registry::outliers::Outcomes;
use crate::registry::plan::{Policy, Write};
use crate::registry::refusal::Refusal;
use crate::registry::reply::Reply;

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
    Write(Author, Box<Write>, Reply),
    Renew(Author, Vec<Renewal>, oneshot::Sender<Result<Vec<Renewed>, Refusal>>),
    Observe(Vec<Observation>, oneshot::Sender<Result<(), Refusal>>),
    Report(
        Author,
        ServiceName,
        Vec<Outcome>,
        oneshot::Sender<Result<Vec<(InstanceId, bool)>, Refusal>>,
    ),
    Outcomes(ServiceName, oneshot::Sender<Result<Vec<Outcomes>, Refusal>>),
    Reload {
        author: Author,
        policy: Box<Policy>,
        statics_changed: bool,
        reply: oneshot::Sender<Result<Reloaded, Refusal>>,
    },
    Cover(Vec<Network>, oneshot::Sender<Result<(), Refusal>>),
    Capture(oneshot::Sender<Result<Capture, Refusal>>),
    ShutDown(oneshot::Sender<Revision>),
}

impl Command {
    /// How much work it is: its items, at least one.
    pub(crate) fn size(&self) -> usize {
        let items = match self {
            Self::Write(_, write, _) => write.size(),
            Self::Renew(_, renewals, _) => renewals.len(),
            Self::Observe(observations, _) => observations.len(),
            Self::Report(_, _, outcomes, _) => outcomes.len(),
            Self::Outcomes(..)
            | Self::Reload { .. }
            | Self::Cover(..)
            | Self::Capture(_)
            | Self::ShutDown(_) => 1,
        };
        items.max(1)
    }
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

impl Renewal {
    /// Whether it comes from who registered `view`, as far as it says.
    pub(crate) fn is_of(&self, view: &InstanceView) -> bool {
        self.generation.is_none_or(|given| given == view.generation)
    }

    /// What to tell of it, when `view` is what is registered.
    pub(crate) fn outcome(&self, view: Option<&InstanceView>, now: Millis) -> Renewed {
        match view {
            None => Renewed::Unknown,
            Some(view) if !self.is_of(view) => Renewed::Owned,
            Some(view) => Renewed::Until(view.remaining(now)),
        }
    }
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
    /// It belongs to somebody else.
    OwnedBy(Label),
}

/// What a check of an instance says now.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub id: InstanceId,
    /// The registration that was checked; of a later one nothing is known by it.
    pub generation: u64,
    /// The check.
    pub check: CheckView,
}

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloaded {
    /// The registry's revision with it.
    pub revision: Revision,
    /// Whether any service, instance or static record is different.
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
    /// Views built: one for each service that a batch of changes, or load, has moved.
    pub views_built: AtomicU64,
    /// Instances known.
    pub instances: AtomicU64,
    /// Services in panic.
    pub services_in_panic: AtomicU64,
    /// Services whose answers hold too few instances.
    pub narrow: Narrow,
    /// Outcomes that clients reported.
    pub outcomes: AtomicU64,
    /// Instances ejected since clients reported failures in a row.
    pub ejected_for_failures: AtomicU64,
    /// Instances ejected since they failed far more often than others.
    pub ejected_for_success_rate: AtomicU64,
    /// Ejections that did not happen, since so many were ejected already.
    pub ejections_held: AtomicU64,
    /// Instances that are ejected now.
    pub ejected: AtomicU64,
    /// Instances that are suspect now.
    pub suspect: AtomicU64,
    /// Services that lost too many leases together, each time that one did.
    pub protections: AtomicU64,
}
