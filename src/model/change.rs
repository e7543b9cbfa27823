//! What is durable: revisions, records, the changes between them, and commits of changes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::instance::{Admin, Instance, Status};
use crate::model::name::{InstanceId, Label, ServiceName};
use crate::model::settings::SettingsPatch;
use crate::model::token::{Token, TokenId};

/// The registry's one counter: the number of the last change. Never goes back, never repeats.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// As SOA serial: mod 2^32 with 0 skipped, so that it always moves forward (RFC 1982).
    #[must_use]
    pub fn serial(self) -> u32 {
        let wrapped = self.0.saturating_sub(1) % u64::from(u32::MAX) + 1;
        u32::try_from(wrapped).unwrap_or(u32::MAX)
    }
}

/// A registered instance as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The instance.
    pub instance: Arc<Instance>,
    /// The revision of the registration that made it what it is; handed out to its owner.
    pub generation: u64,
    /// Who registered it first; `None` where nobody had to say who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Label>,
}

/// What an operator said of a declared instance, kept apart since the file owns the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorState {
    /// `None`: as the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// `None`: as the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

impl OperatorState {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// One durable change. Each is absolute, so that applying it twice is applying it once.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The registered instance is now this.
    Put {
        /// Its service.
        service: ServiceName,
        /// What it is.
        record: Record,
    },
    /// The registered instance is gone.
    Remove {
        /// Its service.
        service: ServiceName,
        /// Its id.
        id: InstanceId,
    },
    /// The service's override of its settings is now this; `None` removes it.
    Override {
        /// The service.
        service: ServiceName,
        /// The whole override.
        patch: Option<SettingsPatch>,
    },
    /// What the operator says of a declared instance is now this; empty removes it.
    Operator {
        /// Its service.
        service: ServiceName,
        /// Its id.
        id: InstanceId,
        /// What was said.
        state: OperatorState,
    },
    /// The token is now this; `None` removes it.
    Token {
        /// Its id.
        id: TokenId,
        /// All that is known of it.
        token: Option<Arc<Token>>,
    },
}

/// Changes that become durable together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// The registry's revision after them.
    pub revision: Revision,
    /// In order.
    pub changes: Vec<Change>,
}

/// Why a commit did not happen. Nothing of it is visible, though it may turn out to be on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// No space left.
    #[error("the store is full: {0}")]
    Full(String),
    /// Any other failure of the store.
    #[error("the store cannot write: {0}")]
    Unavailable(String),
}

/// Everything that is durable, as read when the server starts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Image {
    /// Not less than any revision ever handed out.
    pub revision: Revision,
    /// Registered instances.
    pub instances: Vec<(ServiceName, Record)>,
    /// Overrides of settings.
    pub overrides: Vec<(ServiceName, SettingsPatch)>,
    /// What operators said of declared instances.
    pub operators: Vec<(ServiceName, InstanceId, OperatorState)>,
    /// Tokens.
    pub tokens: Vec<Arc<Token>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_skips_zero_and_always_moves_forward() {
        assert_eq!(Revision(1).serial(), 1);
        assert_eq!(Revision(u64::from(u32::MAX)).serial(), u32::MAX);
        assert_eq!(Revision(u64::from(u32::MAX) + 1).serial(), 1);
    }
}
