//! The bounded history of changes that watchers follow, and the bell that wakes them.
//!
//! There are no listener lists: a watcher remembers the revision it has seen and reads on from
//! there. One that falls behind further than the journal reaches starts again from a full read. It
//! is bounded by events and by bytes: one client may make each of them large.

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
    /// About how many bytes they take.
    bytes: usize,
}

impl Event {
    /// About how many bytes it takes, as if nobody else had what it holds.
    fn footprint(&self) -> usize {
        let kind = match &self.kind {
            EventKind::Put(view) => view.instance.footprint(),
            EventKind::Service(Some(settings)) => settings.footprint(),
            EventKind::Remove(..) | EventKind::Service(None) => 0,
        };
        size_of::<Self>() + kind
    }
}

impl Journal {
    /// How many events are kept at most.
    pub const CAPACITY: usize = 65_536;
    /// About how many bytes they take at most.
    const BYTES: usize = 128 << 20;

    /// An empty journal that begins at `revision`.
    #[must_use]
    pub fn new(revision: Revision) -> Self {
        let ring = Ring { since: revision, events: VecDeque::new(), bytes: 0 };
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
        for event in events {
            ring.bytes += event.footprint();
            ring.events.push_back(Arc::new(event));
        }
        while (ring.events.len() > Self::CAPACITY || ring.bytes > Self::BYTES)
            && let Some(dropped) = ring.events.pop_front()
        {
            ring.bytes -= dropped.footprint();
            // A reader from before it has lost it.
            ring.since = dropped.revision;
        }
        self.bell.send_replace(revision);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{Admin, InstanceSpec};
    use crate::registry::instance::{Source, Vitals};

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

    #[test]
    fn large_events_leave_room_for_fewer() {
        let metadata: BTreeMap<_, _> =
            (0..64).map(|n| (format!("{n:0128}"), "v".repeat(512))).collect();
        let spec = serde_json::json!({ "addresses": ["10.0.0.1"], "metadata": metadata });
        let spec: InstanceSpec = serde_json::from_value(spec).unwrap();
        let id = InstanceId::new("web-1").unwrap();
        let instance = Arc::new(spec.build(id, None, Admin::Enabled).unwrap());
        let journal = Journal::new(Revision(0));
        let put = |revision| Event {
            kind: EventKind::Put(InstanceView {
                instance: Arc::clone(&instance),
                source: Source::Api,
                generation: 1,
                owner: None,
                revision: Revision(revision),
                lapsed: false,
                observed: None,
                vitals: Arc::new(Vitals::new()),
            }),
            ..event(revision)
        };

        (1..=4_000).for_each(|revision| journal.append(vec![put(revision)], Revision(revision)));
        let kept = (0..4_000).find(|revision| journal.after(Revision(*revision)).is_some());
        let kept = journal.after(Revision(kept.unwrap())).unwrap();

        let bytes: usize = kept.iter().map(|_| 64 * 640).sum();
        assert!((64 << 20..=128 << 20).contains(&bytes), "{} events", kept.len());
        assert_eq!(kept.last().unwrap().revision, Revision(4_000));
        // What is small has its room again.
        journal.append((4_001..=44_000).map(event).collect(), Revision(44_000));
        assert_eq!(journal.after(Revision(4_000)).unwrap().len(), 40_000);
    }
}
