//! Where active checks may go, and how many at a time.
//!
//! A registry that connects to whatever it is told is a tool to attack with (SSRF): so a check goes
//! to its own instance, and never to where a cloud keeps its credentials.

use std::net::{IpAddr, SocketAddr};

use crate::model::address::Address;
use crate::model::check::{CheckPort, Checks, Probe};
use crate::model::instance::{Instance, SpecError};
use crate::model::metadata_service::is_metadata;
use crate::model::network::Network;
use crate::model::port::Protocol;

/// The settings of `[health]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Probes at the same time.
    pub concurrency: usize,
    /// Where checks may go besides the instance's own addresses.
    pub allow: Vec<Network>,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self { concurrency: 256, allow: Vec::new() }
    }
}

impl HealthPolicy {
    /// Where `probe` of `instance` goes.
    ///
    /// # Errors
    /// When it may not go there, or the instance has no such port; the error names the field.
    pub fn target(&self, probe: &Probe, instance: &Instance) -> Result<SocketAddr, SpecError> {
        self.permit(probe, instance)?;
        let port = probe.target_port(instance)?;
        Ok(SocketAddr::new(probe.target_address(instance).ip(), port))
    }

    /// Whether the checks of `instance` itself can be done.
    ///
    /// # Errors
    /// Names the field that is why one cannot.
    pub fn check(&self, instance: &Instance) -> Result<(), SpecError> {
        for (i, check) in instance.checks().iter().enumerate() {
            if let Some(probe) = check.probe() {
                self.target(probe, instance).map_err(|SpecError { field, reason }| {
                    SpecError::new(format!("checks[{i}].{field}"), reason)
                })?;
            }
        }
        Ok(())
    }

    /// Whether all of `checks` may be done on instances that are not known yet: an `address` must
    /// be in `allow`.
    ///
    /// # Errors
    /// Names the check that may not.
    pub fn permits(&self, checks: &Checks) -> Result<(), SpecError> {
        for (i, check) in checks.iter().enumerate() {
            let Some(address) = check.probe().and_then(|probe| probe.address) else { continue };
            if !self.allows(address.ip()) {
                let reason = format!("{address} is in none of the networks of health.allow");
                return Err(SpecError::new(format!("checks[{i}].address"), reason));
            }
        }
        Ok(())
    }

    /// Whether `probe` may go to its address.
    ///
    /// | in `allow` | metadata | the instance's own | |
    /// |---|---|---|---|
    /// | yes | - | - | permitted |
    /// | no | yes | - | refused |
    /// | no | no | yes | permitted |
    /// | no | no | no | refused |
    ///
    /// # Errors
    /// When it may not.
    pub fn permit(&self, probe: &Probe, instance: &Instance) -> Result<(), SpecError> {
        let address = probe.target_address(instance);
        let refused = |reason| Err(SpecError::new("address", reason));
        if self.allows(address.ip()) {
            return Ok(());
        }
        if is_metadata(address.ip()) {
            return refused(format!(
                "{address} is where clouds keep credentials, which checks do not ask unless \
                 health.allow has it"
            ));
        }
        if !instance.addresses.contains(&address) {
            return refused(format!(
                "{address} is neither of this instance nor in the networks of health.allow"
            ));
        }
        Ok(())
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(address))
    }
}

impl Probe {
    /// The address that is asked of `instance`.
    #[must_use]
    pub fn target_address(&self, instance: &Instance) -> Address {
        self.address.unwrap_or(instance.addresses[0])
    }

    /// The port that is asked of `instance`.
    ///
    /// # Errors
    /// When it has none of that name, or none at all.
    pub fn target_port(&self, instance: &Instance) -> Result<u16, SpecError> {
        let found = match &self.port {
            CheckPort::Number(port) => return Ok(port.get()),
            CheckPort::Main => instance.main_port(),
            CheckPort::Name(name) => instance.named_port(name.as_str(), Protocol::Tcp),
        };
        match (found.filter(|port| port.protocol == Protocol::Tcp), &self.port) {
            (Some(port), _) => Ok(port.port.get()),
            (None, CheckPort::Name(name)) => {
                Err(SpecError::new("port", format!("the instance has no TCP port named {name}")))
            }
            (None, CheckPort::Main | CheckPort::Number(_)) => {
                let reason = "the main port of the instance is not TCP, or it has none";
                Err(SpecError::new("port", reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Admin, Check, InstanceId, InstanceSpec, Means};

    fn instance(json: &str) -> Instance {
        let spec: InstanceSpec = serde_json::from_str(json).unwrap();
        spec.build(InstanceId::new("web-1").unwrap(), None, Admin::Enabled).unwrap()
    }

    fn probe(json: &str) -> Probe {
        let check: Check = serde_json::from_str(json).unwrap();
        let Means::Probe(probe) = check.means else { panic!("{json}") };
        *probe
    }

    fn target(allow: &[&str], check: &str, of: &str) -> Result<String, String> {
        let allow = allow.iter().map(|network| network.parse().unwrap()).collect();
        let policy = HealthPolicy { allow, ..HealthPolicy::default() };
        let target = policy.target(&probe(check), &instance(of));
        target.map(|target| target.to_string()).map_err(|error| error.field)
    }

    const WEB: &str = r#"{"addresses":["10.0.0.1","2001:db8::1"],
        "ports":[{"name":"http","port":80},{"name":"dns","port":53,"protocol":"udp"}]}"#;

    #[test]
    fn a_check_goes_to_its_own_instance() {
        let own = |check: &str| target(&[], check, WEB);

        assert_eq!(own(r#"{"kind":"tcp"}"#).unwrap(), "10.0.0.1:80");
        assert_eq!(own(r#"{"kind":"tcp","port":9}"#).unwrap(), "10.0.0.1:9");
        assert_eq!(own(r#"{"kind":"tcp","port":"http"}"#).unwrap(), "10.0.0.1:80");
        let second = r#"{"kind":"tcp","address":"2001:db8::1"}"#;
        assert_eq!(own(second).unwrap(), "[2001:db8::1]:80");
        assert_eq!(own(r#"{"kind":"tcp","port":"dns"}"#).unwrap_err(), "port");
        assert_eq!(own(r#"{"kind":"tcp","port":"nope"}"#).unwrap_err(), "port");
        let without = target(&[], r#"{"kind":"tcp"}"#, r#"{"addresses":["10.0.0.1"]}"#);
        assert_eq!(without.unwrap_err(), "port");
    }

    #[test]
    fn other_addresses_need_the_operators_leave() {
        let other = r#"{"kind":"tcp","address":"10.9.0.1"}"#;

        assert_eq!(target(&[], other, WEB).unwrap_err(), "address");
        assert_eq!(target(&["10.8.0.0/16"], other, WEB).unwrap_err(), "address");
        assert_eq!(target(&["10.9.0.0/16"], other, WEB).unwrap(), "10.9.0.1:80");
    }

    #[test]
    fn where_clouds_keep_credentials_is_never_asked_by_itself() {
        for address in [
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::6464:64c8",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "2001:db8::5efe:169.254.169.254",
            "2001:db8::200:5efe:100.100.100.200",
        ] {
            let own = format!(r#"{{"addresses":["{address}"],"port":80}}"#);

            assert_eq!(target(&[], r#"{"kind":"tcp"}"#, &own).unwrap_err(), "address", "{address}");
        }
        let own = r#"{"addresses":["100.100.100.200"],"port":80}"#;
        assert!(target(&["100.100.100.200/32"], r#"{"kind":"tcp"}"#, own).is_ok());
        for address in ["100.100.100.201", "fd00:ec2::253", "64:ff9b::a00:1", "::1", "127.0.0.1"] {
            let own = format!(r#"{{"addresses":["{address}"],"port":80}}"#);
            assert!(target(&[], r#"{"kind":"tcp"}"#, &own).is_ok(), "{address}");
        }
    }
}
