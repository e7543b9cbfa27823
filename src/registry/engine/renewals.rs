//! The engine's heartbeats: they move deadlines and loads in place and need no commit; what they say
//! of a status becomes a write.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::model::{Actor, Author, Millis};
use crate::registry::command::{Renewal, Renewed};
use crate::registry::engine::{Engine, count};
use crate::registry::plan::{StatusReport, Write};
use crate::registry::refusal::Refusal;
use crate::registry::reply::{Answer, Reply};
use crate::registry::trail::Trigger;

impl Engine {
    pub(super) fn renew(
        &mut self,
        author: Author,
        renewals: Vec<Renewal>,
        reply: oneshot::Sender<Result<Vec<Renewed>, Refusal>>,
        now: Millis,
    ) {
        count(&self.stats.renewals, renewals.len());
        // Renewing what had lapsed changes what is served, and what is suspect, what is shown of it:
        // that needs a revision.
        let revives = |renewal: &Renewal| {
            let view = self.state.instance(renewal.service.as_str(), renewal.id.as_str());
            view.is_some_and(|view| {
                (view.lapsed || view.is_suspect())
                    && renewal.is_of(view)
                    && self.state.permits(&author.actor, view)
            })
        };
        let revived = renewals.iter().any(revives);
        if revived {
            self.state.revision = self.state.revision.next();
        }
        self.state.trail.because(author.clone(), Trigger::Call);
        let mut statuses = Vec::new();
        let mut results = Vec::with_capacity(renewals.len());
        for renewal in &renewals {
            results.push(self.renew_one(&author.actor, renewal, now, &mut statuses));
        }
        if !statuses.is_empty() {
            let reply = Reply::Renewed(renewals, results, reply);
            self.waiting.push(author, Write::Statuses(statuses), reply, now);
        } else if revived {
            // Once it is published, which one turn does for all that came back in it.
            self.answers.push(Answer::Renewed(results, reply));
        } else {
            reply.send(Ok(results)).ok();
        }
    }

    fn renew_one(
        &mut self,
        actor: &Actor,
        renewal: &Renewal,
        now: Millis,
        statuses: &mut Vec<StatusReport>,
    ) -> Renewed {
        let Renewal { service, id, generation, status, load, read_at } = renewal;
        let view = self.state.instance(service.as_str(), id.as_str());
        let Some(view) = view.filter(|view| renewal.is_of(view)) else {
            return renewal.outcome(view, now);
        };
        if let Some(owner) = self.state.owner(view).filter(|own| !actor.may_write(Some(own))) {
            return Renewed::OwnedBy(owner.clone());
        }
        let current = view.instance.status;
        let vitals = Arc::clone(&view.vitals);
        self.state.renew(service, id, *read_at);
        if let Some(load) = load {
            vitals.meter().report(*load, now);
            self.state.hear_load(service, id, load, now);
            self.publisher.note_report(service, now);
        }
        if let Some(status) = status.filter(|status| *status != current) {
            let (service, id) = (service.clone(), id.clone());
            statuses.push(StatusReport { service, id, generation: *generation, status });
        }
        Renewed::Until(vitals.deadline().map(|deadline| deadline.since(now)))
    }
}
