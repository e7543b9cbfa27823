//! `signpost check`: everything that a start would find in the files, without starting.

use std::fmt;
use std::iter;
use std::path::Path;
use std::sync::Arc;

use crate::config::{self, Config};
use crate::dns::served::Served;
use crate::model::{Declared, DeclaredService, InstanceId, ServiceName};
use crate::server::zone::served;
use crate::server::{ServeError, encrypted};

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
    encrypted::configured(&live)?;
    encrypted::clients(&live, &Arc::default())?;
    warnings.extend(all_hidden(&served, &live.declared));
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
pub(super) fn all_hidden(served: &Served, declared: &Declared) -> Vec<String> {
    let names =
        declared.services.iter().flat_map(|(service, DeclaredService { instances, .. })| {
            let instances = instances.iter().map(move |i| instance_name(service, &i.id));
            iter::once(service.to_string()).chain(instances)
        });
    names.filter(|name| served.hides(name)).map(|name| hides(served, &name)).collect()
}

/// The same for one instance: what hides it, or all of its service.
pub(super) fn hidden(served: &Served, service: &ServiceName, id: &InstanceId) -> Option<String> {
    let names = [service.to_string(), instance_name(service, id)];
    names.iter().find(|name| served.hides(name)).map(|name| hides(served, name))
}

fn instance_name(service: &ServiceName, id: &InstanceId) -> String {
    format!("{id}.{service}")
}

fn hides(served: &Served, name: &str) -> String {
    let but = if served.aliases.is_empty() { "" } else { ", but not under the aliases" };
    format!("{name} has a static record in a zone file, which hides it from DNS{but}")
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
