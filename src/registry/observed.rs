//! What this server found out about an instance by itself, as against what was said of it.
//!
//! In memory only: after a restart it is found out again. The state changes it, views show it.

use std::sync::Arc;

use crate::model::{CheckKind, Status};
use crate::registry::checks::CheckView;

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
        let overloaded = self.overloaded.then_some("overloaded");
        let checks = CheckKind::ALL.map(|kind| {
            let critical =
                |view: &CheckView| view.check.kind() == kind && view.state == Status::Critical;
            self.checks.iter().any(critical).then_some(kind.reason())
        });
        [overloaded].into_iter().chain(checks).flatten()
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
