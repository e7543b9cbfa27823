//! `signpost token create --offline`: the first token, for which nobody can be asked yet.
//!
//! Whoever may write the data folder may do anything to the registry, so that this gives away nothing.
//! The folder's lock sees to it that no server runs meanwhile.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Flags, StoreKind};
use crate::http::new_secret;
use crate::model::{Change, Commit, Secret, SpecError, Token, TokenSpec};
use crate::registry::Clock;
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
    let boot = reload::load(config, &Flags::default()).map_err(ServeError::from)?.boot;
    if boot.store == StoreKind::Memory {
        return Err(OfflineError::Memory);
    }
    let secret = new_secret().map_err(ServeError::System)?;
    let token = spec.build(&secret, Clock::start().wall())?;
    let mut store = Embedded::open(&boot.data_dir).map_err(ServeError::from)?;
    let revision = store.load().map_err(ServeError::from)?.revision;
    let change = Change::Token { id: token.id(), token: Some(Arc::new(token.clone())) };
    let committed = store.commit(&Commit { revision, changes: vec![change] });
    Box::new(store).close(revision).map_err(ServeError::from)?;
    committed.map_err(|error| OfflineError::Commit(error.to_string()))?;
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
    /// It could not be stored.
    #[error("cannot store the token: {0}")]
    Commit(String),
}
