//! What a registration is held to: whose it may be, where it may lead, and how many there may be.
//! With the writes of the batch that come before it.

use crate::model::{Instance, InstanceId, Label, Limit, Metadata, ServiceName, SpecError};
use crate::registry::plan::{Known, Planner};
use crate::registry::refusal::Refusal;

impl Planner<'_> {
    pub(super) fn check_owner(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        known: Option<&Known>,
    ) -> Result<(), Refusal> {
        match known.and_then(|known| known.owner.as_ref()) {
            Some(owner) if !self.actor.may_write(Some(owner)) => Err(Refusal::OwnedBy {
                service: service.clone(),
                id: id.clone(),
                owner: owner.clone(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn check_addresses(&self, instance: &Instance) -> Result<(), Refusal> {
        instance.check_no_metadata_service()?;
        for (i, address) in instance.addresses.iter().enumerate() {
            if !self.policy.limits.allows(address.ip()) {
                let reason = format!("{address} is in none of the networks of limits.allow");
                return Err(Refusal::invalid(format!("addresses[{i}]"), reason));
            }
        }
        Ok(())
    }

    /// Whether metadata that is other than `before` may have so much, alone and with all others'.
    pub(super) fn check_metadata(
        &self,
        instance: &Instance,
        before: Option<&Metadata>,
    ) -> Result<(), Refusal> {
        if before == Some(&instance.metadata) {
            return Ok(());
        }
        let field = || "metadata".to_owned();
        let (size, max) = (instance.metadata.size(), self.policy.limits.metadata);
        if size > max {
            return Err(Refusal::TooMuch { field: field(), size, name: Limit::Metadata, max });
        }
        let more = size.saturating_sub(before.map_or(0, Metadata::size));
        let added = self.overlay.metadata + self.below.metadata;
        let max = self.policy.limits.metadata_total;
        if more > 0 && self.state.metadata.saturating_add_signed(added) + more > max {
            return Err(Refusal::NoRoom { field: field(), name: Limit::MetadataTotal, max });
        }
        Ok(())
    }

    /// Whether `owner` may own one more, unless it owned this one `before`.
    pub(super) fn check_identity(
        &self,
        before: Option<&Label>,
        owner: Option<&Label>,
    ) -> Result<(), Refusal> {
        let Some(name) = owner.filter(|_| owner != before) else { return Ok(()) };
        let layers = [&self.overlay, &self.below].into_iter();
        let added: isize = layers.filter_map(|layer| layer.owned.get(name)).sum();
        let max = self.policy.limits.instances_per_identity;
        if self.state.owned_by(name).saturating_add_signed(added) >= max {
            return Err(Refusal::Limit { name: Limit::InstancesPerIdentity, max });
        }
        Ok(())
    }

    /// Whether checks may go where they would.
    pub(super) fn check_checks(
        &self,
        service: &ServiceName,
        instance: &Instance,
    ) -> Result<(), Refusal> {
        self.policy.health.check(instance)?;
        let entry = self.state.services.get(service);
        let defaults = &self.policy.declared.defaults.checks;
        let checks = entry.map_or(defaults, |entry| entry.checks(&self.policy.declared.defaults));
        for probe in checks.iter().filter_map(|check| check.probe()) {
            if let Err(refused) = self.policy.health.permit(probe, instance) {
                return Err(Refusal::invalid("addresses", refused.reason));
            }
        }
        Ok(())
    }

    pub(super) fn check_names(
        &self,
        service: &ServiceName,
        instance: &Instance,
    ) -> Result<(), Refusal> {
        let longest = instance.longest_name(service, self.names.zone_length);
        if longest > Instance::LONGEST_NAME {
            let reason = format!(
                "its longest DNS name would have {longest} characters, {} are allowed",
                Instance::LONGEST_NAME
            );
            return Err(Refusal::Invalid(SpecError::new("id", reason)));
        }
        Ok(())
    }

    pub(super) fn check_room(&mut self, service: &ServiceName) -> Result<(), Refusal> {
        let limits = &self.policy.limits;
        let added = self.overlay.added + self.below.added;
        let total = self.state.instances.saturating_add_signed(added);
        if total >= limits.instances {
            return Err(Refusal::Limit { name: Limit::Instances, max: limits.instances });
        }
        if self.count(service) >= limits.instances_per_service {
            let max = limits.instances_per_service;
            return Err(Refusal::Limit { name: Limit::InstancesPerService, max });
        }
        self.check_service_room(service)
    }

    /// Counts a new service as one of this batch.
    pub(super) fn check_service_room(&mut self, service: &ServiceName) -> Result<(), Refusal> {
        let max = self.policy.limits.services;
        let (known, new) = (&self.state.services, [&self.overlay.services, &self.below.services]);
        let counts = known.get(service).is_some_and(|entry| !entry.is_idle());
        if counts || new.iter().any(|new| new.contains(service)) {
            return Ok(());
        }
        // Those that only time keeps known make room, in the turn that needs it.
        let busy = known.len() - self.state.idle_services();
        if busy + new.iter().map(|new| new.len()).sum::<usize>() >= max {
            return Err(Refusal::Limit { name: Limit::Services, max });
        }
        self.overlay.services.insert(service.clone());
        Ok(())
    }

    /// How many instances the service has by then.
    pub(super) fn count(&self, service: &ServiceName) -> usize {
        let now = self.state.services.get(service).map_or(0, |s| s.instances.len());
        let layers = [&self.overlay, &self.below].into_iter();
        let added: isize = layers.filter_map(|layer| layer.counts.get(service)).sum();
        now.saturating_add_signed(added)
    }
}
