//! What a write does, step by step, between its check and its commit.

use std::sync::Arc;

use crate::model::{
    Change, Instance, InstanceId, Label, OperatorState, Record, ServiceName, SettingsPatch, Token,
    TokenId,
};
use crate::registry::instance::Source;
use crate::registry::refusal::Refusal;
use crate::registry::state::State;

/// One thing that a change does.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// The registered instance is now this.
    Put {
        service: ServiceName,
        instance: Arc<Instance>,
        generation: u64,
        owner: Option<Label>,
        /// A registration, which restarts the lease and may create; otherwise the change of an
        /// instance that must still be there.
        registers: bool,
    },
    /// A registration of what is there already: the lease restarts, nothing else changes.
    Renew { service: ServiceName, instance: Arc<Instance>, generation: u64, owner: Option<Label> },
    /// The registered instance is gone.
    Remove { service: ServiceName, id: InstanceId },
    /// The override of the service's settings is now this.
    Override { service: ServiceName, patch: Option<SettingsPatch> },
    /// The service, which has no instances, is no longer known.
    Forget { service: ServiceName },
    /// What the operator says of a declared instance is now this.
    Operator { service: ServiceName, id: InstanceId, state: OperatorState },
    /// The token is now this.
    Token { id: TokenId, token: Option<Arc<Token>> },
}

impl Op {
    /// What of this must be durable before it is applied.
    pub(crate) fn change(&self) -> Option<Change> {
        Some(match self.clone() {
            Self::Put { service, instance, generation, owner, .. } => {
                Change::Put { service, record: Record { instance, generation, owner } }
            }
            Self::Remove { service, id } => Change::Remove { service, id },
            Self::Override { service, patch } => Change::Override { service, patch },
            Self::Operator { service, id, state } => Change::Operator { service, id, state },
            Self::Token { id, token } => Change::Token { id, token },
            Self::Renew { .. } | Self::Forget { .. } => return None,
        })
    }

    /// Whether any of this must be durable before it is applied.
    pub(crate) fn is_durable(&self) -> bool {
        match self {
            Self::Put { .. }
            | Self::Remove { .. }
            | Self::Override { .. }
            | Self::Operator { .. }
            | Self::Token { .. } => true,
            Self::Renew { .. } | Self::Forget { .. } => false,
        }
    }

    /// What of this is durable, by name.
    pub(crate) fn key(&self) -> Option<Key> {
        Some(match self {
            Self::Put { service, instance, .. } => {
                Key::Instance(service.clone(), instance.id.clone())
            }
            Self::Remove { service, id } => Key::Instance(service.clone(), id.clone()),
            Self::Override { service, .. } => Key::Override(service.clone()),
            Self::Operator { service, id, .. } => Key::Operator(service.clone(), id.clone()),
            Self::Token { id, .. } => Key::Token(*id),
            Self::Renew { .. } | Self::Forget { .. } => return None,
        })
    }

    /// Whether this only renews a lease, of a registration that is still there.
    pub(crate) fn only_renews(&self, state: &State) -> bool {
        match self {
            Self::Renew { service, instance, generation, .. } => {
                state.has_registered(service, &instance.id, *generation)
            }
            Self::Put { .. }
            | Self::Remove { .. }
            | Self::Override { .. }
            | Self::Forget { .. }
            | Self::Operator { .. }
            | Self::Token { .. } => false,
        }
    }

    /// Why this, which was legal when it was planned, no longer is: since then the file may have
    /// taken the instance over or given it up, its lease may have ended, and what this builds on may
    /// have been refused.
    pub(crate) fn overtaken(&self, state: &State) -> Option<Refusal> {
        let view =
            |service: &ServiceName, id: &InstanceId| state.instance(service.as_str(), id.as_str());
        let source = |service, id| view(service, id).map(|view| view.source);
        match self {
            Self::Put { service, instance, generation, registers, .. } => {
                match view(service, &instance.id) {
                    Some(view) if view.source == Source::File => {
                        Some(Refusal::of_static(service, &instance.id))
                    }
                    Some(view) if !registers && view.generation != *generation => {
                        let (service, id) = (service.clone(), instance.id.clone());
                        Some(Refusal::Owned { service, id, given: *generation })
                    }
                    None if !registers => Some(Refusal::of_unknown(service, &instance.id)),
                    None | Some(_) => None,
                }
            }
            Self::Renew { service, instance, .. } => {
                let taken = source(service, &instance.id) == Some(Source::File);
                taken.then(|| Refusal::of_static(service, &instance.id))
            }
            Self::Remove { service, id } => {
                let taken = source(service, id) == Some(Source::File);
                taken.then(|| Refusal::of_static(service, id))
            }
            Self::Operator { service, id, .. } => {
                let given_up = source(service, id) != Some(Source::File);
                given_up.then(|| Refusal::of_unknown(service, id))
            }
            Self::Forget { service } => {
                let taken = state.services.get(service).is_some_and(|s| s.declared.is_some());
                taken.then(|| Refusal::StaticService(service.clone()))
            }
            Self::Override { .. } | Self::Token { .. } => None,
        }
    }
}

/// What is durable under its own name. A change of it can be stored again from the state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Instance(ServiceName, InstanceId),
    Override(ServiceName),
    Operator(ServiceName, InstanceId),
    Token(TokenId),
}
