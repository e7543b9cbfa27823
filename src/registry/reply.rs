//! Who waits for a write, and what they are told: put together as the write left things, sent when
//! everybody can see them.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::{InstanceId, Millis, Revision, ServiceName, Settings};
use crate::registry::command::{Reloaded, Renewal, Renewed, Written};
use crate::registry::instance::InstanceView;
use crate::registry::refusal::Refusal;
use crate::registry::state::State;

/// Who waits for a write, and for what.
#[derive(Debug)]
pub(crate) enum Reply {
    Instance(ServiceName, InstanceId, oneshot::Sender<Result<Written, Refusal>>),
    Settings(ServiceName, oneshot::Sender<Result<(Settings, Revision), Refusal>>),
    Revision(oneshot::Sender<Result<Revision, Refusal>>),
    Renewed(Vec<Renewal>, Vec<Renewed>, oneshot::Sender<Result<Vec<Renewed>, Refusal>>),
}

// Whoever asked may have gone away: what was done stays done.
impl Reply {
    /// Tells that the write did not happen.
    pub(crate) fn refuse(self, refusal: Refusal) {
        match self {
            Self::Instance(_, _, reply) => drop(reply.send(Err(refusal))),
            Self::Settings(_, reply) => drop(reply.send(Err(refusal))),
            Self::Revision(reply) => drop(reply.send(Err(refusal))),
            Self::Renewed(_, _, reply) => drop(reply.send(Err(refusal))),
        }
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Instance(_, _, reply) => reply.is_closed(),
            Self::Settings(_, reply) => reply.is_closed(),
            Self::Revision(reply) => reply.is_closed(),
            Self::Renewed(_, _, reply) => reply.is_closed(),
        }
    }

    /// Whether the write must be done whole. Heartbeats are many writes of many clients.
    pub(crate) fn is_all_or_nothing(&self) -> bool {
        match self {
            Self::Instance(..) | Self::Settings(..) | Self::Revision(_) => true,
            Self::Renewed(..) => false,
        }
    }

    /// Whether the write, which is not yet applied, is of an instance that is not there.
    pub(crate) fn is_new(&self, state: &State) -> bool {
        match self {
            Self::Instance(service, id, _) => {
                state.instance(service.as_str(), id.as_str()).is_none()
            }
            Self::Settings(..) | Self::Revision(_) | Self::Renewed(..) => false,
        }
    }

    /// What to tell of the write, which `state` is the result of.
    pub(crate) fn answer(self, state: &State, created: bool, now: Millis) -> Answer {
        let revision = state.revision;
        match self {
            Self::Instance(service, id, reply) => {
                let found = state.instance(service.as_str(), id.as_str()).cloned();
                let written = found.map(|instance| Written {
                    safe_in: safe_in(state, &service, &instance, now),
                    instance,
                    revision,
                    created,
                });
                let result = written.ok_or(Refusal::UnknownInstance { service, id });
                Answer::Instance(result, reply)
            }
            Self::Settings(service, reply) => {
                let entry = state.services.get(&service);
                let settings = entry.map(|entry| (entry.settings(&state.defaults), revision));
                Answer::Settings(settings.ok_or(Refusal::UnknownService(service)), reply)
            }
            Self::Revision(reply) => Answer::Revision(revision, reply),
            Self::Renewed(renewals, mut results, reply) => {
                // The store may have taken longer than a lease.
                for (renewal, result) in renewals.iter().zip(&mut results) {
                    if matches!(result, Renewed::Until(_)) {
                        let (service, id) = (renewal.service.as_str(), renewal.id.as_str());
                        *result = renewal.outcome(state.instance(service, id), now);
                    }
                }
                Answer::Renewed(results, reply)
            }
        }
    }
}

/// What is told of a write once everybody can see it, and to whom.
#[derive(Debug)]
pub(crate) enum Answer {
    Instance(Result<Written, Refusal>, oneshot::Sender<Result<Written, Refusal>>),
    Settings(
        Result<(Settings, Revision), Refusal>,
        oneshot::Sender<Result<(Settings, Revision), Refusal>>,
    ),
    Revision(Revision, oneshot::Sender<Result<Revision, Refusal>>),
    Renewed(Vec<Renewed>, oneshot::Sender<Result<Vec<Renewed>, Refusal>>),
    Reloaded(Reloaded, oneshot::Sender<Result<Reloaded, Refusal>>),
    Reported(Vec<(InstanceId, bool)>, oneshot::Sender<Result<Vec<(InstanceId, bool)>, Refusal>>),
}

impl Answer {
    /// Tells it.
    pub(crate) fn send(self) {
        match self {
            Self::Instance(result, reply) => drop(reply.send(result)),
            Self::Settings(result, reply) => drop(reply.send(result)),
            Self::Revision(revision, reply) => drop(reply.send(Ok(revision))),
            Self::Renewed(results, reply) => drop(reply.send(Ok(results))),
            Self::Reloaded(reloaded, reply) => drop(reply.send(Ok(reloaded))),
            Self::Reported(results, reply) => drop(reply.send(Ok(results))),
        }
    }
}

/// How long caches may still hold an instance that is not answered; `None` while it is.
fn safe_in(
    state: &State,
    service: &ServiceName,
    view: &InstanceView,
    now: Millis,
) -> Option<Duration> {
    let entry = state.services.get(service)?;
    if entry.answers(view) {
        return None;
    }
    let ttl = entry.settings(&state.defaults).ttl.get();
    // Answers carry whole seconds, at least one unless nobody may cache.
    let cached = if ttl.is_zero() { ttl } else { ttl.max(Duration::from_secs(1)) };
    let withdrawn = view.vitals.withdrawn();
    if withdrawn == Millis(0) {
        return Some(Duration::ZERO);
    }
    Some((withdrawn + cached).max(entry.held_until).since(now))
}
