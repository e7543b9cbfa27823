//! The bounded history of changes that watchers follow, and the bell that wakes them.
//!
//! There are no listener lists: a watcher remembers the revision it has seen and reads on from
//! there. One that falls behind further than the journal reaches starts again from a full read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::model::{InstanceId, Revision, ServiceName, Settings};
use crate::registry::instance::InstanceView;

/// One change, as watchers are told of it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The revision that it belongs to; events of one revision belong together.
    pub revision: Revision,
    /// The service it concerns.
    pub service: ServiceName,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a service or an instance.
#[derive(Debug, Clone)]
pub enum EventKind {
    /// The instance is new or different.
    Put(InstanceView),
    /// The instance is gone.
    Remove(InstanceId, Reason),
    /// The service's effective settings, or `None` when it is no longer known.
    Service(Option<Settings>),
}

/// Why an instance is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Its owner deregistered it.
    Deregistered,
    /// Its lease ended.
    Expired,
    /// The configuration file no longer declares it, or declares another in its place.
    File,
}

/// The last changes, and a bell.
#[derive(Debug)]
pub struct Journal {
    events: Mutex<Ring>,
    bell: watch::Sender<Revision>,
}

#[derive(Debug)]
struct Ring {
    /// Everything after this revision is in `events`.
    since: Revision,
    events: VecDeque<Arc<Event>>,
}

impl Journal {
    /// How many events are kept.
    pub const CAPACITY: usize = 65_536;

    /// An empty journal that begins at `revision`.
    #[must_use]
    pub fn new(revision: Revision) -> Self {
        let ring = Ring { since: revision, events: VecDeque::new() };
        Self { events: Mutex::new(ring), bell: watch::Sender::new(revision) }
    }

    /// All events after `revision`, or `None` when the journal does not reach back that far or
    /// never was that far.
    #[must_use]
    pub fn after(&self, revision: Revision) -> Option<Vec<Arc<Event>>> {
        self.page_after(revision, usize::MAX)
    }

    /// The first `size` events after `revision`, and the rest of the last one's revision; `None`
    /// as for [`Self::after`].
    #[must_use]
    pub fn page_after(&self, revision: Revision, size: usize) -> Option<Vec<Arc<Event>>> {
        let ring = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if revision < ring.since || revision > *self.bell.borrow() {
            return None;
        }
        let from = ring.events.partition_point(|event| event.revision <= revision);
        let last = ring.events.get(from.saturating_add(size).saturating_sub(1));
        let to = last.map_or(ring.events.len(), |last| {
            ring.events.partition_point(|event| event.revision <= last.revision)
        });
        Some(ring.events.range(from..to).cloned().collect())
    }

    /// A bell that shows the newest revision whenever something is appended.
    #[must_use]
    pub fn bell(&self) -> watch::Receiver<Revision> {
        self.bell.subscribe()
    }

    /// Appends `events`, which are in order of revision, and rings the bell with `revision`.
    pub(crate) fn append(&self, events: Vec<Event>, revision: Revision) {
        let mut ring = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        ring.events.extend(events.into_iter().map(Arc::new));
        let surplus = ring.events.len().saturating_sub(Self::CAPACITY);
        // A reader from before a dropped event has lost it.
        let last_dropped = ring.events.drain(..surplus).next_back().map(|event| event.revision);
        ring.since = last_dropped.unwrap_or(ring.since);
        self.bell.send_replace(revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64) -> Event {
        let service = ServiceName::new("web").unwrap();
        Event { revision: Revision(revision), service, kind: EventKind::Service(None) }
    }

    fn revisions(events: Option<Vec<Arc<Event>>>) -> Option<Vec<u64>> {
        events.map(|events| events.iter().map(|e| e.revision.0).collect())
    }

    #[test]
    fn a_reader_gets_what_came_after_its_revision() {
        let journal = Journal::new(Revision(10));
        journal.append(vec![event(11), event(12), event(12)], Revision(12));

        assert_eq!(revisions(journal.after(Revision(10))), Some(vec![11, 12, 12]));
        assert_eq!(revisions(journal.after(Revision(12))), Some(vec![]));
    }

    #[test]
    fn a_page_ends_with_a_whole_revision() {
        let journal = Journal::new(Revision(10));
        journal.append([11, 12, 12, 12, 13].map(event).into(), Revision(13));

        for (size, page) in
            [(1, vec![11]), (2, vec![11, 12, 12, 12]), (5, vec![11, 12, 12, 12, 13])]
        {
            assert_eq!(revisions(journal.page_after(Revision(10), size)), Some(page), "{size}");
        }
    }

    #[test]
    fn a_reader_from_before_or_from_another_life_must_start_again() {
        let journal = Journal::new(Revision(10));

        assert_eq!(revisions(journal.after(Revision(9))), None);
        assert_eq!(revisions(journal.after(Revision(11))), None);
    }

    #[test]
    fn a_full_journal_forgets_the_oldest_and_says_so() {
        let journal = Journal::new(Revision(0));
        let last = Journal::CAPACITY as u64 + 2;
        journal.append((1..=last).map(event).collect(), Revision(last));

        assert_eq!(revisions(journal.after(Revision(1))), None);
        assert_eq!(journal.after(Revision(2)).unwrap().len(), Journal::CAPACITY);
    }
}
