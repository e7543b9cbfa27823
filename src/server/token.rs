//! `signpost token create --offline`: the first token, for which nobody can be asked yet.
//!
//! Whoever may write the data folder may do anything to the registry, so that this gives away nothing.
//! The folder's lock sees to it that no server runs meanwhile.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::{self, AuditFile};
use crate::config::{Config, Flags, StoreKind};
use crate::http::new_secret;
use crate::model::{Author, Change, Commit, Secret, SpecError, Token, TokenSpec};
use crate::registry::{Clock, Deed, Entry, Trigger};
use crate::server::owner::{Owner, OwnerError};
use crate::server::{ServeError, reload};
use crate::store::{Embedded, Store};

/// Puts a token into the store of the configuration at `config`; `None`: the built-in defaults.
///
/// # Errors
/// When the configuration or the store cannot be used, or the token makes no sense.
pub fn create_token(
    config: Option<PathBuf>,
    spec: TokenSpec,
) -> Result<(Secret, Token), OfflineError> {
    let Config { boot, live, .. } =
        reload::load(config, &Flags::default()).map_err(ServeError::from)?;
    if boot.store == StoreKind::Memory {
        return Err(OfflineError::Memory);
    }
    let secret = new_secret().map_err(ServeError::System)?;
    let now = Clock::start().wall();
    let token = spec.build(&secret, now)?;
    let log = live.audit.map(AuditFile::open).transpose().map_err(ServeError::from)?;
    let owner = Owner::of(&boot.data_dir);
    let mut store = Embedded::open(&boot.data_dir).map_err(ServeError::from)?;
    let revision = store.load().map_err(ServeError::from)?.revision;
    let made = Some(Arc::new(token.clone()));
    let change = Change::Token { id: token.id(), token: made.clone() };
    let committed = store.commit(&Commit { revision, changes: vec![change] });
    Box::new(store).close(revision).map_err(ServeError::from)?;
    committed.map_err(|error| OfflineError::Commit(error.to_string()))?;
    owner.give()?;
    if let Some(mut log) = log {
        let deed = Deed::Token { before: None, after: made };
        let (author, trigger) = (Author::default(), Trigger::Call);
        let line = audit::line(&Entry { revision: None, author, trigger, deed }, now);
        log.append(&line).and_then(|()| log.sync()).map_err(OfflineError::Unlogged)?;
    }
    Ok((secret, token))
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// What a server needs too cannot be used.
    #[error(transparent)]
    Unusable(#[from] ServeError),
    /// The token makes no sense.
    #[error("cannot make the token: {0}")]
    Spec(#[from] SpecError),
    /// There is nothing to put it into.
    #[error("store.kind is \"memory\", which keeps no token; ask a running server")]
    Memory,
    /// It is there, but nobody can use it, since it was not told.
    #[error(
        "the token is made, but the audit log does not tell of it: {0}; revoke it and try again"
    )]
    Unlogged(#[source] io::Error),
    /// It is there, but nobody can use it, since it was not told.
    #[error("the token is made, but {0}")]
    Owner(#[from] OwnerError),
    /// It could not be stored.
    #[error("cannot store the token: {0}")]
    Commit(String),
}
