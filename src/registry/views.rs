//! The views of all services, published one by one. A lookup is one wait-free map read.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Revision, ServiceName};
use crate::registry::by_name::{ByName, Pinned};
use crate::registry::index::{Index, Owner, ServiceType};
use crate::registry::view::ServiceView;

/// The views of all services. Readers look up by name; only the engine publishes.
#[derive(Debug)]
pub struct Views {
    services: ByName,
    index: Index,
    revision: AtomicU64,
}

impl Views {
    pub(crate) fn new() -> Self {
        Self { services: ByName::default(), index: Index::default(), revision: AtomicU64::new(0) }
    }

    /// Calls `read` with the view of the service `name`, without waiting and without touching a
    /// shared reference count. `read` must not block.
    pub fn read<R>(&self, name: &str, read: impl FnOnce(Option<&ServiceView>) -> R) -> R {
        read(self.pin().view(name.as_bytes()))
    }

    /// The views for several lookups.
    #[must_use]
    pub fn pin(&self) -> Pinned<'_> {
        self.services.pin()
    }

    /// The view of the service `name`, to keep.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<Arc<ServiceView>> {
        self.services.get(name.as_bytes())
    }

    /// All views, in no order. Each is consistent; together they are only nearly of one time.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ServiceView>> {
        self.services.all()
    }

    /// Calls `read` with the types of service that there are, sorted; of very many the first, more
    /// than a reply can hold.
    pub fn read_types<R>(&self, read: impl FnOnce(&[ServiceType]) -> R) -> R {
        self.index.types(read)
    }

    /// Calls `read` with the instances that have `address`, usable or not, sorted; of very many the
    /// first, more than a reply can hold; none when it is in no range that is looked up. They may be gone from their service's view by now.
    pub fn read_owners<R>(&self, address: IpAddr, read: impl FnOnce(&[Owner]) -> R) -> R {
        self.index.owners(address, read)
    }

    /// How many services are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether no service is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The registry's revision: every change up to it is visible.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn publish(&self, view: ServiceView) {
        self.services.insert(view);
    }

    pub(crate) fn forget(&self, name: &ServiceName) {
        self.services.remove(name);
    }

    pub(crate) fn set_revision(&self, revision: Revision) {
        self.revision.store(revision.0, Ordering::Release);
    }
}
