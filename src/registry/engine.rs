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
use crate::registry::command::{Command, EngineStats, PersistRequest, Reloaded, Renewal, Renewed};
use crate::registry::journal::Journal;
use crate::registry::leases::Due;
use crate::registry::op::{Key, Op};
use crate::registry::plan::{Names, Planner, Policy, Write};
use crate::registry::publish::Publisher;
use crate::registry::refusal::Refusal;
use crate::registry::reply::Reply;
use crate::registry::state::State;
use crate::registry::view::Views;

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
    /// The revision that the store was last told.
    told: Revision,
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
    reply: Reply,
}

impl Planned {
    /// Whether any of it must be stored.
    fn is_durable(&self) -> bool {
        self.ops.iter().any(|op| op.key().is_some())
    }
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
            told: state.revision,
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
            && self.last_commit_sent
    }

    fn take(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Write(_, reply) if self.going_down.is_some() => {
                reply.refuse(Refusal::ShuttingDown);
            }
            Command::Write(write, reply) => self.waiting.push((*write, reply)),
            Command::Renew(renewals, reply) => self.renew(renewals, reply, now),
            Command::Reload { policy, statics_changed, reply } => {
                let reloaded = self.reload(*policy, statics_changed, now);
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
        // One change for each service.
        due.sort_unstable();
        for same in due.chunk_by(|a, b| a.0 == b.0) {
            self.state.revision = self.state.revision.next();
            for (service, id) in same {
                self.state.expire(service, id, now);
            }
        }
        count(&self.stats.expired, due.len());
        self.state.prune_deadlines();
    }

    fn renew(
        &mut self,
        renewals: Vec<Renewal>,
        reply: oneshot::Sender<Result<Vec<Renewed>, Refusal>>,
        now: Millis,
    ) {
        count(&self.stats.renewals, renewals.len());
        // Renewing what had lapsed changes what is served, and so needs a revision.
        let revives = |renewal: &Renewal| {
            let view = self.state.instance(renewal.service.as_str(), renewal.id.as_str());
            view.is_some_and(|view| view.lapsed && renewal.is_of(view))
        };
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
        let view = self.state.instance(renewal.service.as_str(), renewal.id.as_str());
        let Some(view) = view else { return Renewed::Unknown };
        if !renewal.is_of(view) {
            return Renewed::Owned;
        }
        let Renewal { service, id, status, load, read_at, .. } = renewal;
        let current = view.instance.status;
        let vitals = Arc::clone(&view.vitals);
        self.state.renew(&service, &id, read_at);
        if let Some(load) = load {
            vitals.meter().report(load, now);
            self.publisher.note_report(&service, now);
        }
        if let Some(status) = status.filter(|status| *status != current) {
            statuses.push((service, id, status));
        }
        Renewed::Until(vitals.deadline().map(|deadline| deadline.since(now)))
    }

    fn reload(&mut self, policy: Policy, statics_changed: bool, now: Millis) -> Reloaded {
        self.state.set_forget_after(policy.forget_after);
        self.policy = policy;
        let before = self.state.revision;
        self.state.revision = before.next();
        let changed = self.state.declare(&self.policy.declared, now) || statics_changed;
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
        let stores = self.failure.is_none() || probing || last;
        let writes = self.plan(stores);
        if !stores {
            self.apply(writes, now);
            return;
        }
        let durable = writes.iter().any(Planned::is_durable);
        let ahead = self.state.revision.0 > self.told.0 + MAX_AHEAD;
        let caught_up =
            &std::mem::take(&mut self.state.unstored) | &std::mem::take(&mut self.suspect);
        if !durable && caught_up.is_empty() && !probing && !last && !ahead {
            self.apply(writes, now);
            return;
        }
        self.last_commit_sent |= last;
        let stale = caught_up.iter().map(|key| self.state.stored(key));
        let fresh = writes.iter().flat_map(|w| &w.ops).filter_map(Op::change);
        let changes = stale.chain(fresh).collect();
        // Not less than any revision that these writes, or a generation, will have.
        let reached = self.state.revision.0 + writes.len() as u64;
        self.told = Revision(reached.max(self.generation));
        let commit = Commit { revision: self.told, changes };
        let (reply, done) = oneshot::channel();
        if self.persist.try_send(PersistRequest { commit, done: reply }).is_err() {
            tracing::error!("the store's thread is gone");
        }
        self.in_flight = Some(Batch { done, writes, caught_up });
    }

    /// Plans what is waiting. While the store cannot write, what needs it is refused, and nothing
    /// builds on that; what only renews goes on.
    fn plan(&mut self, stores: bool) -> Vec<Planned> {
        let failure = self.failure.as_ref().filter(|_| !stores);
        let waiting = self.waiting.len().min(MAX_BATCH);
        let mut planner =
            Planner::new(&self.state, &self.policy, &self.names, &mut self.generation);
        let mut planned = Vec::with_capacity(waiting);
        for (write, reply) in self.waiting.drain(..waiting) {
            let write = match planner.plan(write) {
                Ok(ops) => Planned { ops, reply },
                Err(refusal) => {
                    reply.refuse(refusal);
                    continue;
                }
            };
            match failure {
                Some(failure) if write.is_durable() => {
                    planner.take_back();
                    write.reply.refuse(failure.clone().into());
                }
                Some(_) | None => planned.push(write),
            }
        }
        planned
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
        for Planned { ops, reply } in writes {
            let (overtaken, ops) =
                ops.into_iter().partition::<Vec<_>, _>(|op| op.overtaken(&self.state).is_some());
            if let Some(op) = overtaken.first() {
                // The store has all of it, so it must hear what holds instead.
                self.suspect.extend(overtaken.iter().filter_map(Op::key));
                let refusal = op.overtaken(&self.state).filter(|_| reply.is_all_or_nothing());
                if let Some(refusal) = refusal {
                    self.suspect.extend(ops.iter().filter_map(Op::key));
                    reply.refuse(refusal);
                    continue;
                }
            }
            let created = reply.is_new(&self.state);
            let before = self.state.revision;
            self.state.revision = before.next();
            let mut changed = false;
            for op in ops {
                changed |= self.state.apply(op, now);
            }
            if !changed {
                self.state.revision = before;
            }
            // As this write left things: the next one may be of the same instance.
            answers.push(reply.answer(&self.state, created, now));
        }
        self.publish(now);
        for answer in answers {
            answer();
        }
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
/// How far revisions that need no commit may run ahead of the store before it gets one all the
/// same; far less than what a store skips after a crash.
const MAX_AHEAD: u64 = 4_096;
/// Commands that may wait for the engine.
pub(crate) const QUEUE: usize = 8_192;
/// Writes in one commit; bounds how long a reply waits for its batch to be applied.
const MAX_BATCH: usize = 4_096;
