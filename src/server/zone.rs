//! From the configuration to what the DNS front serves.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Boot, Live};
use crate::dns::authority::Authority;
use crate::dns::name::{Name, NameTextError, is_within, text};
use crate::dns::reverse::Reverse;
use crate::dns::served::Served;
use crate::dns::zones::{self, ServerZone, SoaTimers, ZoneError};
use crate::model::{Instance, ZoneName};
use crate::registry::{Policy, Views};

/// Why the DNS front cannot serve this configuration.
#[derive(Debug, thiserror::Error)]
pub enum ServedError {
    /// A name does not fit DNS.
    #[error("server.name, server.ns or server.zone does not fit DNS: {0}")]
    Name(#[from] NameTextError),
    /// A zone file is for names that an alias serves.
    #[error("server.aliases: {alias} and {origin}, which a zone file is for, overlap")]
    Alias {
        /// The alias.
        alias: String,
        /// The zone of the file.
        origin: String,
    },
    /// Another zone is for names of addresses that are in `dns.reverse`.
    #[error("dns.reverse: zone {zone} has these names already")]
    Reverse {
        /// That zone.
        zone: String,
    },
    /// A zone file cannot be used.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

/// Reads the zone files and puts together what the DNS front serves under this configuration.
///
/// # Errors
/// When a name of the configuration does not fit DNS, or a zone file cannot be used.
pub(super) fn served(boot: &Boot, live: &Live) -> Result<Served, ServedError> {
    let apex = Name::from_text(&format!("{}.", boot.zone.as_str()), None)?;
    let zones = zones::load(&live.zones, &apex)?;
    let mut home = authority(boot, &boot.zone)?;
    if let Some(timers) = zones.server().and_then(ServerZone::timers) {
        home.soa = timers.clone();
    }
    let aliases = boot.aliases.iter().map(|alias| authority(boot, alias));
    let aliases = aliases.collect::<Result<Vec<_>, _>>()?;
    for (alias, origin) in aliases.iter().flat_map(|a| zones.origins().map(|o| (a.apex.wire(), o)))
    {
        if is_within(alias, origin) || is_within(origin, alias) {
            let (alias, origin) = (text(alias).to_string(), text(origin).to_string());
            return Err(ServedError::Alias { alias, origin });
        }
    }
    let reverse = Reverse::new(live.reverse.clone());
    let at_apex = |name: &&[u8]| reverse.find(name).is_some_and(|place| place.apex == *name);
    let ours = std::iter::once(&home).chain(&aliases).map(|zone| zone.apex.wire());
    let mut ours = ours.filter(|apex| !reverse.is_empty() && is_within(apex, ARPA));
    if let Some(zone) = ours.next().or_else(|| zones.origins().find(at_apex)) {
        return Err(ServedError::Reverse { zone: text(zone).to_string() });
    }
    Ok(Served {
        home,
        aliases,
        reverse,
        identity: boot.name.to_string(),
        addresses: boot.addresses.iter().map(|address| address.ip()).collect(),
        default_ttl: seconds(live.declared.defaults.ttl.get()),
        negative_ttl: seconds(live.negative_ttl),
        client_prefix: live.client_prefix,
        localities: live.localities.clone(),
        conduct: live.conduct.clone(),
        zones,
    })
}

/// What a zone of the registry's names says of itself, zone files aside.
fn authority(boot: &Boot, zone: &ZoneName) -> Result<Authority, NameTextError> {
    let apex = Name::from_text(&format!("{zone}."), None)?;
    let name_servers = boot.ns.iter().map(|server| {
        // One label is below the apex; more are the whole name.
        if server.contains('.') {
            Name::from_text(&format!("{server}."), None)
        } else {
            Name::from_text(server, Some(&apex))
        }
    });
    let name_servers = name_servers.collect::<Result<Vec<_>, _>>()?;
    let own_name = Name::from_text(boot.name.as_str(), Some(&apex))?;
    Ok(Authority {
        own_name,
        primary: name_servers.first().copied().unwrap_or(own_name),
        name_servers,
        soa: SoaTimers {
            rname: Name::from_text("hostmaster", Some(&apex))?,
            refresh: 3_600,
            retry: 600,
            expire: 86_400,
        },
        apex,
    })
}

/// What is registered from before the zone or an alias was as long as `zone_length`: it is left out
/// where its names do not fit.
pub(super) fn too_long(views: &Views, zone_length: usize) -> Option<String> {
    let all = views.all();
    let mut instances = all.iter().flat_map(|view| {
        let own = view.instances.iter();
        own.map(|own| &own.instance)
            .filter(|own| own.longest_name(&view.name, zone_length) > Instance::LONGEST_NAME)
    });
    let first = &instances.next()?.id;
    let more = instances.count();
    Some(format!(
        "names of {first} and {more} more instances are too long for the longest of server.zone and \
         server.aliases: they are left out there"
    ))
}

/// What all names of addresses are below.
const ARPA: &[u8] = b"\x04arpa\x00";

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// What the registry is held to under this configuration.
pub(super) fn policy(live: &Live) -> Policy {
    Policy {
        declared: Arc::new(live.declared.clone()),
        limits: live.limits.clone(),
        forget_after: live.forget_after,
        reverse: live.reverse.clone(),
        health: live.health.clone(),
        protect: live.protect,
    }
}
