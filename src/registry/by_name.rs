//! Views by the bytes of their service's name, so that a label of a query is looked up as it came:
//! no text is made of it and nothing is allocated. Lookups wait for nobody.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use papaya::{HashMap, HashMapRef, LocalGuard};

use crate::model::ServiceName;
use crate::registry::view::ServiceView;

/// The views of all services.
#[derive(Debug, Default)]
pub(super) struct ByName(HashMap<Key, Arc<ServiceView>, RandomState>);

/// Lookups of views, several at the price of one. What is found stays for as long as this is kept,
/// which must not be long: what is replaced meanwhile is not freed.
pub struct Pinned<'v>(HashMapRef<'v, Key, Arc<ServiceView>, RandomState, LocalGuard<'v>>);

impl ByName {
    pub(super) fn pin(&self) -> Pinned<'_> {
        Pinned(self.0.pin())
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<ServiceView>> {
        self.0.pin().get(&Sought(name)).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<ServiceView>> {
        self.0.pin().values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&self, view: ServiceView) {
        self.0.pin().insert(Key(view.name.clone()), Arc::new(view));
    }

    pub(super) fn remove(&self, name: &ServiceName) {
        self.0.pin().remove(&Sought(name.as_str().as_bytes()));
    }
}

impl Pinned<'_> {
    /// The view of the service whose name has these bytes, in lower case; any may be asked for.
    #[must_use]
    #[inline]
    pub fn view(&self, name: &[u8]) -> Option<&ServiceView> {
        self.0.get(&Sought(name)).map(|view| &**view)
    }
}

impl fmt::Debug for Pinned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pinned")
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Key(ServiceName);

struct Sought<'n>(&'n [u8]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Sought(self.0.as_str().as_bytes()).hash(state);
    }
}

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Neither a length nor an end: nothing is hashed behind it.
        state.write(self.0);
    }
}

impl papaya::Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0.as_str().as_bytes()
    }
}
