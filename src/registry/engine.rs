//! The one writer: takes commands, commits what is waiting in one batch, applies, publishes,
//! answers.
//!
//! While a batch is on its way to the store, heartbeats are taken and leases expire; further
//! writes wait for the next batch. Readers never wait for any of this.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rand::rngs::SmallRng;
use tokio::sync::{mpsc, oneshot};

use crate::model::{Commit, CommitError, Image, InstanceId, Millis, Revision, ServiceName, Status};
use crate::registry::clock::Clock;
use crate::registry::command::{
    Command, EngineStats, PersistRequest, Reloaded, Renewal, Renewed, Reply, Written,
};
use crate::registry::journal::Journal;
use crate::registry::leases::Due;
use crate::registry::plan::{Names, Planner, Policy, Write};
use crate::registry::publish::Publisher;
use crate::registry::refusal::Refusal;
use crate::registry::state::{Key, Op, State};
use crate::registry::view::{InstanceView, Views};

/// The state and everything that moves it. Run by one task; see [`Engine::run`].
pub struct Engine {
    state: State,
    policy: Policy,
    names: Names,
    generation: u64,
    publisher: Publisher,
    clock: Clock,
    inbox: mpsc::Receiver<Command>,
    persist: mpsc::Sender<PersistRequest>,
    stats: Arc<EngineStats>,
    waiting: Vec<(Write, Reply)>,
    in_flight: Option<Batch>,
    /// Keys of refused batches: the store may or may not have them.
    suspect: BTreeSet<Key>,
    failure: Option<CommitError>,
    probe_at: Millis,
    reweigh_at: Millis,
    last_turn: Millis,
    going_down: Option<oneshot::Sender<Revision>>,
    last_commit_sent: bool,
}

/// Writes that are on their way to the store.
struct Batch {
    done: oneshot::Receiver<Result<(), CommitError>>,
    writes: Vec<Planned>,
    /// Keys that the batch brings up to date besides the writes.
    caught_up: BTreeSet<Key>,
}

/// A write that was found legal.
struct Planned {
    ops: Vec<Op>,
    created: bool,
    reply: Reply,
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
    pub(crate) stats: Arc<EngineStats>,
    pub(crate) rng: SmallRng,
}

impl Engine {
    /// An engine whose state is published before this returns.
    pub(crate) fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        let mut state = State::new(parts.image, parts.policy.forget_after, now);
        state.declare(&parts.policy.declared, now);
        let generation = state.revision.0;
        let mut engine = Self {
            state,
            policy: parts.policy,
            names: parts.names,
            generation,
            publisher: Publisher::new(parts.views, parts.journal, parts.rng),
            clock: parts.clock,
            inbox: parts.inbox,
            persist: parts.persist,
            stats: parts.stats,
            waiting: Vec::new(),
            in_flight: None,
            suspect: BTreeSet::new(),
            failure: None,
            probe_at: now,
            reweigh_at: now,
            last_turn: now,
            going_down: None,
            last_commit_sent: false,
        };
        engine.publish(now);
        engine
    }

    /// Runs until it is told to shut down or every handle is gone.
    ///
    /// It does work of its own between waits, so give it a thread.
    pub async fn run(mut self) {
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
            // Heartbeats that were read in time count before anything expires. No more than the
            // queue holds, or a stream of them could keep everything else waiting.
            for _ in 0..QUEUE {
                let Ok(command) = self.inbox.try_recv() else { break };
                self.take(command);
            }
            let now = self.clock.now();
            self.notice_stall(now);
            self.expire(now);
            self.reweigh(now);
            self.publish(now);
            self.start_commit(now);
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
        let tick = self.last_turn + TICK;
        self.state.leases.next().map_or(tick, |due| due.min(tick))
    }

    fn finished(&self) -> bool {
        self.going_down.is_some()
            && self.in_flight.is_none()
            && self.waiting.is_empty()
            && (self.last_commit_sent || self.failure.is_some())
    }

    fn take(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Write(_, reply) if self.going_down.is_some() => {
                reply.refuse(Refusal::ShuttingDown);
            }
            Command::Write(write, reply) => self.waiting.push((*write, reply)),
            Command::Renew(renewals, reply) => self.renew(renewals, reply, now),
            Command::Reload(policy, reply) => {
                let reloaded = self.reload(*policy, now);
                reply.send(Ok(reloaded)).ok();
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
        let mut due: Vec<(ServiceName, InstanceId)> = Vec::new();
        while let Some((at, entry)) = self.state.leases.pop(now) {
            match entry {
                Due::Forget(service) => self.forget(&service, now),
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
        // One change for each service.
        due.sort_unstable();
        for same in due.chunk_by(|a, b| a.0 == b.0) {
            self.state.revision = self.state.revision.next();
            for (service, id) in same {
                self.state.expire(service, id, now);
            }
        }
        count(&self.stats.expired, due.len());
    }

    fn forget(&mut self, service: &ServiceName, now: Millis) {
        let Some(entry) = self.state.services.get(service) else { return };
        if entry.is_declared() || !entry.instances.is_empty() {
            return;
        }
        let forget_at = entry.empty_since + self.policy.forget_after;
        if forget_at > now {
            self.state.leases.schedule(forget_at, Due::Forget(service.clone()));
            return;
        }
        self.state.revision = self.state.revision.next();
        self.state.forget(service);
    }

    fn renew(
        &mut self,
        renewals: Vec<Renewal>,
        reply: oneshot::Sender<Result<Vec<Renewed>, Refusal>>,
        now: Millis,
    ) {
        count(&self.stats.renewals, renewals.len());
        let revives = |r: &Renewal| self.state.renewal_revives(&r.service, &r.id);
        let revived = renewals.iter().any(revives);
        if revived {
            self.state.revision = self.state.revision.next();
        }
        let mut statuses = Vec::new();
        let mut results = Vec::with_capacity(renewals.len());
        for renewal in renewals {
            results.push(self.renew_one(renewal, now, &mut statuses));
        }
        if revived {
            self.publish(now);
        }
        if statuses.is_empty() {
            reply.send(Ok(results)).ok();
        } else {
            self.waiting.push((Write::Statuses(statuses), Reply::Renewed(results, reply)));
        }
    }

    fn renew_one(
        &mut self,
        renewal: Renewal,
        now: Millis,
        statuses: &mut Vec<(ServiceName, InstanceId, Status)>,
    ) -> Renewed {
        let Renewal { service, id, generation, status, load, read_at } = renewal;
        let Some(view) = self.state.instance(service.as_str(), id.as_str()) else {
            return Renewed::Unknown;
        };
        if generation.is_some_and(|given| given != view.generation) {
            return Renewed::Owned;
        }
        let current = view.instance.status;
        let vitals = Arc::clone(&view.vitals);
        self.state.renew(&service, &id, read_at);
        if let Some(load) = load {
            vitals.meter.report(load, now);
            self.publisher.note_report(&service, now);
        }
        if let Some(status) = status.filter(|status| *status != current) {
            statuses.push((service, id, status));
        }
        Renewed::Until(vitals.deadline().map(|deadline| deadline.since(now)))
    }

    fn reload(&mut self, policy: Policy, now: Millis) -> Reloaded {
        self.state.forget_after = policy.forget_after;
        self.policy = policy;
        let before = self.state.revision;
        self.state.revision = before.next();
        let changed = self.state.declare(&Arc::clone(&self.policy.declared), now);
        if !changed {
            self.state.revision = before;
        }
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
        self.publisher.publish(&mut self.state, now);
        self.stats.instances.store(self.state.instances as u64, Relaxed);
    }

    /// Sends what is waiting to the store as one batch, when the last one is through.
    fn start_commit(&mut self, now: Millis) {
        if self.in_flight.is_some() {
            return;
        }
        let last = self.going_down.is_some() && self.waiting.is_empty() && !self.last_commit_sent;
        let probing = self.failure.is_some() && now >= self.probe_at;
        let writes = self.plan();
        let durable = writes.iter().any(|w| w.ops.iter().any(|op| op.key().is_some()));
        if self.failure.is_some() && !probing && !last {
            self.apply_without_store(writes, now);
            return;
        }
        let caught_up =
            &std::mem::take(&mut self.state.unstored) | &std::mem::take(&mut self.suspect);
        if !durable && caught_up.is_empty() && !probing && !last {
            self.apply(writes, now);
            return;
        }
        self.last_commit_sent |= last;
        let stale = caught_up.iter().map(|key| self.state.stored(key));
        let fresh = writes.iter().flat_map(|w| &w.ops).filter_map(Op::change);
        let changes = stale.chain(fresh).collect();
        // Not less than any revision that these writes, or a generation, will have.
        let ahead = self.state.revision.0 + writes.len() as u64;
        let commit = Commit { revision: Revision(ahead.max(self.generation)), changes };
        let (reply, done) = oneshot::channel();
        if self.persist.try_send(PersistRequest { commit, done: reply }).is_err() {
            tracing::error!("the store's thread is gone");
        }
        self.in_flight = Some(Batch { done, writes, caught_up });
    }

    fn plan(&mut self) -> Vec<Planned> {
        let waiting = self.waiting.len().min(MAX_BATCH);
        let mut planner =
            Planner::new(&self.state, &self.policy, &self.names, &mut self.generation);
        let mut planned = Vec::with_capacity(waiting);
        for (write, reply) in self.waiting.drain(..waiting) {
            let created = match &write {
                Write::Register { service, id, .. } => planner.is_new(service, id),
                _ => false,
            };
            match planner.plan(write) {
                Ok(ops) => planned.push(Planned { ops, created, reply }),
                Err(refusal) => reply.refuse(refusal),
            }
        }
        planned
    }

    /// While the store cannot write, what needs it is refused; what only renews goes on.
    fn apply_without_store(&mut self, writes: Vec<Planned>, now: Millis) {
        let needs_store = |w: &Planned| w.ops.iter().any(|op| op.key().is_some());
        let (refused, applied) = writes.into_iter().partition::<Vec<_>, _>(needs_store);
        if let Some(failure) = &self.failure {
            for write in refused {
                write.reply.refuse(failure.clone().into());
            }
        }
        self.apply(applied, now);
    }

    /// The batch is through: it is durable, or none of it happened.
    fn settle(&mut self, result: Result<(), CommitError>) {
        let Some(batch) = self.in_flight.take() else { return };
        let now = self.clock.now();
        match result {
            Ok(()) => {
                count(&self.stats.commits, 1);
                if self.failure.take().is_some() {
                    tracing::info!("the store can write again");
                    self.stats.degraded.store(0, Relaxed);
                }
                self.apply(batch.writes, now);
            }
            Err(error) => {
                count(&self.stats.commit_failures, 1);
                if self.failure.is_none() {
                    tracing::error!(%error, "the store cannot write, refusing writes until it can");
                    self.stats.degraded.store(1, Relaxed);
                }
                // The store may have kept a batch that it could not confirm: what is in memory is
                // what holds, so the next commit says so.
                self.suspect.extend(batch.caught_up);
                self.suspect.extend(batch.writes.iter().flat_map(|w| &w.ops).filter_map(Op::key));
                for write in batch.writes {
                    write.reply.refuse(error.clone().into());
                }
                self.failure = Some(error);
                self.probe_at = now + PROBE;
            }
        }
    }

    /// Applies, publishes, answers; in this order, so that an answer's writer finds it in DNS.
    fn apply(&mut self, writes: Vec<Planned>, now: Millis) {
        let mut answers = Vec::with_capacity(writes.len());
        for Planned { ops, created, reply } in writes {
            let before = self.state.revision;
            self.state.revision = before.next();
            let mut changed = false;
            for op in ops {
                changed |= self.state.apply(op, now);
            }
            if !changed {
                self.state.revision = before;
            }
            answers.push((created, self.state.revision, reply));
        }
        self.publish(now);
        for (created, revision, reply) in answers {
            self.answer(created, revision, reply, now);
        }
    }

    fn answer(&self, created: bool, revision: Revision, reply: Reply, now: Millis) {
        // Whoever asked may have gone away: what was done stays done.
        match reply {
            Reply::Instance(service, id, reply) => {
                let found = self.state.instance(service.as_str(), id.as_str()).cloned();
                let written = found.map(|instance| Written {
                    safe_in: self.safe_in(&service, &instance, now),
                    instance,
                    revision,
                    created,
                });
                reply.send(written.ok_or(Refusal::UnknownInstance { service, id })).ok();
            }
            Reply::Settings(service, reply) => {
                let entry = self.state.services.get(&service);
                let settings = entry.map(|entry| (entry.settings(&self.state.defaults), revision));
                reply.send(settings.ok_or(Refusal::UnknownService(service))).ok();
            }
            Reply::Revision(reply) => {
                reply.send(Ok(revision)).ok();
            }
            Reply::Renewed(results, reply) => {
                reply.send(Ok(results)).ok();
            }
        }
    }

    fn safe_in(&self, service: &ServiceName, view: &InstanceView, now: Millis) -> Option<Duration> {
        if view.usable() {
            return None;
        }
        let ttl = self.state.services.get(service)?.settings(&self.state.defaults).ttl.get();
        // Answers carry whole seconds, at least one unless nobody may cache.
        let cached = if ttl.is_zero() { ttl } else { ttl.max(Duration::from_secs(1)) };
        let withdrawn = view.vitals.withdrawn();
        if withdrawn == Millis(0) {
            return Some(Duration::ZERO);
        }
        Some((withdrawn + cached).since(now))
    }
}

/// Waits for the batch that is on its way; for ever when there is none.
async fn settled(in_flight: &mut Option<Batch>) -> Result<(), CommitError> {
    match in_flight {
        Some(batch) => (&mut batch.done)
            .await
            .unwrap_or_else(|_| Err(CommitError::Unavailable("its thread is gone".into()))),
        None => std::future::pending().await,
    }
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Relaxed);
}

/// How long the engine sleeps at most, so that it notices when it was stopped.
const TICK: Duration = Duration::from_millis(250);
/// A gap between two turns that no working engine has.
const STALL: Duration = Duration::from_secs(1);
/// How often a store that could not write is tried again.
const PROBE: Duration = Duration::from_secs(1);
/// How often weights in force follow load reports.
const REWEIGH: Duration = Duration::from_millis(200);
/// Commands that may wait for the engine.
pub(crate) const QUEUE: usize = 8_192;
/// Writes in one commit; bounds how long a reply waits for its batch to be applied.
const MAX_BATCH: usize = 4_096;
