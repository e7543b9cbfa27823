//! The one writer: takes commands, commits what is waiting in one batch, applies, publishes,
//! answers.
//!
//! While a batch is on its way to the store, heartbeats are taken and leases expire; further
//! writes wait for the next batch. Readers never wait for any of this.

mod commits;
mod intake;
mod outcomes;
mod renewals;
mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use rand::rngs::SmallRng;
use tokio::sync::{mpsc, oneshot};

use crate::model::{Author, CommitError, Image, InstanceId, Millis, Revision, ServiceName};
use crate::registry::clock::Clock;
use crate::registry::command::{Command, EngineStats, Observation, PersistRequest, Reloaded};
use crate::registry::engine::commits::{Batch, settled};
use crate::registry::engine::intake::Inbox;
use crate::registry::engine::outcomes::Breakers;
use crate::registry::engine::waiting::Waiting;
use crate::registry::journal::Journal;
use crate::registry::leases::Due;
use crate::registry::op::Key;
use crate::registry::plan::{Names, Policy};
use crate::registry::protect::Protection;
use crate::registry::publish::Publisher;
use crate::registry::refusal::Refusal;
use crate::registry::reply::Answer;
use crate::registry::state::State;
use crate::registry::tokens::Board;
use crate::registry::trail::{Deed, Tap, Trigger};
use crate::registry::views::Views;

/// The state and everything that moves it. Run by one task; see [`Engine::run`].
pub struct Engine {
    state: State,
    policy: Policy,
    names: Names,
    generation: u64,
    publisher: Publisher,
    breakers: Breakers,
    tokens: Arc<Board>,
    clock: Clock,
    inbox: Inbox,
    persist: mpsc::Sender<PersistRequest>,
    stats: Arc<EngineStats>,
    waiting: Waiting,
    in_flight: Option<Batch>,
    /// Of writes that are applied, for when they are published.
    answers: Vec<Answer>,
    /// Keys of refused batches: the store may or may not have them.
    suspect: BTreeSet<Key>,
    /// The revision that the store was last told.
    told: Revision,
    failure: Option<CommitError>,
    probe_at: Millis,
    reweigh_at: Millis,
    last_turn: Millis,
    going_down: Option<oneshot::Sender<Revision>>,
    last_commit_sent: bool,
    tap: Option<Tap>,
}

/// What an engine is made of.
pub(crate) struct Parts {
    pub(crate) image: Image,
    pub(crate) policy: Policy,
    pub(crate) names: Names,
    pub(crate) clock: Clock,
    pub(crate) inbox: mpsc::Receiver<Command>,
    pub(crate) persist: mpsc::Sender<PersistRequest>,
    pub(crate) views: Arc<Views>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) tokens: Arc<Board>,
    pub(crate) stats: Arc<EngineStats>,
    pub(crate) rng: SmallRng,
}

impl Engine {
    /// An engine whose state is published before this returns.
    pub(crate) fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        let mut state = State::new(parts.image, parts.policy.forget_after, now);
        state.declare(&parts.policy.declared, now);
        // Zero is never.
        state.begin(now.max(Millis(1)));
        let generation = state.revision.0;
        let mut engine = Self {
            told: state.revision,
            state,
            policy: parts.policy,
            names: parts.names,
            generation,
            publisher: Publisher::new(
                parts.views,
                parts.journal,
                Arc::clone(&parts.stats),
                parts.rng,
            ),
            breakers: Breakers::default(),
            tokens: parts.tokens,
            clock: parts.clock,
            inbox: Inbox::new(parts.inbox),
            persist: parts.persist,
            stats: parts.stats,
            waiting: Waiting::default(),
            in_flight: None,
            answers: Vec::new(),
            suspect: BTreeSet::new(),
            failure: None,
            probe_at: now,
            reweigh_at: now,
            last_turn: now,
            going_down: None,
            last_commit_sent: false,
            tap: None,
        };
        engine.publisher.cover(&engine.policy.reverse);
        engine.publish(now);
        engine
    }

    /// Hands what happens from now on to `tap`, with the answers of writes: these are told only
    /// when it is written down.
    /// Only while `open` says so is anything noted.
    pub fn tap(&mut self, tap: Tap, open: Arc<AtomicBool>) {
        self.state.trail.keep(open);
        self.tap = Some(tap);
    }

    /// Runs until it is told to shut down or every handle is gone.
    ///
    /// It does work of its own between waits, so give it a thread.
    pub async fn run(mut self) {
        // What is alive now could not renew before.
        self.last_turn = self.clock.now();
        self.state.refresh_leases(self.last_turn);
        loop {
            let wake = self.clock.instant(self.next_wake());
            tokio::select! {
                biased;
                result = settled(&mut self.in_flight) => self.settle(result),
                command = self.inbox.recv() => match command {
                    Some(command) => self.take(command),
                    None => self.going_down = Some(oneshot::channel().0),
                },
                () = tokio::time::sleep_until(wake) => {}
            }
            let took_all = self.take_some();
            let now = self.clock.now();
            self.notice_stall(now);
            if took_all {
                self.expire(now);
            }
            // The store works on the next batch while readers are shown the last one.
            self.start_commit(now);
            self.forget_early();
            self.reweigh(now);
            self.publish(now);
            self.answer();
            if self.finished() {
                break;
            }
        }
        if let Some(done) = self.going_down {
            // Nobody may be waiting for it.
            done.send(self.state.revision).ok();
        }
    }

    fn next_wake(&self) -> Millis {
        if self.in_flight.is_none() && !self.waiting.is_empty() {
            return self.last_turn;
        }
        let tick = self.last_turn + TICK;
        [self.state.leases.next(), self.breakers.next()]
            .into_iter()
            .flatten()
            .fold(tick, Millis::min)
    }

    fn finished(&self) -> bool {
        self.going_down.is_some()
            && self.in_flight.is_none()
            && self.waiting.is_empty()
            && self.last_commit_sent
    }

    fn take(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Write(_, _, reply) if self.going_down.is_some() => {
                reply.refuse(Refusal::ShuttingDown);
            }
            Command::Write(author, write, reply) => self.waiting.push(author, *write, reply, now),
            Command::Renew(author, renewals, reply) => self.renew(author, renewals, reply, now),
            Command::Observe(observations, reply) => {
                self.observe(observations, now);
                reply.send(Ok(())).ok();
            }
            Command::Report(author, service, outcomes, reply) => {
                self.report(author, service, outcomes, reply, now);
            }
            Command::Outcomes(service, reply) => {
                reply.send(self.outcomes(service)).ok();
            }
            Command::Reload { author, policy, statics_changed, reply } => {
                self.state.trail.because(author, Trigger::File);
                let reloaded = self.reload(*policy, statics_changed, now);
                self.answers.push(Answer::Reloaded(reloaded, reply));
            }
            Command::Cover(ranges, reply) => {
                self.publisher.cover(&ranges);
                reply.send(Ok(())).ok();
            }
            Command::Capture(reply) => {
                reply.send(Ok(self.state.capture())).ok();
            }
            Command::ShutDown(done) => self.going_down = Some(done),
        }
    }

    /// A process that was stopped (SIGSTOP, a paused machine) could not take heartbeats: that is not
    /// the fault of those who sent them.
    fn notice_stall(&mut self, now: Millis) {
        let gap = now.since(self.last_turn);
        self.last_turn = now;
        if gap > STALL {
            tracing::warn!(gap_ms = gap.as_millis(), "was stopped, every lease gets a fresh ttl");
            count(&self.stats.stalls, 1);
            self.state.refresh_leases(now);
        }
    }

    fn expire(&mut self, now: Millis) {
        self.state.trail.because(Author::default(), Trigger::Lease);
        let mut due: Vec<(ServiceName, InstanceId)> = Vec::new();
        while let Some((at, entry)) = self.state.leases.pop(now) {
            match entry {
                Due::Forget(service) => {
                    if self.state.is_forgettable(&service, now) {
                        self.state.revision = self.state.revision.next();
                        self.state.forget(&service);
                    }
                }
                Due::Lease(service, id) => {
                    let Some(view) = self.state.instance(service.as_str(), id.as_str()) else {
                        continue;
                    };
                    let vitals = &view.vitals;
                    // An entry that a shorter lease has overtaken.
                    if vitals.scheduled() != at {
                        continue;
                    }
                    let deadline = vitals.deadline().unwrap_or(Millis::NEVER);
                    vitals.set_scheduled(Millis::NEVER);
                    if deadline <= now {
                        let lag =
                            u64::try_from(now.since(deadline).as_millis()).unwrap_or(u64::MAX);
                        self.stats.expiry_lag_ms.fetch_max(lag, Relaxed);
                        due.push((service, id));
                    } else if deadline < Millis::NEVER {
                        vitals.set_scheduled(deadline);
                        self.state.leases.schedule(deadline, Due::Lease(service, id));
                    }
                }
            }
        }
        let protection = Protection {
            share: self.policy.protect,
            limits: &self.policy.limits,
            suspects: self.publisher.totals().suspect,
        };
        self.state.review_suspects(protection, now);
        if !due.is_empty() {
            due.sort_unstable();
            self.state.end_leases(&due, protection, now);
        }
        count(&self.stats.expired, due.len());
        self.state.prune_deadlines();
        self.state.prune_owners();
    }

    /// Where there are more services than may be, forgets those that only time keeps known: the
    /// planner counts on that.
    fn forget_early(&mut self) {
        if self.state.services.len() <= self.policy.limits.services {
            return;
        }
        self.state.trail.because(Author::default(), Trigger::Lease);
        while self.state.services.len() > self.policy.limits.services
            && let Some(service) = self.state.longest_idle().cloned()
        {
            self.state.revision = self.state.revision.next();
            self.state.forget(&service);
        }
    }

    /// Takes in what checks say as one revision, which is in force when this returns.
    fn observe(&mut self, observations: Vec<Observation>, now: Millis) {
        self.state.trail.because(Author::default(), Trigger::Check);
        let before = self.state.revision;
        self.state.revision = before.next();
        let mut changed = false;
        for Observation { service, id, generation, check } in observations {
            let view = self.state.instance(service.as_str(), id.as_str());
            if view.is_some_and(|view| view.generation == generation) {
                changed |= self.state.observe(&service, &id, now, |observed| observed.note(check));
            }
        }
        if changed {
            self.publish(now);
        } else {
            self.state.revision = before;
        }
    }

    fn reload(&mut self, policy: Policy, statics_changed: bool, now: Millis) -> Reloaded {
        self.state.set_forget_after(policy.forget_after);
        self.publisher.cover(&policy.reverse);
        self.policy = policy;
        let before = self.state.revision;
        self.state.revision = before.next();
        let changed = self.state.declare(&self.policy.declared, now) || statics_changed;
        if !changed {
            self.state.revision = before;
        }
        self.state.trail.add(Some(self.state.revision), Deed::Reload);
        self.publish(now);
        Reloaded { revision: self.state.revision, changed }
    }

    fn reweigh(&mut self, now: Millis) {
        if now >= self.reweigh_at {
            self.reweigh_at = now + REWEIGH;
            self.publisher.reweigh(&mut self.state, now);
        }
    }

    fn publish(&mut self, now: Millis) {
        self.tokens.publish(&self.state.tokens);
        self.state.trail.because(Author::default(), Trigger::Load);
        self.state.settle_overloads(now);
        // Who has too much to do is out for as long as others are not, and the other way round. Each
        // of them is ejected and taken back at most once, so this ends.
        while self.settle_outcomes(now) {
            self.state.trail.because(Author::default(), Trigger::Load);
            self.state.settle_overloads(now);
        }
        let built = self.publisher.publish(&mut self.state, now);
        count(&self.stats.views_built, built);
        self.stats.instances.store(self.state.instances as u64, Relaxed);
        self.stats.services_in_panic.store(self.publisher.panicking() as u64, Relaxed);
        let totals = self.publisher.totals();
        self.stats.ejected.store(totals.ejected as u64, Relaxed);
        self.stats.suspect.store(totals.suspect as u64, Relaxed);
        self.stats.protections.store(totals.protections, Relaxed);
    }

    /// Tells those whose writes are published, so that they find them in DNS.
    fn answer(&mut self) {
        if let Some(tap) = &mut self.tap {
            let now = self.clock.now();
            tap.lose_patience(now);
            if !self.state.trail.is_empty() {
                let answers = std::mem::take(&mut self.answers);
                return tap.hand(&mut self.state.trail, answers, self.clock.wall(), now);
            }
        }
        for answer in self.answers.drain(..) {
            answer.send();
        }
    }
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Relaxed);
}

/// How long the engine sleeps at most, so that it notices when it was stopped.
const TICK: Duration = Duration::from_millis(250);
/// A gap between two turns that no working engine has.
const STALL: Duration = Duration::from_secs(1);
/// How often weights in force follow load reports.
const REWEIGH: Duration = Duration::from_millis(200);
/// Commands that may wait for the engine.
pub(crate) const QUEUE: usize = 8_192;
