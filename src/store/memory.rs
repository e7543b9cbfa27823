//! A store that lasts as long as the process: `kind = "memory"`, and tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Change, Commit, CommitError, Image, InstanceId, OperatorState, Record, Revision, ServiceName,
    SettingsPatch, Token, TokenId,
};
use crate::store::{Store, StoreError};

/// Keeps what is committed in memory. Never fails.
#[derive(Debug, Default)]
pub struct Memory {
    revision: Revision,
    instances: BTreeMap<(ServiceName, InstanceId), Record>,
    overrides: BTreeMap<ServiceName, SettingsPatch>,
    operators: BTreeMap<(ServiceName, InstanceId), OperatorState>,
    tokens: BTreeMap<TokenId, Arc<Token>>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { service, record } => {
                let key = (service.clone(), record.instance.id.clone());
                self.instances.insert(key, record.clone());
            }
            Change::Remove { service, id } => {
                self.instances.remove(&(service.clone(), id.clone()));
            }
            Change::Override { service, patch: Some(patch) } => {
                self.overrides.insert(service.clone(), patch.clone());
            }
            Change::Override { service, patch: None } => {
                self.overrides.remove(service);
            }
            Change::Operator { service, id, state } if state.is_empty() => {
                self.operators.remove(&(service.clone(), id.clone()));
            }
            Change::Operator { service, id, state } => {
                self.operators.insert((service.clone(), id.clone()), *state);
            }
            Change::Token { id, token: Some(token) } => {
                self.tokens.insert(*id, Arc::clone(token));
            }
            Change::Token { id, token: None } => {
                self.tokens.remove(id);
            }
        }
    }
}

impl Store for Memory {
    fn load(&mut self) -> Result<Image, StoreError> {
        let instances = self.instances.iter().map(|((s, _), r)| (s.clone(), r.clone()));
        let overrides = self.overrides.iter().map(|(s, patch)| (s.clone(), patch.clone()));
        let operators = self.operators.iter().map(|((s, id), o)| (s.clone(), id.clone(), *o));
        Ok(Image {
            revision: self.revision,
            instances: instances.collect(),
            overrides: overrides.collect(),
            operators: operators.collect(),
            tokens: self.tokens.values().cloned().collect(),
        })
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        self.revision = self.revision.max(commit.revision);
        for change in &commit.changes {
            self.apply(change);
        }
        Ok(())
    }

    fn close(self: Box<Self>, _revision: Revision) -> Result<(), StoreError> {
        Ok(())
    }
}
