//! An instance, the form in which it is given, and the changes a client may patch in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::model::address::Address;
use crate::model::check::{Check, Checks};
use crate::model::few::Few;
use crate::model::lease::LeaseTtl;
use crate::model::locality::Locality;
use crate::model::metadata::Metadata;
use crate::model::name::{InstanceId, Label, ServiceName};
use crate::model::numbers::{PortNumber, Tier, Weight};
use crate::model::port::{Port, Protocol};
use crate::model::rare::Rare;
use crate::model::schema::metadata_patch;
use crate::model::tags::Tags;

/// A registered instance: everything about it that its owner or the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Unique in its service.
    pub id: InstanceId,
    /// 1-8, in the order given, without duplicates.
    pub addresses: Few<Address>,
    /// 0-32; the first is the main one.
    #[serde(default)]
    pub ports: Few<Port>,
    /// Share of the traffic relative to the others.
    #[serde(default)]
    pub weight: Weight,
    /// Lower first; SRV priority.
    #[serde(default)]
    pub tier: Tier,
    /// Labels that `tag` names select by; at most 64.
    #[serde(default)]
    pub tags: Tags,
    /// Free text for clients; published in TXT when the service says so.
    #[serde(default)]
    pub metadata: Metadata,
    /// Where it runs.
    #[serde(default)]
    pub locality: Rare<Locality>,
    /// Services it calls; informational, at most 64.
    #[serde(default)]
    pub dependencies: Rare<Vec<ServiceName>>,
    /// The lease; `None` never expires.
    pub ttl: Option<LeaseTtl>,
    /// What the operator wants.
    #[serde(default)]
    pub admin: Admin,
    /// What health says.
    #[serde(default)]
    pub status: Status,
    /// How it is checked, besides what its service says.
    #[serde(default, skip_serializing_if = "Rare::is_default")]
    pub checks: Rare<Checks>,
}

impl Instance {
    /// The checks of its own.
    #[must_use]
    pub fn checks(&self) -> &[Arc<Check>] {
        self.checks.get().map_or(&[], |checks| checks)
    }

    /// The first port.
    #[must_use]
    pub fn main_port(&self) -> Option<&Port> {
        self.ports.first()
    }

    /// The port of that name and protocol.
    #[must_use]
    pub fn named_port(&self, name: &str, protocol: Protocol) -> Option<&Port> {
        self.ports
            .iter()
            .find(|p| p.protocol == protocol && p.name.as_ref().is_some_and(|n| n.as_str() == name))
    }

    /// The label of its locality zone.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.locality.get()?.zone.as_ref().map(Label::as_str)
    }

    /// The longest legal name in characters: 255 octets on the wire (RFC 1035 section 2.3.4).
    pub const LONGEST_NAME: usize = 253;

    /// The length in characters of the longest name that DNS derives from this instance in
    /// `service` under a zone name of `zone` characters; legal up to [`Self::LONGEST_NAME`].
    #[must_use]
    pub fn longest_name(&self, service: &ServiceName, zone: usize) -> usize {
        let service = service.as_str().len();
        let port = self.ports.iter().map(|p| {
            let name = p.name.as_ref().map_or(0, |n| n.as_str().len() + 2);
            name + p.protocol.as_str().len() + 2
        });
        let port = port.max().unwrap_or(0);
        let tag = self.tags.iter().map(|tag| tag.len() + ".tag.".len());
        let zone_label = self.zone().map(|zone| zone.len() + ".zone.".len());
        let selector = tag.chain(zone_label).max().unwrap_or(0);
        let under_service = port + selector + service + 1 + zone;
        // `web-1._web._tcp.service.local` is longer than `web-1.web.service.local`.
        let own = self.id.as_str().len() + 1 + 1 + service + "._sctp.".len() + zone;
        under_service.max(own)
    }
}

/// An instance as a client or the file gives it: what is absent gets its default.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with the fields of an instance")]
pub struct InstanceSpec {
    /// May repeat the id of the path; the file and batch require it.
    pub id: Option<InstanceId>,
    /// 1-8 addresses.
    #[schema(min_items = 1, max_items = 8)]
    pub addresses: Vec<Address>,
    /// 0-32 ports; the first is the main one.
    #[schema(max_items = 32)]
    pub ports: Option<Vec<Port>>,
    /// Stands for one unnamed TCP port.
    pub port: Option<PortNumber>,
    /// Default 1.
    #[serde(default)]
    pub weight: Weight,
    /// Default 0.
    #[serde(default)]
    pub tier: Tier,
    /// At most 64.
    #[serde(default)]
    #[schema(value_type = Vec<Label>, max_items = 64)]
    pub tags: BTreeSet<Label>,
    /// At most 64 entries.
    #[serde(default)]
    pub metadata: Metadata,
    /// Default: nowhere in particular.
    #[serde(default)]
    pub locality: Locality,
    /// At most 64.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub dependencies: Vec<ServiceName>,
    /// Absent, null or a duration: `None`, `Some(None)`, `Some(Some(ttl))`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<LeaseTtl>)]
    pub ttl: Option<Option<LeaseTtl>>,
    /// `None` keeps what an earlier registration had.
    pub admin: Option<Admin>,
    /// Default passing.
    pub status: Option<Status>,
    /// At most 8, beside those of the service.
    #[serde(default)]
    pub checks: Checks,
}

impl InstanceSpec {
    /// The instance this describes. `id` comes from the path; `default_ttl` is the lease where none
    /// is given; `admin` is kept unless given.
    ///
    /// # Errors
    /// When the fields contradict each other or exceed their limits; the error names the field.
    pub fn build(
        self,
        id: InstanceId,
        default_ttl: Option<LeaseTtl>,
        admin: Admin,
    ) -> Result<Instance, SpecError> {
        if self.id.as_ref().is_some_and(|own| *own != id) {
            return Err(SpecError::new(
                "id",
                format!("differs from the id {:?} of the path", id.as_str()),
            ));
        }
        let addresses = unique_addresses(self.addresses)?;
        let ports = match (self.ports, self.port) {
            (Some(_), Some(_)) => {
                return Err(SpecError::new("port", "give either port or ports, not both"));
            }
            (Some(ports), None) => checked_ports(ports)?,
            (None, Some(port)) => vec![Port { name: None, port, protocol: Protocol::Tcp }],
            (None, None) => Vec::new(),
        };
        at_most("tags", self.tags.len(), 64)?;
        at_most("dependencies", self.dependencies.len(), 64)?;
        Ok(Instance {
            id,
            addresses: addresses.into(),
            ports: ports.into(),
            weight: self.weight,
            tier: self.tier,
            tags: self.tags.into(),
            metadata: self.metadata,
            locality: self.locality.into(),
            dependencies: self.dependencies.into(),
            ttl: self.ttl.unwrap_or(default_ttl),
            admin: self.admin.unwrap_or(admin),
            status: self.status.unwrap_or_default(),
            checks: self.checks.into(),
        })
    }
}

/// Fields of an instance that contradict each other or exceed a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct SpecError {
    /// The field at fault, e.g. `addresses[1]`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl SpecError {
    /// An error of `field`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

pub(super) fn at_most(field: &str, found: usize, max: usize) -> Result<(), SpecError> {
    if found > max {
        return Err(SpecError::new(field, format!("{found} entries, at most {max} are allowed")));
    }
    Ok(())
}

fn unique_addresses(given: Vec<Address>) -> Result<Vec<Address>, SpecError> {
    if given.is_empty() {
        return Err(SpecError::new("addresses", "at least one address is needed"));
    }
    at_most("addresses", given.len(), 8)?;
    let mut addresses = Vec::with_capacity(given.len());
    for address in given {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn checked_ports(ports: Vec<Port>) -> Result<Vec<Port>, SpecError> {
    at_most("ports", ports.len(), 32)?;
    for (i, port) in ports.iter().enumerate() {
        let twin = ports[..i].iter().any(|p| p.name == port.name && p.protocol == port.protocol);
        if twin {
            let name = port.name.as_ref().map_or("without a name", |n| n.as_str());
            let reason = format!("a second {} port {name}", port.protocol.as_str());
            return Err(SpecError::new(format!("ports[{i}]"), reason));
        }
    }
    Ok(ports)
}

/// A merge patch (RFC 7396) of the fields that may change without registering again.
///
/// `Some(None)` is an explicit null: back to the default.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, expecting = "an object with fields to change")]
pub struct InstancePatch {
    /// New weight.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Weight>)]
    pub weight: Option<Option<Weight>>,
    /// New tier.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Tier>)]
    pub tier: Option<Option<Tier>>,
    /// New set of tags, as a whole.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Vec<Label>>, max_items = 64)]
    pub tags: Option<Option<BTreeSet<Label>>>,
    /// Entries to set, or with null to remove.
    #[serde(deserialize_with = "present")]
    #[schema(schema_with = metadata_patch)]
    pub metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    /// New admin state.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Admin>)]
    pub admin: Option<Option<Admin>>,
    /// New status.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<Status>)]
    pub status: Option<Option<Status>>,
}

impl InstancePatch {
    /// Whether it touches nothing but `admin` and `status`, which declared instances allow.
    #[must_use]
    pub fn operator_only(&self) -> bool {
        self.weight.is_none()
            && self.tier.is_none()
            && self.tags.is_none()
            && self.metadata.is_none()
    }

    /// `instance` with this patch merged in.
    ///
    /// # Errors
    /// When the result would exceed a limit.
    pub fn apply(self, instance: &Instance) -> Result<Instance, SpecError> {
        let mut patched = instance.clone();
        if let Some(weight) = self.weight {
            patched.weight = weight.unwrap_or_default();
        }
        if let Some(tier) = self.tier {
            patched.tier = tier.unwrap_or_default();
        }
        if let Some(tags) = self.tags {
            let tags = tags.unwrap_or_default();
            at_most("tags", tags.len(), 64)?;
            patched.tags = tags.into();
        }
        match self.metadata {
            None => {}
            Some(None) => patched.metadata = Metadata::default(),
            Some(Some(entries)) => patched.metadata = patched.metadata.merged(entries)?,
        }
        if let Some(admin) = self.admin {
            patched.admin = admin.unwrap_or_default();
        }
        if let Some(status) = self.status {
            patched.status = status.unwrap_or_default();
        }
        Ok(patched)
    }
}

/// Tells an explicit null (`Some(None)`) from an absent field (`None`).
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// What the operator wants of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// To be answered.
    #[default]
    Enabled,
    /// No longer answered; clients that know it may go on.
    Draining,
    /// Not to be used.
    Disabled,
}

/// What health says of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Fine.
    #[default]
    Passing,
    /// Degraded, still answered.
    Warning,
    /// Not answered.
    Critical,
}

impl Status {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Result<InstanceSpec, serde_json::Error> {
        serde_json::from_str(json)
    }

    fn id(text: &str) -> InstanceId {
        InstanceId::new(text).unwrap()
    }

    #[test]
    fn a_port_number_stands_for_one_unnamed_tcp_port() {
        let spec = spec(r#"{"addresses":["10.0.0.1"],"port":8080}"#).unwrap();

        let instance = spec.build(id("web-1"), Some(LeaseTtl::DEFAULT), Admin::Enabled).unwrap();

        let port = instance.main_port().unwrap();
        assert_eq!((port.name.as_ref(), u16::from(port.port)), (None, 8080));
        assert_eq!(port.protocol, Protocol::Tcp);
        assert_eq!(instance.ttl, Some(LeaseTtl::DEFAULT));
    }

    #[test]
    fn null_ttl_means_no_lease() {
        let spec = spec(r#"{"addresses":["10.0.0.1"],"ttl":null}"#).unwrap();

        let instance = spec.build(id("web-1"), Some(LeaseTtl::DEFAULT), Admin::Enabled).unwrap();

        assert_eq!(instance.ttl, None);
    }

    #[test]
    fn contradictions_name_their_field() {
        for (json, field) in [
            (r#"{"addresses":[]}"#, "addresses"),
            (r#"{"addresses":["10.0.0.1"],"port":1,"ports":[]}"#, "port"),
            (r#"{"addresses":["10.0.0.1"],"ports":[{"port":1},{"port":2}]}"#, "ports[1]"),
            (r#"{"addresses":["10.0.0.1"],"id":"other"}"#, "id"),
        ] {
            let error = spec(json).unwrap().build(id("web-1"), None, Admin::Enabled).unwrap_err();

            assert_eq!(error.field, field);
        }
    }

    #[test]
    fn a_patch_merges_metadata_and_resets_on_null() {
        let json = r#"{"addresses":["10.0.0.1"],"weight":3,"metadata":{"a":"1","b":"2"}}"#;
        let instance = spec(json).unwrap().build(id("web-1"), None, Admin::Enabled).unwrap();
        let patch: InstancePatch =
            serde_json::from_str(r#"{"weight":null,"metadata":{"a":null,"c":"3"}}"#).unwrap();

        let patched = patch.apply(&instance).unwrap();

        assert_eq!(patched.weight.get(), 1);
        let pairs: Vec<_> = patched.metadata.iter().collect();
        assert_eq!(pairs, [("b", "2"), ("c", "3")]);
    }
}
