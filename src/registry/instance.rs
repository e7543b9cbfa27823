//! What readers see of one instance: how it is now, and what changes of it without a new view (the
//! end of its lease, its load), in atomics that all its views share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::balance::meter::{LazyMeter, Meter};
use crate::model::{Admin, Instance, Load, Millis, Revision, Status};
use crate::registry::checks::CheckView;
use crate::registry::observed::Observed;
use crate::registry::owners::OwnerNumber;

/// Who says that an instance exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Registered by API.
    Api,
    /// Declared in the configuration file.
    File,
}

/// An instance as it is now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InstanceView {
    /// Its fields; for a declared one with the operator's admin and status in their place.
    pub instance: Arc<Instance>,
    /// Who says that it exists.
    pub source: Source,
    /// Handed out to the client that registered it; 0 for a declared one.
    pub generation: u64,
    /// Who owns it; `None` where nobody had to say who they are, and of a declared one.
    pub owner: Option<OwnerNumber>,
    /// The revision of its last change.
    pub revision: Revision,
    /// Its lease ended; only declared instances outlive that.
    pub lapsed: bool,
    /// What this server found out about it; `None` when that is nothing.
    pub observed: Option<Arc<Observed>>,
    /// What changes without a new view.
    pub vitals: Arc<Vitals>,
}

impl InstanceView {
    /// Whether it may be answered.
    #[must_use]
    pub fn usable(&self) -> bool {
        !self.lapsed
            && self.instance.admin == Admin::Enabled
            && self.instance.status != Status::Critical
            && self.observed.iter().all(|observed| observed.reasons().next().is_none())
    }

    /// Why it is not usable; empty when it is.
    #[must_use]
    pub fn reasons(&self) -> Vec<&'static str> {
        let admin = match self.instance.admin {
            Admin::Enabled => None,
            Admin::Draining => Some("draining"),
            Admin::Disabled => Some("disabled"),
        };
        let status = (self.instance.status == Status::Critical).then_some("critical");
        let lease = self.lapsed.then_some("lease expired");
        let found = self.observed.iter().flat_map(|observed| observed.reasons());
        [lease, admin, status].into_iter().flatten().chain(found).collect()
    }

    /// How many bytes of metadata it has that count: of a declared one none do.
    pub(crate) fn metadata_size(&self) -> usize {
        match self.source {
            Source::Api => self.instance.metadata.size(),
            Source::File => 0,
        }
    }

    /// Its checks and what they say.
    #[must_use]
    pub fn checks(&self) -> &[CheckView] {
        self.observed.as_deref().map_or(&[], |observed| &observed.checks)
    }

    /// Takes note of a heartbeat that was read `at` this time.
    pub(crate) fn hear(&self, at: Millis) {
        self.checks().iter().for_each(|view| view.hear(at));
    }

    /// Makes the last heartbeat one that came `at` this time, if any came.
    pub(crate) fn hear_again(&self, at: Millis) {
        let heard = self.checks().iter().filter(|view| view.latest.at().is_some());
        heard.for_each(|view| view.hear(at));
    }

    /// What is left of its lease; `None` when it has none.
    #[must_use]
    pub fn remaining(&self, now: Millis) -> Option<Duration> {
        self.vitals.deadline().map(|deadline| deadline.since(now))
    }

    /// Its last load report.
    #[must_use]
    pub fn load(&self) -> Option<Load> {
        self.vitals.meter.reported().map(|report| report.load)
    }
}

/// The part of an instance that heartbeats move: shared by all its views, read without waiting.
#[derive(Debug)]
pub struct Vitals {
    deadline: AtomicU64,
    scheduled: AtomicU64,
    withdrawn: AtomicU64,
    pub(crate) meter: LazyMeter,
}

impl Vitals {
    pub(crate) fn new() -> Self {
        let never = || AtomicU64::new(Millis::NEVER.0);
        Self {
            deadline: never(),
            scheduled: never(),
            withdrawn: AtomicU64::new(0),
            meter: LazyMeter::default(),
        }
    }

    /// Its load, and what was handed out since it was reported.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        self.meter.meter()
    }

    /// When the lease ends; `None` without one.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let deadline = Millis(self.deadline.load(Ordering::Relaxed));
        (deadline != Millis::NEVER).then_some(deadline)
    }

    pub(crate) fn set_deadline(&self, deadline: Option<Millis>) {
        self.deadline.store(deadline.unwrap_or(Millis::NEVER).0, Ordering::Relaxed);
    }

    /// When it was last taken out of the answers; zero when it never was in any.
    pub(crate) fn withdrawn(&self) -> Millis {
        Millis(self.withdrawn.load(Ordering::Relaxed))
    }

    /// Notes that from `now` on it is not answered.
    pub(crate) fn withdraw(&self, now: Millis) {
        self.withdrawn.store(now.0, Ordering::Relaxed);
    }

    /// When the timer looks at this lease next. Only the engine reads and writes it.
    pub(crate) fn scheduled(&self) -> Millis {
        Millis(self.scheduled.load(Ordering::Relaxed))
    }

    pub(crate) fn set_scheduled(&self, at: Millis) {
        self.scheduled.store(at.0, Ordering::Relaxed);
    }
}
