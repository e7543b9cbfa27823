//! The instances of a service as the state has them: the list that readers were shown last, and
//! what has changed since. State and view share that list, so that an instance is kept once.
//!
//! A change costs a search; the whole is walked only to be shown, once for all changes of a batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::InstanceId;
use crate::registry::instance::InstanceView;

/// Instances by id.
#[derive(Default)]
pub(crate) struct Roster {
    /// Sorted by id.
    shown: Arc<[InstanceView]>,
    /// What is different by now; `None` is gone.
    changes: BTreeMap<InstanceId, Option<InstanceView>>,
    len: usize,
}

impl Roster {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The instance with this id.
    pub(crate) fn get(&self, id: &str) -> Option<&InstanceView> {
        match self.changes.get(id) {
            Some(change) => change.as_ref(),
            None => self.find_shown(id),
        }
    }

    /// How many will be different when they are shown next.
    #[cfg(test)]
    pub(crate) fn changed(&self) -> usize {
        self.changes.len()
    }

    /// The instance with this id, to be changed in everything but its id. Counts as changed from now
    /// on, whatever is done to it.
    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut InstanceView> {
        if !self.changes.contains_key(id) {
            let view = self.find_shown(id)?.clone();
            self.changes.insert(view.instance.id.clone(), Some(view));
        }
        self.changes.get_mut(id)?.as_mut()
    }

    /// Adds an instance, or puts it in the place of another with its id.
    pub(crate) fn insert(&mut self, view: InstanceView) {
        self.len += usize::from(self.get(view.instance.id.as_str()).is_none());
        self.changes.insert(view.instance.id.clone(), Some(view));
    }

    /// Takes an instance out, and says whether it was there.
    pub(crate) fn remove(&mut self, id: &InstanceId) -> bool {
        if self.get(id.as_str()).is_none() {
            return false;
        }
        self.len -= 1;
        self.changes.insert(id.clone(), None);
        true
    }

    /// All instances, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &InstanceView> {
        let unchanged = |view: &&InstanceView| !self.changes.contains_key(&view.instance.id);
        self.shown.iter().filter(unchanged).chain(self.changes.values().flatten())
    }

    /// All instances by id, as readers are to see them from now on.
    pub(crate) fn show(&mut self) -> Arc<[InstanceView]> {
        if !self.changes.is_empty() {
            let mut all = Vec::with_capacity(self.len);
            let mut rest = &*self.shown;
            for (id, change) in std::mem::take(&mut self.changes) {
                let before = rest.partition_point(|view| view.instance.id < id);
                all.extend_from_slice(&rest[..before]);
                rest = &rest[before..];
                if rest.first().is_some_and(|view| view.instance.id == id) {
                    rest = &rest[1..];
                }
                all.extend(change);
            }
            all.extend_from_slice(rest);
            self.shown = all.into();
        }
        Arc::clone(&self.shown)
    }

    fn find_shown(&self, id: &str) -> Option<&InstanceView> {
        let found = self.shown.binary_search_by(|view| view.instance.id.as_str().cmp(id));
        found.ok().map(|at| &self.shown[at])
    }
}

impl Extend<InstanceView> for Roster {
    fn extend<I: IntoIterator<Item = InstanceView>>(&mut self, views: I) {
        views.into_iter().for_each(|view| self.insert(view));
    }
}

impl From<Vec<InstanceView>> for Roster {
    fn from(views: Vec<InstanceView>) -> Self {
        if !views.is_sorted_by(|a, b| a.instance.id < b.instance.id) {
            let mut roster = Self::default();
            roster.extend(views);
            return roster;
        }
        Self { len: views.len(), shown: views.into(), changes: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Admin, InstanceSpec, Revision};
    use crate::registry::instance::{Source, Vitals};

    fn view(id: u8, revision: u64) -> InstanceView {
        let spec: InstanceSpec = serde_json::from_str(r#"{"addresses":["10.0.0.1"]}"#).unwrap();
        let id = InstanceId::new(&format!("web-{id}")).unwrap();
        InstanceView {
            instance: Arc::new(spec.build(id, None, Admin::Enabled).unwrap()),
            source: Source::Api,
            generation: 0,
            owner: None,
            revision: Revision(revision),
            lapsed: false,
            observed: None,
            vitals: Arc::new(Vitals::new()),
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8),
        Change(u8),
        Remove(u8),
        Show,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..12_u8).prop_map(Step::Insert),
            (0..12_u8).prop_map(Step::Change),
            (0..12_u8).prop_map(Step::Remove),
            Just(Step::Show),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_shows_the_map_in_order(
            stored in 0..12_u8,
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let views: Vec<InstanceView> = (0..stored).map(|id| view(id, 0)).collect();
            let mut map: BTreeMap<String, u64> =
                views.iter().map(|view| (view.instance.id.to_string(), 0)).collect();
            let mut roster = Roster::from(views);
            for (revision, step) in (1..).zip(steps) {
                match step {
                    Step::Insert(id) => {
                        roster.insert(view(id, revision));
                        map.insert(format!("web-{id}"), revision);
                    }
                    Step::Change(id) => {
                        let id = format!("web-{id}");
                        if let Some(view) = roster.get_mut(&id) {
                            view.revision = Revision(revision);
                        }
                        map.entry(id).and_modify(|known| *known = revision);
                    }
                    Step::Remove(id) => {
                        let id = InstanceId::new(&format!("web-{id}")).unwrap();
                        prop_assert_eq!(roster.remove(&id), map.remove(id.as_str()).is_some());
                    }
                    Step::Show => drop(roster.show()),
                }
                let known = |view: &InstanceView| (view.instance.id.to_string(), view.revision.0);
                prop_assert_eq!(roster.iter().map(known).collect::<BTreeMap<_, _>>(), map.clone());
                prop_assert_eq!((roster.len(), roster.is_empty()), (map.len(), map.is_empty()));
                for (id, revision) in &map {
                    prop_assert_eq!(roster.get(id).map(|view| view.revision.0), Some(*revision));
                }
            }
            let shown: Vec<String> =
                roster.show().iter().map(|view| view.instance.id.to_string()).collect();
            prop_assert_eq!(shown, map.into_keys().collect::<Vec<_>>());
        }
    }
}
