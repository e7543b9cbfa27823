//! From the configuration to what the DNS front serves.

use std::time::Duration;

use crate::config::{Boot, Live};
use crate::dns::name::{Name, NameTextError};
use crate::dns::served::{Served, SoaFields};

/// What the DNS front serves under this configuration.
///
/// # Errors
/// When a name of the configuration does not fit DNS.
pub(super) fn served(boot: &Boot, live: &Live) -> Result<Served, NameTextError> {
    let apex = Name::from_text(&format!("{}.", boot.zone.as_str()), None)?;
    let name_servers = boot.ns.iter().map(|server| {
        // One label is below the apex; more are the whole name.
        if server.contains('.') {
            Name::from_text(&format!("{server}."), None)
        } else {
            Name::from_text(server, Some(&apex))
        }
    });
    Ok(Served {
        own_name: Name::from_text(boot.name.as_str(), Some(&apex))?,
        identity: boot.name.to_string(),
        addresses: boot.addresses.iter().map(|address| address.ip()).collect(),
        name_servers: name_servers.collect::<Result<_, _>>()?,
        soa: SoaFields::standard(&apex)?,
        negative_ttl: seconds(live.negative_ttl),
        client_prefix: live.client_prefix,
        apex,
    })
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
