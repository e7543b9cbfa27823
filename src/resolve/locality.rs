//! Which instances a client is shown by where it is, and how much of its address that depended on.

use crate::model::Locality;
use crate::registry::{Selection, ServiceView};
use crate::resolve::Asker;
use crate::resolve::name::Choice;

impl Asker<'_> {
    /// Where the client is; `None` when that is not known or makes no difference.
    #[must_use]
    pub fn locality(&self) -> Option<&Locality> {
        self.localities?.find(self.client)
    }

    /// `selection` as this client sees it, and how many bits of its address that depended on.
    ///
    /// | name | goes by locality |
    /// |---|---|
    /// | of a service, of tags | where any of the usable instances has one |
    /// | of a zone | no: that one is asked for |
    /// | of a key | no: it is the same instance for everybody |
    pub(super) fn sees<'s>(
        &self,
        view: &ServiceView,
        choice: &Choice<'_>,
        selection: &'s Selection,
    ) -> (&'s Selection, u8) {
        let keyed = matches!(choice, Choice::Key(_));
        let known = self.localities.filter(|localities| !localities.is_empty());
        let Some(localities) = known.filter(|_| !keyed && selection.goes_by_locality()) else {
            return (selection, 0);
        };
        // A cache keeps the answer for all of the prefix, where that is all in one place.
        let divided = localities.divide(self.prefix);
        let scope = if divided { self.client.length() } else { self.prefix.length() };
        match localities.find(self.client) {
            Some(client) => (view.seen_from(selection, client), scope),
            None => (selection, scope),
        }
    }

    /// `selection` as this client sees it; `None` when it is the first there to ask.
    #[inline]
    pub(super) fn sees_built<'s>(&self, selection: &'s Selection) -> Option<&'s Selection> {
        if !selection.goes_by_locality() {
            return Some(selection);
        }
        match self.locality() {
            Some(client) => selection.built_from(client),
            None => Some(selection),
        }
    }
}
