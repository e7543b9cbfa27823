//! Signals: what operators and service managers say to a running server, and what it does then.

use std::pin::pin;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::model::Author;
use crate::server::ServeError;
use crate::server::panics::Panics;
use crate::server::reload::{self, Reloader};
use crate::server::service_manager::ServiceManager;

/// Signals that are caught from the making of this on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads on SIGHUP until the server has to stop.
    ///
    /// # Errors
    /// When a part has ended that must not.
    pub(super) async fn until_stop(
        mut self,
        reloader: &Arc<Reloader>,
        manager: &ServiceManager,
        part_ended: impl Future<Output = &'static str>,
        panics: &Panics,
    ) -> Result<(), ServeError> {
        let mut part_ended = pin!(part_ended);
        let mut reloads = JoinSet::new();
        loop {
            tokio::select! {
                // Before what it may have ended.
                biased;
                () = panics.heard() => return Ok(()),
                _ = self.terminate.recv() => return Ok(()),
                _ = self.interrupt.recv() => return Ok(()),
                // Beside the other signals: a disk that hangs must not keep the process.
                _ = self.hang_up.recv() => {
                    let (reloader, manager) = (Arc::clone(reloader), manager.clone());
                    reloads.spawn(async move {
                        manager.reloading();
                        reload::tell(&reloader.reload(Author::default()).await);
                        manager.ready();
                    });
                }
                Some(_) = reloads.join_next() => {}
                part = &mut part_ended => return Err(ServeError::Ended(part)),
            }
        }
    }
}
