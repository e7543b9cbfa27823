//! From what a client asks to what will change: every check of a write is here.
//!
//! Writes of one batch see each other in order, although none is applied before the batch is
//! durable: what the earlier ones will have done is kept in an overlay on the state.

mod restored;
mod rules;
mod tokens;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::{
    Actor, Admin, Declared, HealthPolicy, Instance, InstanceId, InstancePatch, InstanceSpec, Label,
    LeaseTtl, Limits, Metadata, Network, OperatorState, ServiceName, SettingsPatch, Share, Status,
    Token, TokenId,
};
use crate::registry::instance::Source;
use crate::registry::op::Op;
use crate::registry::refusal::Refusal;
use crate::registry::state::State;

pub use restored::Misfit;

/// What the registry is held to; all of it may change by a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Settings and instances of the file.
    pub declared: Arc<Declared>,
    /// How much there may be.
    pub limits: Limits,
    /// How long an undeclared service without instances stays known.
    pub forget_after: std::time::Duration,
    /// Where the addresses are whose owners are looked up.
    pub reverse: Vec<Network>,
    /// Where checks may go.
    pub health: HealthPolicy,
    /// The share of all instances that are kept, as suspect, when their leases end together; none:
    /// only the services' own settings count.
    pub protect: Share,
}

/// The names that an instance's must not collide with or outgrow; fixed for the process.
#[derive(Debug, Clone)]
pub struct Names {
    /// Length in characters of the longest apex that names are served under.
    pub zone_length: usize,
    /// The server's own name, which no service may have.
    pub server: String,
}

/// Something to be written.
#[derive(Debug)]
pub(crate) enum Write {
    Register {
        service: ServiceName,
        id: InstanceId,
        spec: InstanceSpec,
    },
    Patch {
        service: ServiceName,
        id: InstanceId,
        patch: InstancePatch,
    },
    Statuses(Vec<StatusReport>),
    Deregister {
        service: ServiceName,
        id: InstanceId,
    },
    Override {
        service: ServiceName,
        patch: SettingsPatch,
    },
    Forget {
        service: ServiceName,
    },
    Batch {
        deregister: Vec<(ServiceName, InstanceId)>,
        register: Vec<(ServiceName, InstanceId, InstanceSpec)>,
    },
    AddToken(Arc<Token>),
    RevokeToken(TokenId),
}

impl Write {
    /// How many items it asks for.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Register { .. }
            | Self::Patch { .. }
            | Self::Deregister { .. }
            | Self::Override { .. }
            | Self::Forget { .. }
            | Self::AddToken(_)
            | Self::RevokeToken(_) => 1,
            Self::Statuses(reports) => reports.len(),
            Self::Batch { deregister, register } => deregister.len() + register.len(),
        }
    }
}

/// A status that a heartbeat carried.
#[derive(Debug)]
pub(crate) struct StatusReport {
    pub(crate) service: ServiceName,
    pub(crate) id: InstanceId,
    /// The registration that it is of; `None`: of whichever there is.
    pub(crate) generation: Option<u64>,
    pub(crate) status: Status,
}

/// Checks the writes of one batch, in order.
pub(crate) struct Planner<'s> {
    state: &'s State,
    policy: &'s Policy,
    names: &'s Names,
    generation: &'s mut u64,
    /// On whose behalf the write is that is looked at.
    actor: Actor,
    overlay: Overlay,
    /// What is under the overlay while that takes up a write that may yet be refused as a whole.
    below: Overlay,
}

/// What the batch so far will have done.
#[derive(Debug, Default)]
struct Overlay {
    instances: HashMap<(ServiceName, InstanceId), Option<Known>>,
    /// How many instances of a service were added, less those removed.
    counts: HashMap<ServiceName, isize>,
    /// The sum of them.
    added: isize,
    /// How many an identity came to own, less those that it owns no more.
    owned: HashMap<Label, isize>,
    /// How many bytes of metadata were added, less those removed.
    metadata: isize,
    services: HashSet<ServiceName>,
    /// What operators will have said.
    operators: HashMap<(ServiceName, InstanceId), OperatorState>,
    /// How many tokens were added.
    tokens: usize,
}

impl Overlay {
    fn count(&mut self, service: &ServiceName, added: isize) {
        *self.counts.entry(service.clone()).or_default() += added;
        self.added += added;
    }

    /// Counts an instance that `owner` owns, in place of `before`.
    fn change_owner(&mut self, before: Option<&Label>, owner: Option<&Label>) {
        for (name, by) in [(before, -1), (owner, 1)] {
            if let Some(name) = name {
                *self.owned.entry(name.clone()).or_default() += by;
            }
        }
    }

    /// Counts metadata that comes in place of `before`.
    fn change_metadata(&mut self, before: Option<&Metadata>, after: Option<&Metadata>) {
        let size = |metadata: Option<&Metadata>| metadata.map_or(0, Metadata::size);
        self.metadata += size(after).cast_signed() - size(before).cast_signed();
    }

    /// Puts `later` on top of this.
    fn take_up(&mut self, later: Self) {
        self.instances.extend(later.instances);
        for (service, added) in later.counts {
            self.count(&service, added);
        }
        for (name, by) in later.owned {
            *self.owned.entry(name).or_default() += by;
        }
        self.metadata += later.metadata;
        self.services.extend(later.services);
        self.operators.extend(later.operators);
        self.tokens += later.tokens;
    }
}

#[derive(Debug, Clone)]
struct Known {
    instance: Arc<Instance>,
    source: Source,
    generation: u64,
    owner: Option<Label>,
}

impl<'s> Planner<'s> {
    /// A planner on `state`. New registrations take the generations after `generation`.
    pub(crate) fn new(
        state: &'s State,
        policy: &'s Policy,
        names: &'s Names,
        generation: &'s mut u64,
    ) -> Self {
        let (overlay, below) = (Overlay::default(), Overlay::default());
        Self { state, policy, names, generation, actor: Actor::Anyone, overlay, below }
    }

    /// What `write` will do on behalf of `actor`. All of it or, on refusal, nothing.
    pub(crate) fn plan(&mut self, actor: Actor, write: Write) -> Result<Vec<Op>, Refusal> {
        self.actor = actor;
        match write {
            Write::Register { service, id, spec } => {
                self.register(service, id, spec).map(|op| vec![op])
            }
            Write::Patch { service, id, patch } => self.patch(&service, &id, patch),
            Write::Statuses(statuses) => Ok(self.statuses(statuses)),
            Write::Deregister { service, id } => {
                self.deregister(service, id).map(|op| op.into_iter().collect())
            }
            Write::Override { service, patch } => self.set_override(service, patch),
            Write::Forget { service } => self.forget(service),
            Write::Batch { deregister, register } => self.batch(deregister, register),
            Write::AddToken(token) => self.add_token(token),
            Write::RevokeToken(id) => self.revoke_token(id),
        }
    }

    /// Takes back everything planned so far: it will not be done.
    pub(crate) fn take_back(&mut self) {
        self.overlay = Overlay::default();
    }

    fn register(
        &mut self,
        service: ServiceName,
        id: InstanceId,
        spec: InstanceSpec,
    ) -> Result<Op, Refusal> {
        let known = self.known(&service, &id);
        if known.as_ref().is_some_and(|k| k.source == Source::File) {
            return Err(Refusal::of_static(&service, &id));
        }
        self.check_owner(&service, &id, known.as_ref())?;
        if service.as_str() == self.names.server {
            return Err(Refusal::invalid("service", "is the name of this server, choose another"));
        }
        let admin = known.as_ref().map_or(Admin::Enabled, |k| k.instance.admin);
        let instance = spec.build(id, Some(LeaseTtl::DEFAULT), admin)?;
        self.check_addresses(&instance)?;
        self.check_names(&service, &instance)?;
        self.check_checks(&service, &instance)?;
        let owner = self.actor.owner(known.as_ref().map(|known| known.owner.as_ref()));
        let same = |known: &&Known| *known.instance == instance && known.owner == owner;
        if let Some(Known { instance, generation, .. }) = known.as_ref().filter(same) {
            let (instance, generation) = (Arc::clone(instance), *generation);
            return Ok(Op::Renew { service, instance, generation, owner });
        }
        let before = known.as_ref();
        let metadata = before.map(|known| &known.instance.metadata);
        self.check_metadata(&instance, metadata)?;
        let own = before.and_then(|known| known.owner.as_ref());
        self.check_identity(own, owner.as_ref())?;
        if known.is_none() {
            self.check_room(&service)?;
            self.overlay.count(&service, 1);
        }
        self.overlay.change_owner(own, owner.as_ref());
        self.overlay.change_metadata(metadata, Some(&instance.metadata));
        *self.generation += 1;
        Ok(self.put(service, Arc::new(instance), *self.generation, owner, true))
    }

    fn patch(
        &mut self,
        service: &ServiceName,
        id: &InstanceId,
        patch: InstancePatch,
    ) -> Result<Vec<Op>, Refusal> {
        let Some(known) = self.known(service, id) else {
            return Err(Refusal::of_unknown(service, id));
        };
        self.check_owner(service, id, Some(&known))?;
        if known.source == Source::File && !patch.operator_only() {
            return Err(Refusal::of_static(service, id));
        }
        if known.source == Source::File {
            let key = (service.clone(), id.clone());
            let planned = self.overlay.operators.get(&key).copied();
            let said = planned.unwrap_or_else(|| self.state.operator(service, id));
            // An explicit null goes back to what the file says.
            let state = OperatorState {
                admin: patch.admin.unwrap_or(said.admin),
                status: patch.status.unwrap_or(said.status),
            };
            self.overlay.operators.insert(key, state);
            return Ok(vec![Op::Operator { service: service.clone(), id: id.clone(), state }]);
        }
        let instance = patch.apply(&known.instance)?;
        if instance == *known.instance {
            return Ok(Vec::new());
        }
        self.check_names(service, &instance)?;
        let metadata = Some(&known.instance.metadata);
        self.check_metadata(&instance, metadata)?;
        self.overlay.change_metadata(metadata, Some(&instance.metadata));
        let Known { generation, owner, .. } = known;
        Ok(vec![self.put(service.clone(), Arc::new(instance), generation, owner, false)])
    }

    /// Statuses that heartbeats carried. Instances that are gone by now are left alone, and so are
    /// later registrations of them.
    fn statuses(&mut self, reports: Vec<StatusReport>) -> Vec<Op> {
        let mut ops = Vec::with_capacity(reports.len());
        for StatusReport { service, id, generation, status } in reports {
            let own = |known: Known| generation.is_none_or(|given| given == known.generation);
            if self.known(&service, &id).is_some_and(own) {
                let status = Some(Some(status));
                let patch = InstancePatch { status, ..InstancePatch::default() };
                ops.extend(self.patch(&service, &id, patch).into_iter().flatten());
            }
        }
        ops
    }

    fn deregister(&mut self, service: ServiceName, id: InstanceId) -> Result<Option<Op>, Refusal> {
        match self.known(&service, &id) {
            None => {
                // What ended lately might come back, and only its owner may say that it shall not.
                let lapsed = self.state.lapses.view(&service, &id);
                let own = lapsed.is_some_and(|view| self.state.permits(&self.actor, view));
                Ok(own.then_some(Op::Remove { service, id }))
            }
            Some(known) if known.source == Source::File => Err(Refusal::of_static(&service, &id)),
            Some(known) => {
                self.check_owner(&service, &id, Some(&known))?;
                self.overlay.count(&service, -1);
                self.overlay.change_owner(known.owner.as_ref(), None);
                self.overlay.change_metadata(Some(&known.instance.metadata), None);
                self.overlay.instances.insert((service.clone(), id.clone()), None);
                Ok(Some(Op::Remove { service, id }))
            }
        }
    }

    fn set_override(
        &mut self,
        service: ServiceName,
        patch: SettingsPatch,
    ) -> Result<Vec<Op>, Refusal> {
        if service.as_str() == self.names.server {
            return Err(Refusal::invalid("service", "is the name of this server, choose another"));
        }
        if let Some(checks) = &patch.checks {
            self.policy.health.permits(checks)?;
        }
        self.check_service_room(&service)?;
        Ok(vec![Op::Override { service, patch: Some(patch) }])
    }

    fn forget(&self, service: ServiceName) -> Result<Vec<Op>, Refusal> {
        let entry = self.state.services.get(&service);
        if entry.is_none() && !self.overlay.services.contains(&service) {
            return Ok(Vec::new());
        }
        if entry.is_some_and(|entry| entry.declared.is_some()) {
            return Err(Refusal::StaticService(service));
        }
        let instances = self.count(&service);
        if instances > 0 {
            return Err(Refusal::NotEmpty { service, instances });
        }
        Ok(vec![Op::Override { service: service.clone(), patch: None }, Op::Forget { service }])
    }

    fn batch(
        &mut self,
        deregister: Vec<(ServiceName, InstanceId)>,
        register: Vec<(ServiceName, InstanceId, InstanceSpec)>,
    ) -> Result<Vec<Op>, Refusal> {
        refuse_repeats(&deregister, &register)?;
        // All or nothing: what the first items did to the overlay goes when a later one is refused.
        self.below = std::mem::take(&mut self.overlay);
        let generation = *self.generation;
        let plan = || -> Result<Vec<Op>, Refusal> {
            let mut ops = Vec::with_capacity(deregister.len() + register.len());
            for (i, (service, id)) in deregister.into_iter().enumerate() {
                let op = self.deregister(service, id);
                ops.extend(op.map_err(|refusal| refusal.within(&format!("deregister[{i}]")))?);
            }
            for (i, (service, id, spec)) in register.into_iter().enumerate() {
                let op = self.register(service, id, spec);
                ops.push(op.map_err(|refusal| refusal.within(&format!("register[{i}]")))?);
            }
            Ok(ops)
        };
        let planned = plan();
        let items = std::mem::replace(&mut self.overlay, std::mem::take(&mut self.below));
        match planned {
            Ok(_) => self.overlay.take_up(items),
            Err(_) => *self.generation = generation,
        }
        planned
    }

    fn known(&self, service: &ServiceName, id: &InstanceId) -> Option<Known> {
        let key = (service.clone(), id.clone());
        let mut layers = [&self.overlay, &self.below].into_iter();
        if let Some(planned) = layers.find_map(|layer| layer.instances.get(&key)) {
            return planned.clone();
        }
        self.state.instance(service.as_str(), id.as_str()).map(|view| Known {
            instance: Arc::clone(&view.instance),
            source: view.source,
            generation: view.generation,
            owner: self.state.owner(view).cloned(),
        })
    }

    fn put(
        &mut self,
        service: ServiceName,
        instance: Arc<Instance>,
        generation: u64,
        owner: Option<Label>,
        registers: bool,
    ) -> Op {
        let known = Known {
            instance: Arc::clone(&instance),
            source: Source::Api,
            generation,
            owner: owner.clone(),
        };
        self.overlay.instances.insert((service.clone(), instance.id.clone()), Some(known));
        Op::Put { service, instance, generation, owner, registers }
    }
}

fn refuse_repeats(
    deregister: &[(ServiceName, InstanceId)],
    register: &[(ServiceName, InstanceId, InstanceSpec)],
) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    let first = deregister.iter().enumerate().map(|(i, (s, id))| ("deregister", i, s, id));
    let second = register.iter().enumerate().map(|(i, (s, id, _))| ("register", i, s, id));
    for (list, i, service, id) in first.chain(second) {
        if !seen.insert((service, id)) {
            let reason = format!("instance {id} of service {service} is there twice");
            return Err(Refusal::invalid(format!("{list}[{i}].id"), reason));
        }
    }
    Ok(())
}
