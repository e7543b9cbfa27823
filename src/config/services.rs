//! `[services.NAME]`: the settings of declared services and their static instances.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::document::Document;
use crate::config::key_path::KeyPath;
use crate::model::{
    Admin, DeclaredService, HealthPolicy, Instance, InstanceSpec, Label, Limits, ServiceName,
    SettingsPatch, ZoneName,
};

/// What the services of a file must agree with.
pub(super) struct Surroundings<'a> {
    /// The zone, or the longest alias of it.
    pub(super) zone: &'a ZoneName,
    pub(super) server: &'a Label,
    pub(super) limits: &'a Limits,
    pub(super) health: &'a HealthPolicy,
}

/// Reads all of `[services]`; what is not legal becomes a fault of `document` and is left out.
pub(super) fn declared(
    document: &mut Document<'_>,
    around: &Surroundings<'_>,
) -> BTreeMap<ServiceName, DeclaredService> {
    let mut services = BTreeMap::new();
    for (key, value) in document.table("services") {
        let at = KeyPath::default().key("services").key(key.get_ref());
        let name = match ServiceName::new(key.get_ref()) {
            Ok(name) => name,
            Err(error) => {
                document.fault_of_key(&at, &error.to_string(), None);
                continue;
            }
        };
        if name.as_str() == around.server.as_str() {
            let message = format!("{name} is the name of this server");
            let hint = "rename the service, or give the server another name: server.name";
            document.fault_of_key(&at, &message, Some(hint));
        }
        let Some(mut table) = document.as_table(value, &at) else {
            continue;
        };
        let instances = table.remove("instances");
        let settings = document.read(table, &at, &["instances"]).unwrap_or_default();
        check_settings(document, &settings, &at, around.health);
        let instances = match instances {
            Some(list) => self::instances(document, list, &name, &at.key("instances"), around),
            None => Vec::new(),
        };
        // TOML refuses the same key twice, but not `web` and `WEB`.
        if services.contains_key(&name) {
            let message = format!("the service {name} is declared twice: upper case is folded");
            document.fault_of_key(&at, &message, None);
        }
        services.insert(name, DeclaredService { settings, instances });
    }
    services
}

fn instances<'i>(
    document: &mut Document<'i>,
    list: Spanned<DeValue<'i>>,
    service: &ServiceName,
    at: &KeyPath,
    around: &Surroundings<'_>,
) -> Vec<Instance> {
    let list = match list.into_inner() {
        DeValue::Array(list) => list,
        other => {
            let message = format!("invalid type: {}, expected a list of tables", other.type_str());
            document.fault(at, &message, Some(&format!("write [[{at}]] above the keys of each")));
            return Vec::new();
        }
    };
    let mut instances: Vec<Instance> = Vec::with_capacity(list.len());
    let mut places = BTreeMap::new();
    for (i, value) in list.into_iter().enumerate() {
        let at = at.index(i);
        let Some(table) = document.as_table(value, &at) else {
            continue;
        };
        let Some(instance) = instance(document, table, &at) else {
            continue;
        };
        check(document, &instance, service, &at, around);
        match places.insert(instance.id.clone(), i) {
            Some(first) => {
                let message = format!("{} is the id of instances[{first}] already", instance.id);
                document.fault(&at.key("id"), &message, None);
            }
            None => instances.push(instance),
        }
    }
    instances
}

fn instance<'i>(document: &mut Document<'i>, table: DeTable<'i>, at: &KeyPath) -> Option<Instance> {
    if !table.contains_key("id") {
        document.fault(&at.key("id"), "is missing", Some("give each instance an id of its own"));
    }
    let spec: InstanceSpec = document.read(table, at, &[])?;
    let id = spec.id.clone()?;
    // A static instance has no lease unless it says so: nobody may be there to renew it.
    let built = spec.build(id, None, Admin::Enabled);
    match built.and_then(|instance| instance.check_no_metadata_service().map(|()| instance)) {
        Ok(instance) => Some(instance),
        Err(error) => {
            document.fault(&at.join(&error.field), &error.reason, None);
            None
        }
    }
}

/// What settings at `at` must agree on with the rest of the file.
pub(super) fn check_settings(
    document: &mut Document<'_>,
    settings: &SettingsPatch,
    at: &KeyPath,
    health: &HealthPolicy,
) {
    let permitted = settings.checks.as_ref().map(|checks| health.permits(checks));
    if let Some(Err(error)) = permitted {
        document.fault(&at.join(&error.field), &error.reason, None);
    }
}

fn check(
    document: &mut Document<'_>,
    instance: &Instance,
    service: &ServiceName,
    at: &KeyPath,
    around: &Surroundings<'_>,
) {
    let longest = instance.longest_name(service, around.zone.length());
    if longest > Instance::LONGEST_NAME {
        let message = format!(
            "the longest name derived from {} in {} has {longest} characters, DNS allows {}",
            instance.id,
            around.zone,
            Instance::LONGEST_NAME
        );
        let hint = "shorten the id, the service, its tags, port names or locality, or the zone";
        document.fault(&at.key("id"), &message, Some(hint));
    }
    if let Err(error) = around.health.check(instance) {
        document.fault(&at.join(&error.field), &error.reason, None);
    }
    for (i, address) in instance.addresses.iter().enumerate() {
        if !around.limits.allows(address.ip()) {
            let message = format!("{address} is in none of the networks of limits.allow");
            document.fault(&at.key("addresses").index(i), &message, None);
        }
    }
}
