//! Active checks: asks instances whether they work, as often as they are to be asked, and tells the
//! registry when the answer is another.
//!
//! One task does it all: it follows the journal for what is to be checked, starts probes that are
//! due, never more than `health.concurrency` at a time and services in turn, and hands on changes of
//! state. It observes and decides nothing: what a state means for answers is the registry's business.

mod grpc;
mod grpc_message;
mod http;
mod jobs;
mod outcome;
mod probe;
mod schedule;
mod stats;
mod trend;
mod turns;
mod work;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

pub use stats::HealthStats;

use crate::health::jobs::{Jobs, News};
use crate::health::outcome::Outcome;
use crate::health::schedule::{Schedule, Ticket};
use crate::health::turns::Turns;
use crate::model::{HealthPolicy, Means, Millis, Revision, ServiceName};
use crate::registry::{EventKind, InstanceView, Observation, Refusal, Registry};

/// The task that checks, before it runs.
pub struct Health {
    registry: Registry,
    policy: watch::Receiver<HealthPolicy>,
    zone: String,
    stats: Arc<HealthStats>,
    rng: SmallRng,
    jobs: Jobs,
    schedule: Schedule,
    turns: Turns,
    running: JoinSet<Outcome>,
    started: HashMap<Id, Started>,
    /// What the registry is to be told, and when it was told last.
    changes: Vec<Observation>,
    told: Millis,
    /// What has been read of the journal.
    seen: Revision,
    /// When this process last found that it had been stopped.
    stopped: Millis,
    /// When this machine was last said to lack something.
    lacked: Millis,
}

/// A probe that is under way.
#[derive(Clone)]
struct Started {
    service: ServiceName,
    ticket: Ticket,
    due: Millis,
    at: Millis,
}

impl Health {
    /// Checks the instances of `registry`, which are named below `zone`, as `policy` has it at each
    /// moment.
    #[must_use]
    pub fn new(
        registry: Registry,
        policy: watch::Receiver<HealthPolicy>,
        zone: String,
        stats: Arc<HealthStats>,
    ) -> Self {
        Self {
            registry,
            policy,
            zone,
            stats,
            rng: SmallRng::from_rng(&mut rand::rng()),
            jobs: Jobs::default(),
            schedule: Schedule::default(),
            turns: Turns::default(),
            running: JoinSet::new(),
            started: HashMap::new(),
            changes: Vec::new(),
            told: Millis(0),
            seen: Revision(0),
            stopped: Millis(0),
            lacked: Millis(0),
        }
    }

    /// Runs until `stop` turns true or the registry is gone. Probes under way end with it.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let clock = self.registry.clock();
        let mut bell = self.registry.journal().bell();
        self.read_all();
        loop {
            let more = self.follow();
            self.start_due(clock.now());
            if self.tell(clock.now()).await.is_err() {
                return;
            }
            self.show();
            let wake = if more { clock.now() } else { self.next_wake(clock.now()) };
            let ended = tokio::select! {
                // An error means that whoever could say so is gone, which says it too.
                _ = stop.wait_for(|stop| *stop) => return,
                Some(ended) = self.running.join_next_with_id() => Some(ended),
                changed = bell.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(clock.instant(wake)) => None,
            };
            let now = clock.now();
            // Before anything is made of what ended meanwhile.
            self.notice_stop(wake, now);
            let mut next = ended;
            while let Some(ended) = next {
                self.end(ended, now);
                next = self.running.try_join_next_with_id();
            }
        }
    }

    /// Takes in every view, and forgets what is in none.
    fn read_all(&mut self) {
        // Before the views, which are published first.
        self.seen = *self.registry.journal().bell().borrow();
        let mut present = HashSet::new();
        for service in self.registry.views().all() {
            for view in service.instances.iter().filter(|view| !view.checks().is_empty()) {
                present.insert((service.name.clone(), view.instance.id.clone()));
                self.put(&service.name, view);
            }
        }
        self.jobs.retain(|key| present.contains(key));
    }

    /// Reads on in the journal, and says whether there may be more.
    fn follow(&mut self) -> bool {
        let Some(events) = self.registry.journal().page_after(self.seen, PAGE) else {
            self.read_all();
            return true;
        };
        for event in &events {
            self.seen = event.revision;
            match &event.kind {
                EventKind::Put(view) => self.put(&event.service, view),
                EventKind::Remove(id, _) => {
                    self.jobs.remove(&(event.service.clone(), id.clone()));
                }
                EventKind::Service(_) => {}
            }
        }
        // Those who come and go all day must not fill the memory.
        if self.schedule.len() + self.turns.waiting() > 2 * self.jobs.len() + SPARE {
            self.schedule.retain(|ticket| self.jobs.has(ticket));
            self.turns.retain(|ticket| self.jobs.has(ticket));
        }
        events.len() >= PAGE
    }

    fn put(&mut self, service: &ServiceName, view: &InstanceView) {
        let now = self.registry.clock().now();
        let News { new, untold } = self.jobs.put(service, view);
        for ticket in untold {
            self.changes.extend(self.jobs.job(ticket).map(|job| job.observation(now)));
        }
        for ticket in new {
            let Some(job) = self.jobs.job(ticket) else { continue };
            match &job.check.means {
                Means::Heartbeat(_) => self.schedule.add(now, ticket),
                Means::Probe(probe) => {
                    self.schedule.begin(ticket, probe.interval, now, &mut self.rng);
                }
            }
        }
    }

    /// Hands on the changes there are, those of a while together: each makes a new view.
    async fn tell(&mut self, now: Millis) -> Result<(), Refusal> {
        if self.changes.is_empty() || now < self.told + GATHER {
            return Ok(());
        }
        self.told = now;
        self.registry.observe(std::mem::take(&mut self.changes)).await
    }

    fn next_wake(&self, now: Millis) -> Millis {
        // Nothing to do until something is registered.
        if self.jobs.is_empty() && self.changes.is_empty() {
            return Millis::NEVER;
        }
        let telling = if self.changes.is_empty() { Millis::NEVER } else { self.told + GATHER };
        let due = self.schedule.next().unwrap_or(Millis::NEVER);
        due.min(telling).min(now + TICK)
    }

    /// A process that was stopped could not ask, nor hear heartbeats.
    fn notice_stop(&mut self, wake: Millis, now: Millis) {
        if now.since(wake) > STALL {
            self.stopped = now;
        }
    }

    fn show(&self) {
        let show = |gauge: &AtomicU64, number: usize| gauge.store(number as u64, Relaxed);
        show(&self.stats.checks, self.jobs.len());
        show(&self.stats.running, self.running.len());
        show(&self.stats.queued, self.turns.waiting());
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Events read at a time.
const PAGE: usize = 4_096;
/// Times of checks that are gone that are not worth a look through all.
const SPARE: usize = 1_024;
/// Changes of state are told together that come within this time.
const GATHER: Duration = Duration::from_millis(50);
/// How long this sleeps at most while there is something to check.
const TICK: Duration = Duration::from_millis(250);
/// How late no working process wakes up.
const STALL: Duration = Duration::from_secs(1);
