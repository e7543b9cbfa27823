//! Who somebody is and what they may do, however they prove it: by a token, by a certificate.

use serde::{Deserialize, Serialize};

use crate::model::actor::Actor;
use crate::model::address::Address;
use crate::model::instance::SpecError;
use crate::model::name::{Label, ServiceName};
use crate::model::network::Network;
use crate::model::scope::{Scope, Scopes};
use crate::model::service_pattern::ServicePattern;

/// What a proof stands for. Two proofs of one name are one owner, whatever each of them is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Whom it stands for: who owns what is registered with it.
    pub name: Label,
    /// What it is good for.
    pub scopes: Scopes,
    /// Whose instances it may register.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServicePattern>,
    /// Where the addresses are that it may register; none: nowhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
}

impl Identity {
    /// The identity of these rights, its lists in order and without duplicates.
    ///
    /// # Errors
    /// When the fields contradict each other or exceed their limits; the error names the field.
    pub fn checked(self) -> Result<Self, SpecError> {
        let Self { name, scopes, mut services, mut networks } = self;
        if scopes.0.is_empty() {
            return Err(SpecError::new("scopes", "name one at least: read, register, admin"));
        }
        for (field, length) in [("services", services.len()), ("networks", networks.len())] {
            if length > MOST {
                return Err(SpecError::new(field, format!("{length} of them, {MOST} are allowed")));
            }
        }
        if scopes.cover(Scope::Register) && !scopes.cover(Scope::Admin) && services.is_empty() {
            let reason = "the scope register needs at least one, e.g. \"web\", \"shop-*\" or \"*\"";
            return Err(SpecError::new("services", reason));
        }
        services.sort_unstable();
        services.dedup();
        networks.sort_unstable();
        networks.dedup();
        Ok(Self { name, scopes, services, networks })
    }

    /// Whether it may write instances of `service`, as far as nobody else owns them.
    #[must_use]
    pub fn may_write(&self, service: &ServiceName) -> bool {
        self.is_admin() || self.services.iter().any(|pattern| pattern.matches(service))
    }

    /// Whether it may register `address`.
    #[must_use]
    pub fn may_register(&self, address: Address) -> bool {
        self.is_admin() || self.networks.iter().any(|network| network.contains(address.ip()))
    }

    /// Whether it may do everything.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.scopes.cover(Scope::Admin)
    }

    /// Who writes with it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let name = self.name.clone();
        if self.is_admin() { Actor::Admin(name) } else { Actor::Client(name) }
    }
}

/// Patterns, and networks, of one identity.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<Identity, String> {
        let identity: Identity = serde_json::from_str(json).unwrap();
        identity.checked().map_err(|error| error.field)
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_field() {
        for (json, field) in [
            (r#"{"name":"a","scopes":[]}"#, "scopes"),
            (r#"{"name":"a","scopes":["register"]}"#, "services"),
        ] {
            assert_eq!(checked(json), Err(field.to_owned()), "{json}");
        }
    }

    #[test]
    fn an_identity_is_for_its_services_and_addresses_alone() {
        let client = checked(
            r#"{"name":"a","scopes":["register"],"services":["web"],"networks":["10.0.0.0/8"]}"#,
        )
        .unwrap();
        let admin = checked(r#"{"name":"root","scopes":["admin"]}"#).unwrap();
        let nowhere = checked(r#"{"name":"a","scopes":["register"],"services":["*"]}"#).unwrap();
        let (web, db) = (ServiceName::new("web").unwrap(), ServiceName::new("db").unwrap());
        let (near, far) = ("10.1.2.3".parse().unwrap(), "2001:db8::1".parse().unwrap());

        assert_eq!((client.may_write(&web), client.may_write(&db)), (true, false));
        assert_eq!((client.may_register(near), client.may_register(far)), (true, false));
        assert_eq!((admin.may_write(&db), admin.may_register(far)), (true, true));
        assert_eq!((nowhere.may_write(&db), nowhere.may_register(near)), (true, false));
    }
}
