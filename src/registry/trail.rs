//! What changed, by whom and why, with what there was before: for who writes it down.
//!
//! The state notes it beside the events for watchers, the engine hands it out by the turn, together
//! with the answers of that turn: whoever writes it down sends them when that is done, so that what
//! is acknowledged is written down. With nobody who does, nothing is noted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::model::{Author, Label, Revision, ServiceName, Settings, Token};
use crate::registry::instance::InstanceView;
use crate::registry::journal::{Event, EventKind, Reason};
use crate::registry::reply::Answer;

/// A change, with what there was before.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The revision that it belongs to; `None` of what is no revision, as a token.
    pub revision: Option<Revision>,
    /// Who asked for it.
    pub author: Author,
    /// Why it happened.
    pub trigger: Trigger,
    /// What happened.
    pub deed: Deed,
}

/// Why something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// Somebody asked for it.
    #[default]
    Call,
    /// The configuration file says so.
    File,
    /// A lease ended.
    Lease,
    /// An active check said so.
    Check,
    /// What clients reported of an instance, or the end of what followed from it.
    Outcomes,
    /// What an instance reported of its load.
    Load,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Deed {
    /// An instance is new or different.
    Put {
        /// Its service.
        service: ServiceName,
        /// As it was; `None`: it was not there.
        before: Option<Shown>,
        /// As it is.
        after: Shown,
    },
    /// An instance is gone.
    Remove {
        /// Its service.
        service: ServiceName,
        /// As it was.
        before: Shown,
        /// Why it is gone.
        reason: Reason,
    },
    /// A service's effective settings are others.
    Service {
        /// The service.
        service: ServiceName,
        /// As they were; `None`: it was not known.
        before: Option<Box<Settings>>,
        /// As they are; `None`: it is forgotten.
        after: Option<Box<Settings>>,
    },
    /// A token was made or revoked.
    Token {
        /// The one that was revoked.
        before: Option<Arc<Token>>,
        /// The one that was made.
        after: Option<Arc<Token>>,
    },
    /// The configuration was read again and is in force.
    Reload,
}

/// An instance as it was at that moment.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The instance.
    pub view: InstanceView,
    /// Who owned it.
    pub owner: Option<Label>,
}

/// What there was before an event.
#[derive(Debug)]
pub(crate) enum Before {
    Nothing,
    Instance(InstanceView),
    Service(Settings),
}

impl From<Option<InstanceView>> for Before {
    fn from(view: Option<InstanceView>) -> Self {
        view.map_or(Self::Nothing, Self::Instance)
    }
}

/// The entries since the last turn, and what the next one is due to.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    kept: bool,
    author: Author,
    trigger: Trigger,
    entries: Vec<Entry>,
}

impl Trail {
    /// Whether entries are kept.
    pub(crate) fn keep(&mut self, kept: bool) {
        self.kept = kept;
    }

    /// Says what the next entries are due to.
    pub(crate) fn because(&mut self, author: Author, trigger: Trigger) {
        if self.kept {
            (self.author, self.trigger) = (author, trigger);
        }
    }

    /// Notes `event`, of what was `before`; `owner` tells whose an instance is.
    pub(crate) fn note<'o>(
        &mut self,
        event: &Event,
        before: Before,
        owner: impl Fn(&InstanceView) -> Option<&'o Label>,
    ) {
        if !self.kept {
            return;
        }
        let shown = |view: InstanceView| Shown { owner: owner(&view).cloned(), view };
        let service = event.service.clone();
        let deed = match (&event.kind, before) {
            (EventKind::Put(view), before) => {
                let before = match before {
                    Before::Instance(view) => Some(shown(view)),
                    Before::Nothing | Before::Service(_) => None,
                };
                Deed::Put { service, before, after: shown(view.clone()) }
            }
            (EventKind::Remove(_, reason), Before::Instance(view)) => {
                Deed::Remove { service, before: shown(view), reason: *reason }
            }
            // Only what was there can go.
            (EventKind::Remove(..), Before::Nothing | Before::Service(_)) => return,
            (EventKind::Service(after), before) => {
                let before = match before {
                    Before::Service(settings) => Some(Box::new(settings)),
                    Before::Nothing | Before::Instance(_) => None,
                };
                Deed::Service { service, before, after: after.clone().map(Box::new) }
            }
        };
        self.add(Some(event.revision), deed);
    }

    /// Notes what is no event.
    pub(crate) fn add(&mut self, revision: Option<Revision>, deed: Deed) {
        if self.kept {
            let (author, trigger) = (self.author.clone(), self.trigger);
            self.entries.push(Entry { revision, author, trigger, deed });
        }
    }

    /// Whether nothing happened.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }
}

/// What happened in one turn of the engine, and who waits for it to be written down.
#[derive(Debug)]
pub struct Turn {
    /// When, as time since 1970.
    pub at: Duration,
    /// What happened, in order.
    pub entries: Vec<Entry>,
    answers: Vec<Answer>,
}

impl Turn {
    /// What happened `at` that time, for which nobody waits.
    #[must_use]
    pub fn new(at: Duration, entries: Vec<Entry>) -> Self {
        Self { at, entries, answers: Vec::new() }
    }

    /// Tells who waits that it is done.
    pub fn answer(self) {
        for answer in self.answers {
            answer.send();
        }
    }
}

/// Where turns go to be written down.
#[derive(Debug, Clone)]
pub struct Tap {
    /// Where they go.
    pub turns: SyncSender<Turn>,
    /// Whether anybody writes them down now.
    pub open: Arc<AtomicBool>,
    /// Entries that nobody had room for.
    pub lost: Arc<AtomicU64>,
}

impl Tap {
    /// Whether anybody writes turns down now.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Hands out what `trail` has of a turn. Where nobody has room for it the answers go out all the
    /// same: the registry does not wait for who writes.
    pub(crate) fn hand(&self, trail: &mut Trail, answers: Vec<Answer>, at: Duration) {
        let turn = Turn { at, entries: trail.take(), answers };
        if let Err(unwanted) = self.turns.try_send(turn) {
            let turn = match unwanted {
                std::sync::mpsc::TrySendError::Full(turn)
                | std::sync::mpsc::TrySendError::Disconnected(turn) => turn,
            };
            self.lost.fetch_add(turn.entries.len() as u64, Relaxed);
            turn.answer();
        }
    }
}
