//! What the health task does with a check that is due, and with what came of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::{Id, JoinError};

use crate::health::jobs::Job;
use crate::health::outcome::Outcome;
use crate::health::schedule::{Ticket, next_time};
use crate::health::trend::Trend;
use crate::health::{Health, Started, count, probe};
use crate::model::{DurationText, HealthPolicy, LeaseTtl, Means, Millis, Status};

impl Health {
    /// Does what is due, as far as there may be more probes.
    pub(super) fn start_due(&mut self, now: Millis) {
        while let Some((due, ticket)) = self.schedule.pop(now) {
            // What is no longer checked is still in the schedule.
            let Some(job) = self.jobs.job(ticket) else { continue };
            match &job.check.means {
                Means::Probe(_) => self.turns.wait(&job.service, due, ticket),
                Means::Heartbeat(ttl) => {
                    let ttl = *ttl;
                    self.look(ticket, ttl, now);
                }
            }
        }
        let policy = self.policy.borrow().clone();
        while let Some((service, due, ticket)) = self.turns.next(policy.concurrency) {
            let started = Started { service, ticket, due, at: now };
            if !self.start(&started, &policy) {
                self.turns.end(&started.service);
            }
        }
    }

    /// Starts a probe, and says whether it is under way.
    fn start(&mut self, started: &Started, policy: &HealthPolicy) -> bool {
        let Some(job) = self.jobs.job(started.ticket) else { return false };
        let check = Arc::clone(&job.check);
        let Some(probe) = check.probe() else { return false };
        let late = started.at.since(started.due).as_millis();
        self.stats.lag_ms.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Relaxed);
        // Once more, since settings and instances may have changed.
        let target = match policy.target(probe, &job.instance) {
            Ok(target) => target,
            Err(refused) => {
                let outcome = Outcome::critical(format!("not asked: {}", refused.reason));
                self.settle(started, outcome, started.at);
                return false;
            }
        };
        let host = host(job, &self.zone, target);
        let probe = probe.clone();
        let task = self.running.spawn(async move { probe::ask(&probe, target, &host).await });
        job.asking = Some(task.clone());
        self.started.insert(task.id(), started.clone());
        true
    }

    /// Looks whether heartbeats come.
    fn look(&mut self, ticket: Ticket, ttl: LeaseTtl, now: Millis) {
        let Some(job) = self.jobs.job(ticket) else { return };
        let ends = job.latest.at().map_or(Millis(0), |last| last + ttl.get());
        let alive = now < ends;
        // Whoever could not be heard is not late.
        if !alive && now < self.stopped + LOOK_AGAIN {
            self.schedule.add(self.stopped + LOOK_AGAIN, ticket);
            return;
        }
        let before = job.trend.state();
        let (state, at) =
            if alive { (Status::Passing, ends) } else { (Status::Critical, now + LOOK_AGAIN) };
        let output = match (alive, job.latest.at()) {
            (true, _) => "heartbeats come".to_owned(),
            (false, Some(_)) => format!("no heartbeat within {}", DurationText(ttl.get())),
            (false, None) => "no heartbeat yet".to_owned(),
        };
        job.latest.say(&output);
        job.trend = Trend::new(state, job.latest.at().is_some());
        if state != before {
            log_change(job, &output);
            count(&self.stats.changes);
            self.changes.push(job.observation(now));
        }
        self.schedule.add(at, ticket);
    }

    pub(super) fn end(&mut self, ended: Result<(Id, Outcome), JoinError>, now: Millis) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Outcome::Unable(error.to_string())),
        };
        let Some(started) = self.started.remove(&id) else { return };
        self.turns.end(&started.service);
        self.stats.duration.observe(now.since(started.at).as_secs_f64());
        // Time that this process did not have is not the fault of who was asked.
        let outcome = if started.at < self.stopped {
            Outcome::Unable("this server was stopped meanwhile".into())
        } else {
            outcome
        };
        self.settle(&started, outcome, now);
    }

    /// Makes of an outcome what it makes of the check's state, and of when it is due again.
    fn settle(&mut self, started: &Started, outcome: Outcome, now: Millis) {
        // What is no longer checked.
        let Some(job) = self.jobs.job(started.ticket) else { return };
        let check = Arc::clone(&job.check);
        let Means::Probe(probe) = &check.means else { return };
        match outcome {
            Outcome::Said(status, output) => {
                let first = std::mem::replace(&mut job.first, false);
                let at = next_time(probe, started.due, now, first, &mut self.rng);
                self.schedule.add(at, started.ticket);
                count(&self.stats.probes);
                if status == Status::Critical {
                    count(&self.stats.failures);
                }
                job.latest.set(now, &output);
                let before = job.trend.state();
                let news = job.trend.note(status, probe);
                if job.trend.state() != before {
                    // That all is well at first is no news.
                    if !first || status == Status::Critical {
                        log_change(job, &output);
                    }
                    count(&self.stats.changes);
                }
                if news {
                    self.changes.push(job.observation(now));
                }
            }
            Outcome::Unable(why) => {
                self.schedule.add(now + (probe.interval / 4).max(TRY_AGAIN), started.ticket);
                count(&self.stats.unable);
                job.latest.say(&format!("not asked: {why}"));
                if now.since(self.lacked) > TELL_AGAIN || self.lacked == Millis(0) {
                    self.lacked = now;
                    tracing::warn!(why, "checks cannot be done, their states stay");
                }
            }
        }
    }
}

fn log_change(job: &Job, output: &str) {
    let (service, id, check) = (&job.service, &job.instance.id, job.check.name.as_str());
    let state = job.trend.state().as_str();
    tracing::info!(%service, %id, check, state, output, "a check changed its state");
}

/// What the instance is called in DNS, for a Host header.
fn host(job: &Job, zone: &str, target: SocketAddr) -> String {
    let name = format!("{}.{}.{zone}", job.instance.id, job.service);
    match target.port() {
        80 => name,
        port => format!("{name}:{port}"),
    }
}

/// How soon a heartbeat that came late is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How soon at the earliest is tried again what this machine could not do.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often a want of this machine is logged.
const TELL_AGAIN: Duration = Duration::from_secs(60);
