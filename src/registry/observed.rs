//! What this server found out about an instance by itself, as against what was said of it.
//!
//! In memory only: after a restart it is found out again. The state changes it, views show it.

use crate::model::Millis;
use crate::registry::outliers::Cause;

/// Findings about one instance. By default there are none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// It is full, or says that it has too much to do.
    pub overloaded: bool,
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
        let overloaded = self.overloaded.then_some("overloaded");
        let ejected = self.ejected.map(|_| "ejected");
        [overloaded, ejected].into_iter().flatten()
    }

    /// What is left of this when the instance is registered anew, as something else than before: what
    /// clients saw was another.
    #[must_use]
    pub(crate) fn registered_anew(self) -> Self {
        Self { ejected: None, suspect: None, ..self }
    }
}

/// One finding, to be told to the registry.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Whether it is overloaded.
    Overloaded(bool),
}

impl Finding {
    /// Puts this in the place of what was found before.
    pub(crate) fn note(self, observed: &mut Observed) {
        match self {
            Self::Overloaded(overloaded) => observed.overloaded = overloaded,
        }
    }
}
