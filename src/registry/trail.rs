//! What changed, by whom and why, with what there was before: for who writes it down.
//!
//! The state notes it beside the events for watchers, the engine hands it out by the turn, together
//! with the answers of that turn: whoever writes it down sends them when that is done, so that what
//! is acknowledged is written down. With nobody who does, nothing is noted.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::model::{Author, Label, Millis, Revision, ServiceName, Settings, Token};
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
    /// Whether anybody writes them down now; `None`: nobody ever.
    open: Option<Arc<AtomicBool>>,
    author: Author,
    trigger: Trigger,
    entries: Vec<Entry>,
}

impl Trail {
    /// Keeps entries whenever `open` says so.
    pub(crate) fn keep(&mut self, open: Arc<AtomicBool>) {
        self.open = Some(open);
    }

    fn is_kept(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.load(Relaxed))
    }

    /// Says what the next entries are due to.
    pub(crate) fn because(&mut self, author: Author, trigger: Trigger) {
        if self.is_kept() {
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
        if !self.is_kept() {
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
        if self.is_kept() {
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
    /// How many entries nobody had room for, of all turns before.
    pub lost: u64,
    answers: Arc<Answers>,
}

impl Turn {
    /// What happened `at` that time, for which nobody waits.
    #[must_use]
    pub fn new(at: Duration, entries: Vec<Entry>) -> Self {
        Self { at, entries, lost: 0, answers: Arc::default() }
    }

    /// Tells who waits that it is done.
    pub fn answer(self) {
        self.answers.send();
    }
}

/// The answers of a turn, for whoever is the first to send them.
#[derive(Debug, Default)]
struct Answers(Mutex<Vec<Answer>>);

impl Answers {
    fn is_sent(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Sends them, and says whether there were any left.
    fn send(&self) -> bool {
        let answers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let any = !answers.is_empty();
        for answer in answers {
            answer.send();
        }
        any
    }
}

/// Where turns go to be written down.
#[derive(Debug)]
pub struct Tap {
    turns: SyncSender<Turn>,
    /// Entries that nobody had room for.
    lost: u64,
    counter: Arc<AtomicU64>,
    full: bool,
    /// The answers of turns that were handed out, and until when they wait.
    waiting: VecDeque<(Millis, Arc<Answers>)>,
    overdue: bool,
}

impl Tap {
    /// A tap to `turns`. Entries that there is no room for are counted by `lost`.
    #[must_use]
    pub fn new(turns: SyncSender<Turn>, lost: Arc<AtomicU64>) -> Self {
        let waiting = VecDeque::new();
        Self { turns, lost: 0, counter: lost, full: false, waiting, overdue: false }
    }

    /// Hands out what `trail` has of a turn. Where nobody has room for it the answers go out all the
    /// same: the registry does not wait for who writes.
    pub(crate) fn hand(
        &mut self,
        trail: &mut Trail,
        answers: Vec<Answer>,
        at: Duration,
        now: Millis,
    ) {
        let answers = Arc::new(Answers(Mutex::new(answers)));
        let (entries, lost) = (trail.take(), self.lost);
        let turn = Turn { at, entries, lost, answers: Arc::clone(&answers) };
        match self.turns.try_send(turn) {
            Ok(()) => {
                self.full = false;
                self.waiting.push_back((now + PATIENCE, answers));
            }
            Err(TrySendError::Full(turn) | TrySendError::Disconnected(turn)) => {
                let entries = turn.entries.len() as u64;
                self.lost += entries;
                self.counter.fetch_add(entries, Relaxed);
                if !std::mem::replace(&mut self.full, true) {
                    tracing::error!("the audit log is too far behind, changes are missing in it");
                }
                turn.answer();
            }
        }
    }

    /// Sends the answers that have waited for too long: a disk that hangs must not hang every client.
    pub(crate) fn lose_patience(&mut self, now: Millis) {
        while let Some((until, answers)) = self.waiting.front()
            && (*until <= now || answers.is_sent())
        {
            let late = answers.send();
            if late && !self.overdue {
                tracing::error!("the audit log is not written in time, calls are answered before");
            }
            self.overdue = late;
            self.waiting.pop_front();
        }
    }
}

/// How long an answer waits for its line.
const PATIENCE: Duration = Duration::from_secs(5);
