//! The engine's way to the store and back: what waits is planned and sent as one batch, and when it
//! is durable it is applied.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::{Author, Commit, CommitError, Millis, Revision};
use crate::registry::command::PersistRequest;
use crate::registry::engine::{Engine, count};
use crate::registry::op::{Key, Op};
use crate::registry::plan::Planner;
use crate::registry::refusal::Refusal;
use crate::registry::reply::Reply;
use crate::registry::state::State;
use crate::registry::trail::Trigger;

/// Writes that are on their way to the store.
pub(super) struct Batch {
    done: oneshot::Receiver<Result<(), CommitError>>,
    writes: Vec<Planned>,
    /// Keys that the batch brings up to date besides the writes.
    caught_up: BTreeSet<Key>,
}

/// A write that was found legal.
struct Planned {
    author: Author,
    ops: Vec<Op>,
    reply: Reply,
}

impl Planned {
    /// Whether any of it must be stored.
    fn is_durable(&self) -> bool {
        self.ops.iter().any(Op::is_durable)
    }

    /// Whether it does no more than renew leases of `state`, and so builds on no write before it.
    fn only_renews(&self, state: &State) -> bool {
        !self.ops.is_empty() && self.ops.iter().all(|op| op.only_renews(state))
    }
}

impl Engine {
    /// Sends what is waiting to the store as one batch, when the last one is through.
    pub(super) fn start_commit(&mut self, now: Millis) {
        if self.in_flight.is_some() {
            return;
        }
        let last = self.going_down.is_some() && self.waiting.is_empty() && !self.last_commit_sent;
        let probing = self.failure.is_some() && now >= self.probe_at;
        let mut writes = self.plan();
        if self.failure.is_some() {
            // What was not refused needs no store.
            self.apply(std::mem::take(&mut writes), now);
            if !probing && !last {
                return;
            }
        }
        let durable = writes.iter().any(Planned::is_durable);
        let ahead = self.state.revision.0 > self.told.0 + MAX_AHEAD;
        let mut caught_up = std::mem::take(&mut self.state.unstored);
        caught_up.append(&mut self.suspect);
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
        self.told = self.told.max(Revision(reached.max(self.generation)));
        let commit = Commit { revision: self.told, changes };
        let (reply, done) = oneshot::channel();
        if self.persist.try_send(PersistRequest { commit, done: reply }).is_err() {
            tracing::error!("the store's thread is gone");
        }
        self.in_flight = Some(Batch { done, writes, caught_up });
    }

    /// Plans what is waiting. While the store cannot write, what needs it is refused, and nothing
    /// builds on that; what only renews goes on.
    fn plan(&mut self) -> Vec<Planned> {
        let mut planner =
            Planner::new(&self.state, &self.policy, &self.names, &mut self.generation);
        let mut planned = Vec::with_capacity(self.waiting.len().min(MAX_BATCH));
        let mut size = 0;
        while size < MAX_BATCH
            && let Some((author, write, reply)) = self.waiting.next()
        {
            size += write.size();
            let write = match planner.plan(author.actor.clone(), write) {
                Ok(ops) => Planned { author, ops, reply },
                Err(refusal) => {
                    reply.refuse(refusal);
                    continue;
                }
            };
            match &self.failure {
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
    pub(super) fn settle(&mut self, result: Result<(), CommitError>) {
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
                let only_renews = |write: &Planned| write.only_renews(&self.state);
                let (renewals, refused) =
                    batch.writes.into_iter().partition::<Vec<_>, _>(only_renews);
                for write in refused {
                    write.reply.refuse(error.clone().into());
                }
                self.apply(renewals, now);
                self.failure = Some(error);
                self.probe_at = now + PROBE;
            }
        }
    }

    /// Applies, and keeps the answers until what was applied is published.
    fn apply(&mut self, writes: Vec<Planned>, now: Millis) {
        self.answers.reserve(writes.len());
        for Planned { author, ops, reply } in writes {
            let ops = match self.still_legal(ops, &reply) {
                Ok(ops) => ops,
                Err(refusal) => {
                    reply.refuse(refusal);
                    continue;
                }
            };
            self.state.trail.because(author, Trigger::Call);
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
            self.answers.push(reply.answer(&self.state, created, now));
        }
    }

    /// What of `ops` has not been overtaken since it was planned. A write that must be done whole
    /// is refused instead.
    fn still_legal(&mut self, ops: Vec<Op>, reply: &Reply) -> Result<Vec<Op>, Refusal> {
        let refusal = ops.iter().find_map(|op| op.overtaken(&self.state));
        let Some(refusal) = refusal else { return Ok(ops) };
        // The store has all of it, so it must hear what holds instead.
        if reply.is_all_or_nothing() {
            self.suspect.extend(ops.iter().filter_map(Op::key));
            return Err(refusal);
        }
        let (overtaken, ops) =
            ops.into_iter().partition::<Vec<_>, _>(|op| op.overtaken(&self.state).is_some());
        self.suspect.extend(overtaken.iter().filter_map(Op::key));
        Ok(ops)
    }
}

/// Waits for the batch that is on its way; for ever when there is none.
pub(super) async fn settled(in_flight: &mut Option<Batch>) -> Result<(), CommitError> {
    match in_flight {
        Some(batch) => (&mut batch.done)
            .await
            .unwrap_or_else(|_| Err(CommitError::Unavailable("its thread is gone".into()))),
        None => std::future::pending().await,
    }
}

/// How often a store that could not write is tried again.
const PROBE: Duration = Duration::from_secs(1);
/// How far revisions that need no commit may run ahead of the store before it gets one all the
/// same; far less than what a store skips after a crash.
const MAX_AHEAD: u64 = 4_096;
/// Items in one commit, but for those of its last write; bounds how long a reply waits for its batch
/// to be applied, and a heartbeat for the engine.
const MAX_BATCH: usize = 4_096;
