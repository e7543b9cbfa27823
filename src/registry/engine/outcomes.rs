//! The engine's circuit breakers: what clients report of instances, and what follows from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;

use crate::model::{Author, InstanceId, Millis, Outcome, ServiceName};
use crate::registry::command::EngineStats;
use crate::registry::engine::{Engine, count};
use crate::registry::instance::InstanceView;
use crate::registry::observed::Ejected;
use crate::registry::outliers::{Cause, Outcomes, Outliers, Rules, Step};
use crate::registry::refusal::Refusal;
use crate::registry::reply::Answer;
use crate::registry::trail::Trigger;

/// The breakers of the services whose clients report outcomes, and when each is looked at next.
#[derive(Default)]
pub(super) struct Breakers {
    services: HashMap<ServiceName, Breaker>,
    agenda: BTreeSet<(Millis, ServiceName)>,
    /// Services with new reports, and who made the last.
    reported: BTreeMap<ServiceName, Author>,
}

#[derive(Default)]
struct Breaker {
    outliers: Outliers,
    /// Its time on the agenda.
    at: Option<Millis>,
}

impl Breakers {
    /// When one is to be looked at next, if nothing happens until then.
    pub(super) fn next(&self) -> Option<Millis> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Takes those that are to be looked at now.
    fn due<'t>(
        &mut self,
        touched: impl Iterator<Item = &'t ServiceName>,
        now: Millis,
    ) -> BTreeMap<ServiceName, Author> {
        let mut due = std::mem::take(&mut self.reported);
        if !self.services.is_empty() {
            for name in touched.filter(|name| self.services.contains_key(*name)) {
                due.entry(name.clone()).or_default();
            }
        }
        let on_time = self.agenda.iter().take_while(|(at, _)| *at <= now);
        for (_, name) in on_time {
            due.entry(name.clone()).or_default();
        }
        due
    }

    /// Puts the breaker of `service` on the agenda again, or drops it when it remembers nothing.
    fn schedule(&mut self, service: &ServiceName) {
        let Some(breaker) = self.services.get_mut(service) else { return };
        let empty = breaker.outliers.is_empty();
        let next = breaker.outliers.next().filter(|_| !empty);
        let before = std::mem::replace(&mut breaker.at, next);
        if empty {
            self.services.remove(service);
        }
        if before != next {
            if let Some(at) = before {
                self.agenda.remove(&(at, service.clone()));
            }
            self.agenda.extend(next.map(|at| (at, service.clone())));
        }
    }
}

impl Engine {
    /// Takes in what clients saw of instances of `service`. What follows from it is decided once for
    /// all reports of a turn, and in force when they are answered.
    pub(super) fn report(
        &mut self,
        author: Author,
        service: ServiceName,
        outcomes: Vec<Outcome>,
        reply: oneshot::Sender<Result<Vec<(InstanceId, bool)>, Refusal>>,
        now: Millis,
    ) {
        let Some(entry) = self.state.services.get(&service) else {
            reply.send(Err(Refusal::UnknownService(service))).ok();
            return;
        };
        let rules = Rules::of(&entry.settings(&self.state.defaults));
        let mut results = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            let view = entry.instances.get(outcome.id.as_str());
            if let Some(view) = view {
                let breaker = self.breakers.services.entry(service.clone()).or_default();
                breaker.outliers.report(view.generation, &outcome, &rules, now);
                let requests = u64::from(outcome.successes) + u64::from(outcome.failures);
                self.stats.outcomes.fetch_add(requests, Relaxed);
            }
            results.push((outcome.id, view.is_some()));
        }
        if results.iter().any(|(_, known)| *known) {
            self.breakers.reported.insert(service, author);
        }
        self.answers.push(Answer::Reported(results, reply));
    }

    /// What clients saw of the instances of `service`.
    pub(super) fn outcomes(&self, service: ServiceName) -> Result<Vec<Outcomes>, Refusal> {
        if !self.state.services.contains_key(&service) {
            return Err(Refusal::UnknownService(service));
        }
        let breaker = self.breakers.services.get(&service);
        Ok(breaker.map(|breaker| breaker.outliers.outcomes()).unwrap_or_default())
    }

    /// Ejects and takes back what is to be, each service as one revision: those with new reports,
    /// those whose time has come, and those that have changed, so that never more are ejected than
    /// their number allows. Says whether that is a change.
    pub(super) fn settle_outcomes(&mut self, now: Millis) -> bool {
        let mut settled = false;
        for (service, author) in self.breakers.due(self.state.touched(), now) {
            let steps = self.decide(&service, now);
            self.breakers.schedule(&service);
            if steps.is_empty() {
                continue;
            }
            self.state.trail.because(author, Trigger::Outcomes);
            let before = self.state.revision;
            self.state.revision = before.next();
            let mut changed = false;
            for step in steps {
                changed |= self.take_step(&service, step, now);
            }
            if !changed {
                self.state.revision = before;
            }
            settled |= changed;
        }
        settled
    }

    fn decide(&mut self, service: &ServiceName, now: Millis) -> Vec<Step> {
        let Some(breaker) = self.breakers.services.get_mut(service) else { return Vec::new() };
        let Some(entry) = self.state.services.get(service) else {
            breaker.outliers = Outliers::default();
            return Vec::new();
        };
        let instances = &entry.instances;
        if self.state.is_touched(service) {
            breaker.outliers.retain(|id, generation| {
                instances.get(id.as_str()).is_some_and(|view| view.generation == generation)
            });
        }
        let rules = Rules::of(&entry.settings(&self.state.defaults));
        let candidates = || instances.iter().filter(|view| view.is_candidate()).count();
        let is_candidate =
            |id: &InstanceId| instances.get(id.as_str()).is_some_and(InstanceView::is_candidate);
        breaker.outliers.settle(&rules, candidates, is_candidate, now)
    }

    /// Says whether it changed anything.
    fn take_step(&mut self, service: &ServiceName, step: Step, now: Millis) -> bool {
        match step {
            Step::Eject { id, cause, until } => {
                let for_ms = until.since(now).as_millis();
                tracing::warn!(%service, %id, ?cause, for_ms, "instance ejected");
                count(ejections(&self.stats, cause), 1);
                let ejected = Some(Ejected { cause, until });
                self.state.observe(service, &id, now, |observed| observed.ejected = ejected)
            }
            Step::Return { id } => {
                tracing::info!(%service, %id, "ejection over");
                self.state.observe(service, &id, now, |observed| observed.ejected = None)
            }
            Step::Hold { id } => {
                tracing::warn!(%service, %id, "too many are ejected to eject this one too");
                count(&self.stats.ejections_held, 1);
                false
            }
        }
    }
}

fn ejections(stats: &EngineStats, cause: Cause) -> &AtomicU64 {
    match cause {
        Cause::Failures => &stats.ejected_for_failures,
        Cause::SuccessRate => &stats.ejected_for_success_rate,
    }
}
