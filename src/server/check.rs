//! `signpost check`: everything that a start would find in the files, without starting.

use std::fmt;
use std::path::Path;

use crate::config::{self, Config};
use crate::model::{Declared, ServiceName};
use crate::server::ServeError;
use crate::server::zone::served;

/// What a legal configuration declares, and what is hardly meant.
#[derive(Debug)]
pub struct Checked {
    file: String,
    services: usize,
    instances: usize,
    zones: usize,
    warnings: Vec<String>,
}

/// Reads the file and its zone files as `serve` does.
///
/// # Errors
/// What `serve` would refuse.
pub fn check(file: &Path) -> Result<Checked, ServeError> {
    let Config { boot, live, mut warnings } = config::load(file)?;
    let served = served(&boot, &live)?;
    let statics = served.zones.static_names(&served.apex);
    warnings.extend(shadowed(statics, served.apex.wire(), &live.declared));
    let services = &live.declared.services;
    Ok(Checked {
        file: file.display().to_string(),
        services: services.len(),
        instances: services.values().map(|service| service.instances.len()).sum(),
        zones: live.zones.len(),
        warnings,
    })
}

/// A name with a static record is static for all types: what of `declared` nobody will find.
pub(super) fn shadowed<'z>(
    static_names: impl Iterator<Item = &'z [u8]>,
    apex: &[u8],
    declared: &Declared,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in static_names {
        let labels: Vec<String> = crate::dns::name::labels(&name[..name.len() - apex.len()])
            .map(|label| String::from_utf8_lossy(label).into_owned())
            .collect();
        let of = |service: &str| ServiceName::new(service).ok();
        let taken = match &labels[..] {
            [service] => {
                of(service).filter(|s| declared.services.contains_key(s)).map(|s| s.to_string())
            }
            [id, service] => of(service)
                .and_then(|s| declared.services.get(&s))
                .filter(|s| s.instances.iter().any(|i| i.id.as_str() == id))
                .map(|_| format!("{id}.{service}")),
            _ => None,
        };
        warnings.extend(taken.map(|taken| {
            format!("{taken} has a static record in a zone file, which hides it from DNS")
        }));
    }
    warnings
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        let Self { file, services, instances, zones, .. } = self;
        let plural = |n: &usize| if *n == 1 { "" } else { "s" };
        write!(
            f,
            "{file}: ok, {services} service{}, {instances} static instance{}, {zones} zone file{}",
            plural(services),
            plural(instances),
            plural(zones)
        )
    }
}
