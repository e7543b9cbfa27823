//! What is counted of all published views together, and said in the log when it begins and ends.

use crate::model::ServiceName;
use crate::registry::view::ServiceView;

/// Of all that is published.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    /// How many instances are ejected.
    pub(crate) ejected: usize,
    /// How many instances are suspect.
    pub(crate) suspect: usize,
    /// How often a service came to have suspect instances.
    pub(crate) protections: u64,
    kept: Turned,
    over: Turned,
}

/// Services of which the instances have turned suspect, or are no longer, since it was said last.
#[derive(Debug, Clone, Default)]
struct Turned {
    services: usize,
    first: Option<ServiceName>,
}

impl Turned {
    fn note(&mut self, service: &ServiceName) {
        self.services += 1;
        self.first.get_or_insert_with(|| service.clone());
    }
}

impl Totals {
    /// Takes note that the view of `service` changed, each `None` when the service is not known.
    pub(super) fn note(
        &mut self,
        service: &ServiceName,
        before: Option<&ServiceView>,
        after: Option<&ServiceView>,
    ) {
        let found = |view: Option<&ServiceView>| view.map(|view| view.found).unwrap_or_default();
        let (before, after) = (found(before), found(after));
        self.ejected = self.ejected - before.ejected + after.ejected;
        self.suspect = self.suspect - before.suspect + after.suspect;
        match (before.suspect, after.suspect) {
            (0, 1..) => {
                self.protections += 1;
                self.kept.note(service);
            }
            (1.., 0) => self.over.note(service),
            (0, 0) | (1.., 1..) => {}
        }
    }

    /// Says what has turned, one line for all services: a failure of the network concerns many.
    pub(super) fn log(&mut self) {
        let suspect = self.suspect;
        if let Turned { services, first: Some(first) } = std::mem::take(&mut self.kept) {
            let message = "many leases ended together, instances are kept as suspect";
            tracing::warn!(services, %first, suspect, "{message}");
        }
        if let Turned { services, first: Some(first) } = std::mem::take(&mut self.over) {
            tracing::info!(services, %first, suspect, "no instance is suspect any more");
        }
    }
}
