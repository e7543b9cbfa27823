//! What this server found out about an instance by itself, as against what was said of it.
//!
//! In memory only: after a restart it is found out again. The state changes it, views show it.

use std::sync::Arc;

use crate::model::{CheckKind, InstanceId, Millis, ServiceName, Status};
use crate::registry::checks::CheckView;
use crate::registry::instance::InstanceView;
use crate::registry::journal::EventKind;
use crate::registry::outliers::Cause;
use crate::registry::state::State;
use crate::registry::trail::Before;

/// Findings about one instance. By default there are none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// It is full, or says that it has too much to do.
    pub overloaded: bool,
    /// Its checks and what they say.
    pub checks: Box<[CheckView]>,
    /// Its clients report failures.
    pub ejected: Option<Ejected>,
    /// Its lease ended together with too many others, and it is kept until what is its deadline now.
    /// It is answered all the same.
    pub suspect: Option<Suspect>,
}

/// Why an instance is kept whose lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspect {
    /// Too many of its service ended together.
    Service,
    /// Too many of the registry did.
    Registry,
}

impl Suspect {
    /// The reason, for people.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Service => "lease expired with many others of the service",
            Self::Registry => "lease expired with many others of the registry",
        }
    }
}

/// An instance that is not answered for what clients report of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejected {
    /// What they report.
    pub cause: Cause,
    /// When it is answered again.
    pub until: Millis,
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
        let ejected = self.ejected.map(|_| "ejected");
        [overloaded, ejected].into_iter().chain(checks).flatten()
    }

    /// Puts `news` of a check in the place of what was known of it. One that was replaced meanwhile is
    /// not there.
    pub(crate) fn note(&mut self, news: CheckView) {
        let known = self.checks.iter_mut().find(|view| Arc::ptr_eq(&view.latest, &news.latest));
        if let Some(view) = known.filter(|view| **view != news) {
            *view = news;
        }
    }

    /// What checks say, without what else was found out.
    #[must_use]
    pub(crate) fn of_checks(&self) -> Option<Arc<Self>> {
        let checks = Self { checks: self.checks.clone(), ..Self::default() };
        (checks != Self::default()).then(|| Arc::new(checks))
    }

    /// What is left of this when the instance is registered anew, as something else than before: what
    /// clients saw was another.
    #[must_use]
    pub(crate) fn registered_anew(self) -> Self {
        Self { ejected: None, suspect: None, ..self }
    }
}

/// How many instances of a service something was found out about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Findings {
    /// Those that are ejected.
    pub ejected: usize,
    /// Those that are suspect.
    pub suspect: usize,
}

impl Findings {
    pub(crate) fn of(instances: &[InstanceView]) -> Self {
        let mut findings = Self::default();
        for observed in instances.iter().filter_map(|view| view.observed.as_deref()) {
            findings.ejected += usize::from(observed.ejected.is_some());
            findings.suspect += usize::from(observed.suspect.is_some());
        }
        findings
    }
}

impl InstanceView {
    /// Why it is kept although its lease ended; `None` when it is not.
    #[must_use]
    pub fn suspect(&self) -> Option<Suspect> {
        self.observed.as_ref()?.suspect
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect().is_some()
    }

    /// Takes note of a sign of life.
    pub(crate) fn clear_suspicion(&mut self) {
        if self.is_suspect() {
            let observed = self.observed.as_deref().cloned().unwrap_or_default();
            let observed = Observed { suspect: None, ..observed };
            self.observed = (observed != Observed::default()).then(|| Arc::new(observed));
        }
    }

    /// Whether it would be answered if it was not ejected.
    pub(crate) fn is_candidate(&self) -> bool {
        let ejected = self.observed.as_ref().is_some_and(|observed| observed.ejected.is_some());
        self.usable() || ejected && self.reasons() == ["ejected"]
    }

    /// What is found out about it after another change of it, `registers` if that is a registration.
    pub(crate) fn observed_after(&self, registers: bool) -> Option<Arc<Observed>> {
        if !registers {
            return self.observed.clone();
        }
        let observed = self.observed.as_deref()?.clone().registered_anew();
        (observed != Observed::default()).then(|| Arc::new(observed))
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
        let before = view.clone();
        let observed = (observed != Observed::default()).then(|| Arc::new(observed));
        let view = InstanceView { observed, revision, ..before.clone() };
        entry.instances.insert(view.clone());
        entry.note_withdrawal(was, &view, now);
        self.note(service, Before::Instance(before), EventKind::Put(view));
        true
    }
}

/// Why an instance that is overloaded is not usable.
pub(crate) const OVERLOADED: &str = "overloaded";
