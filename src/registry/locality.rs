//! The instances of a service as clients at one locality see them.
//!
//! A selection knows which localities its instances have, and keeps for each that somebody asked
//! from another selection, whose pools go by how near everybody is. Which networks are where is no
//! matter of the registry: it is told a client's locality. Nothing here grows but with localities
//! that both instances have and the configuration names, and all ends with the view.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use crate::model::{Admin, Label, Locality, LocalityPolicy};
use crate::registry::instance::InstanceView;
use crate::registry::pools::Stock;
use crate::registry::selection::Selection;
use crate::registry::vantage::Vantage;
use crate::registry::view::index;

/// Whose selection it is.
#[derive(Debug)]
pub(super) enum Outlook {
    /// Everybody's: localities make no difference.
    Same,
    /// That of clients of no known locality; others may have one of their own.
    Elsewhere(Box<Places>),
    /// That of the clients at a locality.
    From(Box<Vantage>),
}

/// The localities of a selection's instances.
#[derive(Debug)]
pub(super) struct Places {
    /// All that match the selector and should be there, usable or not.
    enabled: Box<[u32]>,
    /// Sorted. A client is at its zone where any instance is in that, else at its region.
    seen: Box<[(Locality, OnceLock<Box<Selection>>)]>,
}

impl Outlook {
    /// Of the instances that match.
    pub(super) fn new(stock: Stock<'_>, matches: impl Fn(&InstanceView) -> bool) -> Self {
        // In a panic nobody knows who is able to take the clients of a place.
        if stock.settings.locality == LocalityPolicy::Off || stock.panic.is_some() {
            return Self::Same;
        }
        let all = || stock.instances.iter().enumerate();
        let enabled = || all().filter(|(_, v)| v.instance.admin == Admin::Enabled && matches(v));
        // Where nobody may be answered now, too: what is missing there spills over from there.
        let mut places: BTreeSet<Locality> = BTreeSet::new();
        for locality in enabled().filter_map(|(_, view)| view.instance.locality.get()) {
            if !places.contains(locality) {
                places.insert(locality.clone());
                places.insert(Locality { zone: None, ..locality.clone() });
            }
        }
        places.remove(&Locality::default());
        if places.is_empty() {
            return Self::Same;
        }
        Self::Elsewhere(Box::new(Places {
            enabled: enabled().map(|(i, _)| index(i)).collect(),
            seen: places.into_iter().map(|place| (place, OnceLock::new())).collect(),
        }))
    }
}

impl Places {
    /// Where `client` is among these, and its selection if somebody there has asked; `None` when no
    /// instance is near.
    pub(super) fn of(&self, client: &Locality) -> Option<&(Locality, OnceLock<Box<Selection>>)> {
        let (region, zone) = (client.region.as_ref(), client.zone.as_ref());
        let find = |region: Option<&Label>, zone: Option<&Label>| {
            let asked = (region, zone);
            let key = |place: &Locality| (place.region.as_ref(), place.zone.as_ref()).cmp(&asked);
            Some(&self.seen[self.seen.binary_search_by(|(place, _)| key(place)).ok()?])
        };
        let in_zone = zone.and_then(|_| find(region, zone).or_else(|| find(None, zone)));
        in_zone.or_else(|| find(region, None))
    }

    /// What clients at `client` look at.
    pub(super) fn vantage(&self, client: Locality) -> Vantage {
        Vantage::new(client, self.enabled.clone())
    }
}
