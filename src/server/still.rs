//! A DNS front over what a configuration declares: no store, no sockets, and nothing changes.
//!
//! For benches and fuzzing, which want the very answers of a server without one.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::dns::front::Front;
use crate::model::Image;
use crate::registry::{Names, Registry};
use crate::server::zone::{ServedError, policy, served};

/// The front of a server that was just started with `config`, all leases as they begin. Each is
/// like the others: orders and counters begin by the same chance.
///
/// # Errors
/// When a name does not fit DNS, or a zone file cannot be used.
pub fn still(config: &Config) -> Result<Front, ServedError> {
    let Config { boot, live, .. } = config;
    let served = served(boot, live)?;
    let names = Names { zone_length: boot.zone.length(), server: boot.name.to_string() };
    let commits = mpsc::channel(1).0;
    // Without its engine the registry stays what it was at first.
    let rng = SmallRng::seed_from_u64(1);
    let (registry, _engine) = Registry::seeded(Image::default(), policy(live), names, commits, rng);
    Ok(Front::new(registry, served))
}
