//! The store's thread: takes one batch at a time from the registry and makes it durable.
//!
//! A thread of its own, since a store blocks; the registry goes on meanwhile.

use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::model::Revision;
use crate::registry::PersistRequest;
use crate::server::priority::stand_behind_queries;
use crate::store::{Store, StoreError};

/// A store that has been read and whose commits are made on its own thread.
pub(super) struct Persister {
    thread: JoinHandle<Result<(), StoreError>>,
    last_revision: oneshot::Sender<Revision>,
}

impl Persister {
    /// Starts the thread. It ends when every sender of `requests` is gone; the receiver hears when
    /// it does, however it does.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn start(
        mut store: Box<dyn Store>,
        mut requests: mpsc::Receiver<PersistRequest>,
    ) -> std::io::Result<(Self, oneshot::Receiver<()>)> {
        let (last_revision, last) = oneshot::channel();
        let (alive, ended) = oneshot::channel::<()>();
        let work = move || {
            let _alive = alive;
            stand_behind_queries();
            while let Some(PersistRequest { commit, done }) = requests.blocking_recv() {
                // A registry that no longer waits is going down; the commit stands.
                done.send(store.commit(&commit)).ok();
            }
            match last.blocking_recv() {
                Ok(revision) => store.close(revision),
                // Nobody knows the last revision: the next start is one after a crash.
                Err(_) => Ok(()),
            }
        };
        let thread = std::thread::Builder::new().name("store".into()).spawn(work)?;
        Ok((Self { thread, last_revision }, ended))
    }

    /// Closes the store cleanly after the registry's engine has ended with `revision`. Blocks.
    ///
    /// # Errors
    /// When the store cannot be closed cleanly.
    pub(super) fn close(self, revision: Revision) -> Result<(), StoreError> {
        // A thread that is gone has said why.
        self.last_revision.send(revision).ok();
        self.thread.join().unwrap_or(Ok(()))
    }
}
