//! `[[localities]]`: which networks of clients are where.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::document::Document;
use crate::config::key_path::KeyPath;
use crate::model::{Label, Localities, Locality, Network};

/// One of `[[localities]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    networks: Vec<Network>,
    region: Label,
    zone: Option<Label>,
}

/// Reads all of `[[localities]]`; what is not legal becomes a fault of `document` and is left out.
pub(super) fn of(document: &mut Document<'_>) -> Localities {
    let mut networks: BTreeMap<Network, Locality> = BTreeMap::new();
    let mut places: BTreeMap<Network, KeyPath> = BTreeMap::new();
    for (at, table) in document.tables("localities") {
        let Some(entry) = document.read::<Entry>(table, &at, &[]) else { continue };
        let at = at.key("networks");
        if entry.networks.is_empty() {
            document.fault(&at, "is empty, so that no client is there", None);
        }
        let locality = Locality { region: Some(entry.region), zone: entry.zone };
        for (i, network) in entry.networks.into_iter().enumerate() {
            let at = at.index(i);
            if let Some(first) = places.get(&network) {
                let message = format!("{network} is listed twice, {first} is the same");
                document.fault(&at, &message, Some("give each network to one locality"));
                continue;
            }
            places.insert(network, at);
            networks.insert(network, locality.clone());
        }
    }
    Localities::new(networks)
}
