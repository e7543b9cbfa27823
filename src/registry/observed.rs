//! What this server found out about an instance by itself, as against what was said of it.
//!
//! In memory only: after a restart it is found out again. The state changes it, views show it.

use std::sync::Arc;

use crate::model::{CheckKind, InstanceId, Millis, ServiceName, Status};
use crate::registry::checks::CheckView;
use crate::registry::journal::EventKind;
use crate::registry::state::State;

/// Findings about one instance. By default there are none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// It is full, or says that it has too much to do.
    pub overloaded: bool,
    /// Its checks and what they say.
    pub checks: Box<[CheckView]>,
}

impl Observed {
    /// Why it is not usable; empty when all is well.
    pub fn reasons(&self) -> impl Iterator<Item = &'static str> + use<> {
        let overloaded = self.overloaded.then_some(OVERLOADED);
        let checks = CheckKind::ALL.map(|kind| {
            let critical =
                |view: &CheckView| view.check.kind() == kind && view.state == Status::Critical;
            self.checks.iter().any(critical).then_some(kind.reason())
        });
        [overloaded].into_iter().chain(checks).flatten()
    }
}

impl State {
    /// Lets `change` correct what was found out about an instance, as part of the current revision.
    /// Says whether anything is different.
    pub(crate) fn observe(
        &mut self,
        service: &ServiceName,
        id: &InstanceId,
        now: Millis,
        change: impl FnOnce(&mut Observed),
    ) -> bool {
        let revision = self.revision;
        let Some(entry) = self.services.get_mut(service) else { return false };
        let Some(view) = entry.instances.get(id.as_str()) else { return false };
        let before = view.observed.as_deref().cloned().unwrap_or_default();
        let mut observed = before.clone();
        change(&mut observed);
        if observed == before {
            return false;
        }
        let was = entry.answers(view);
        let Some(view) = entry.instances.get_mut(id.as_str()) else { return false };
        view.observed = (observed != Observed::default()).then(|| Arc::new(observed));
        view.revision = revision;
        let view = view.clone();
        entry.note_withdrawal(was, &view, now);
        self.note(service, EventKind::Put(view));
        true
    }
}

/// One finding, to be told to the registry.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Whether it is overloaded.
    Overloaded(bool),
    /// What one of its checks says now.
    Check(CheckView),
}

impl Finding {
    /// Puts this in the place of what was found before.
    pub(crate) fn note(self, observed: &mut Observed) {
        match self {
            Self::Overloaded(overloaded) => observed.overloaded = overloaded,
            Self::Check(news) => {
                // One that was replaced meanwhile is not there.
                let same = |view: &&mut CheckView| Arc::ptr_eq(&view.latest, &news.latest);
                let checks = observed.checks.iter_mut().find(same);
                if let Some(view) = checks.filter(|view| view.state != news.state) {
                    *view = news;
                }
            }
        }
    }
}

/// Why an instance that is overloaded is not usable.
pub(crate) const OVERLOADED: &str = "overloaded";
