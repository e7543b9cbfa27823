//! What is checked: one job for each check of each instance, as the views have them. An instance
//! without checks takes nothing here.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::health::schedule::Ticket;
use crate::health::trend::Trend;
use crate::model::{Check, Instance, InstanceId, Millis, ServiceName};
use crate::registry::{Basis, CheckView, InstanceView, Latest, Observation};

/// One check of one instance.
pub(super) struct Job {
    pub(super) service: ServiceName,
    pub(super) generation: u64,
    pub(super) instance: Arc<Instance>,
    pub(super) check: Arc<Check>,
    /// Where results are noted; also what tells this job from one that came before it.
    pub(super) latest: Arc<Latest>,
    pub(super) trend: Trend,
    /// Whether it was never done.
    pub(super) first: bool,
    /// The probe that is under way, or was last.
    pub(super) asking: Option<AbortHandle>,
}

/// Nobody waits for what is no longer wanted, so it keeps no place.
impl Drop for Job {
    fn drop(&mut self) {
        if let Some(asking) = &self.asking {
            asking.abort();
        }
    }
}

impl Job {
    /// What the registry is to be told: the state, since `now`.
    pub(super) fn observation(&self, now: Millis) -> Observation {
        let check = CheckView {
            check: Arc::clone(&self.check),
            state: self.trend.state(),
            basis: Basis::Known,
            since: now,
            latest: Arc::clone(&self.latest),
        };
        let (service, id) = (self.service.clone(), self.instance.id.clone());
        Observation { service, id, generation: self.generation, check }
    }
}

/// What a view makes different.
#[derive(Default)]
pub(super) struct News {
    /// What was never done.
    pub(super) new: Vec<Ticket>,
    /// Whose state is not what the view shows: what was told was of an earlier registration, or is
    /// on its way.
    pub(super) untold: Vec<Ticket>,
}

/// All jobs.
#[derive(Default)]
pub(super) struct Jobs {
    jobs: HashMap<Ticket, Job, foldhash::fast::RandomState>,
    of: HashMap<(ServiceName, InstanceId), Vec<Ticket>, foldhash::fast::RandomState>,
    next: u64,
}

impl Jobs {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.jobs.contains_key(&ticket)
    }

    pub(super) fn job(&mut self, ticket: Ticket) -> Option<&mut Job> {
        self.jobs.get_mut(&ticket)
    }

    /// Does the checks of `view` from now on, and no others of this instance.
    pub(super) fn put(&mut self, service: &ServiceName, view: &InstanceView) -> News {
        let checks = view.checks();
        let key = (service.clone(), view.instance.id.clone());
        let mut news = News::default();
        if checks.is_empty() {
            self.remove(&key);
            return news;
        }
        let before = self.of.remove(&key).unwrap_or_default();
        let mut tickets = Vec::with_capacity(checks.len());
        for check in checks {
            let same = |ticket: &Ticket| {
                self.jobs.get(ticket).is_some_and(|job| Arc::ptr_eq(&job.latest, &check.latest))
            };
            let known = before.iter().copied().find(same);
            let ticket = known.unwrap_or_else(|| self.add(service, view, check));
            if known.is_none() {
                news.new.push(ticket);
            } else if let Some(job) = self.jobs.get_mut(&ticket) {
                job.instance = Arc::clone(&view.instance);
                job.generation = view.generation;
                let told = job.trend.is_decided() == (check.basis == Basis::Known);
                if job.trend.state() != check.state || !told {
                    news.untold.push(ticket);
                }
            }
            tickets.push(ticket);
        }
        for ticket in before.iter().filter(|ticket| !tickets.contains(ticket)) {
            self.jobs.remove(ticket);
        }
        self.of.insert(key, tickets);
        news
    }

    /// Does nothing any more with this instance.
    pub(super) fn remove(&mut self, key: &(ServiceName, InstanceId)) {
        for ticket in self.of.remove(key).unwrap_or_default() {
            self.jobs.remove(&ticket);
        }
    }

    /// Does nothing any more with instances that `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(&(ServiceName, InstanceId)) -> bool) {
        let jobs = &mut self.jobs;
        for (_, tickets) in self.of.extract_if(|key, _| !keep(key)) {
            for ticket in tickets {
                jobs.remove(&ticket);
            }
        }
    }

    fn add(&mut self, service: &ServiceName, view: &InstanceView, check: &CheckView) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let job = Job {
            service: service.clone(),
            generation: view.generation,
            instance: Arc::clone(&view.instance),
            check: Arc::clone(&check.check),
            latest: Arc::clone(&check.latest),
            trend: Trend::new(check.state, check.basis == Basis::Known),
            first: true,
            asking: None,
        };
        self.jobs.insert(ticket, job);
        ticket
    }
}
