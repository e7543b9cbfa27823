//! A zone file of anybody's: an error or a zone that can be asked.

use std::path::PathBuf;

use signpost::dns::name::Name;
use signpost::dns::zones::{self, End, Found, Zone};

/// Reads `bytes` as a zone file, and asks the zone for all of its names.
pub fn zone(bytes: &[u8]) {
    let apex = Name::from_text("service.local.", None).expect("a legal name");
    let file = (PathBuf::from("fuzzed.zone"), bytes.to_vec());
    let Ok(zones) = zones::parse(&[file], &apex) else { return };
    for origin in zones.origins() {
        let zone = zones.find(origin, 0).expect("an origin has its zone");
        ask_all(zone, |name, rtype| zone.lookup(name, rtype));
    }
    if let Some(server) = zones.server() {
        let zone = server.zone();
        ask_all(zone, |name, rtype| zone.lookup_claimed(name, rtype));
    }
}

fn ask_all<'z>(zone: &'z Zone, ask: impl Fn(&Name, u16) -> Option<Found<'z>>) {
    for wire in zone.names() {
        let name = Name::read(wire).expect("names are in wire form");
        for rtype in [1, 2, 5, 6, 16, 43, 255, 65_280] {
            let found = ask(&name, rtype).expect("a name of the zone");
            // What an alias leads to may be missing.
            assert!(!found.aliases.is_empty() || found.end != End::NxDomain, "{name} has records");
        }
    }
}
