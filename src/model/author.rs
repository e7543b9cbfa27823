//! Who asks for a write, and from where.

use std::net::IpAddr;

use crate::model::actor::Actor;

/// Who asks for a write, and from where. By default: this process itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Author {
    /// On whose behalf.
    pub actor: Actor,
    /// The address that it came from; `None`: it came by no network.
    pub address: Option<IpAddr>,
}

impl From<Actor> for Author {
    fn from(actor: Actor) -> Self {
        Self { actor, address: None }
    }
}
