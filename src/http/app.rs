//! What the handlers share: the registry, the limits in force, and what other layers do for them.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use utoipa::ToSchema;

use crate::http::budget::Budget;
use crate::http::guard::Access;
use crate::http::metrics::Metrics;
use crate::http::openapi::Published;
use crate::http::pace::Pace;
use crate::http::problem::{Problem, ProblemKind};
use crate::model::{Author, InstanceId, Limit, Limits, Revision, ServiceName};
use crate::net::connections::Connections;
use crate::registry::{Refusal, Registry};
use crate::resolve::Resolution;

/// The state of the side-port.
pub struct App {
    pub(crate) registry: Registry,
    pub(crate) limits: Arc<ArcSwap<Limits>>,
    pub(crate) access: Arc<Access>,
    pub(crate) hooks: Hooks,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: watch::Receiver<bool>,
    pub(crate) connections: Connections,
    /// Made when somebody asks for it.
    pub(crate) published: OnceLock<Published>,
    pub(crate) pace: Pace,
    pub(crate) budget: Arc<Budget>,
    watchers: AtomicUsize,
    /// Those of them that are strangers'.
    strangers: AtomicUsize,
    asides: Semaphore,
    /// Who takes a snapshot holds what has changed since in memory: there is one at a time.
    pub(crate) snapshots: Arc<Semaphore>,
}

impl App {
    /// A side-port to `registry` for who has `access`, held to `limits` as they are at each moment.
    /// Everything that waits ends when `shutdown` turns true.
    #[must_use]
    pub fn new(
        registry: Registry,
        limits: Arc<ArcSwap<Limits>>,
        access: Arc<Access>,
        hooks: Hooks,
        metrics: Arc<Metrics>,
        shutdown: watch::Receiver<bool>,
    ) -> Arc<Self> {
        // Clients of the side-port often share an address: that of a proxy, or this machine's.
        let connections = Connections::new(limits.load().connections, usize::MAX);
        Arc::new(Self {
            registry,
            limits,
            access,
            hooks,
            metrics,
            shutdown,
            connections,
            published: OnceLock::new(),
            pace: Pace::new(rand::random()),
            budget: Arc::default(),
            watchers: AtomicUsize::new(0),
            strangers: AtomicUsize::new(0),
            asides: Semaphore::new(ASIDES),
            snapshots: Arc::new(Semaphore::new(1)),
        })
    }

    /// A place among those who may watch or wait, until it is dropped. Half of them are not for a
    /// `stranger`.
    pub(crate) fn watcher(self: &Arc<Self>, stranger: bool) -> Result<Watcher, Problem> {
        let max = self.limits.load().watchers;
        let take = |places: &AtomicUsize, max: usize| {
            let free = |n: usize| (n < max).then_some(n + 1);
            let taken = places.fetch_update(Relaxed, Relaxed, free);
            taken.map_err(|_| Problem::from(Refusal::Limit { name: Limit::Watchers, max }))
        };
        take(&self.watchers, max)?;
        self.metrics.watchers.inc();
        let mut watcher = Watcher { app: Arc::clone(self), stranger: false };
        if stranger {
            take(&self.strangers, max.div_ceil(2))?;
            watcher.stranger = true;
        }
        Ok(watcher)
    }

    /// Does `work` here, or on a thread beside the runtime's when it is `large`: those answer DNS
    /// too, and must not be busy for longer than an answer may take.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        large: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        if !large {
            return Ok(work());
        }
        let failed = || Problem::new(ProblemKind::Unavailable, "the work was given up");
        // The semaphore is never closed; work fails only by panicking.
        let _permit = self.asides.acquire().await.map_err(|_| failed())?;
        tokio::task::spawn_blocking(work).await.map_err(|_| failed())
    }

    /// Returns when the server is going down.
    pub(crate) async fn going_down(&self) {
        // An error means that whoever could say so is gone, which says it too.
        self.shutdown.clone().wait_for(|down| *down).await.ok();
    }
}

/// One open watch or waiting read.
pub(crate) struct Watcher {
    app: Arc<App>,
    stranger: bool,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.stranger {
            self.app.strangers.fetch_sub(1, Relaxed);
        }
        self.app.watchers.fetch_sub(1, Relaxed);
        self.app.metrics.watchers.dec();
    }
}

/// What other layers do for the side-port.
pub struct Hooks {
    /// What DNS would say, and why.
    pub resolve: Box<dyn Fn(ResolveRequest) -> Result<Resolution, BadQuestion> + Send + Sync>,
    /// Reads the configuration file again and puts it in force, on somebody's behalf.
    pub reload: Box<dyn Fn(Author) -> ReloadFuture + Send + Sync>,
    /// All metrics as Prometheus text.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// What an instance's owner should know: that static records hide it from DNS.
    pub hidden: Box<Hidden>,
    /// Whether the store is loaded and the sockets are bound.
    pub ready: Box<dyn Fn() -> bool + Send + Sync>,
    /// What takes profiles; `None` in a build that takes none.
    pub profiler: Option<Box<Profiler>>,
    /// The apex that snapshots are of.
    pub zone: String,
}

/// Tells of an instance what hides it, if anything does.
pub type Hidden = dyn Fn(&ServiceName, &InstanceId) -> Option<String> + Send + Sync;

/// A reload that is under way.
pub type ReloadFuture = Pin<Box<dyn Future<Output = Result<ReloadReply, ReloadError>> + Send>>;

/// Takes a profile of this process, as a message of pprof's.
pub type Profiler = dyn Fn(ProfileRequest) -> ProfileFuture + Send + Sync;

/// A profile that is being taken; dropped, it ends.
pub type ProfileFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, ProfileError>> + Send>>;

/// What profile is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileRequest {
    /// How long it takes.
    pub time: Duration,
    /// Samples in each second of the processor's time.
    pub hz: u16,
}

/// Why there is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// There can be one at a time.
    #[error("another profile is being taken")]
    Busy,
    /// The system or the profiler refused.
    #[error("no profile could be taken: {0}")]
    Failed(String),
}

/// A question to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveRequest {
    /// The name, as given; not empty.
    pub name: String,
    /// The record type, as given; `A` when none was.
    pub qtype: String,
    /// On whose behalf; `None`: the server may choose.
    pub client: Option<IpAddr>,
}

/// A question that nobody could ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadQuestion {
    /// The query parameter at fault: `name`, `type` or `client`.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReloadReply {
    /// The registry's revision with it.
    pub revision: Revision,
    /// Whether any service, instance or static record is different.
    pub changed: bool,
    /// Keys that differ but hold only after a restart, e.g. `dns.listen`.
    pub needs_restart: Vec<String>,
}

/// Why a reload changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The file cannot be read or is not legal.
    #[error("{message}")]
    BadConfig {
        /// What is wrong and where: file, line, column.
        message: String,
        /// The key path, e.g. `services.web.balance`, where there is one.
        place: Option<String>,
    },
    /// The server is going down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::BadConfig { message, place } => {
                Self::at(ProblemKind::BadConfig, place, message)
            }
            ReloadError::ShuttingDown => Refusal::ShuttingDown.into(),
        }
    }
}

impl From<BadQuestion> for Problem {
    fn from(bad: BadQuestion) -> Self {
        Self::invalid(bad.field, &bad.reason)
    }
}

/// How many large requests are worked on at once; the others wait in line.
const ASIDES: usize = 2;
