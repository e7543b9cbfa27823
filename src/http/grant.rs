//! For how long whoever was let in may stay: watches and waiting reads outlive the check at the door.
//!
//! Nothing is polled: tokens ring when they change, and an expiry is a timer.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::http::app::App;
use crate::model::Token;

/// What somebody was let in by.
pub(crate) struct Grant {
    app: Arc<App>,
    /// `None`: nothing that ends.
    token: Option<Arc<Token>>,
    bell: watch::Receiver<()>,
}

impl Grant {
    /// A grant by `token`; `None`: who needs none.
    pub(crate) fn new(app: &Arc<App>, token: Option<Arc<Token>>) -> Self {
        Self { app: Arc::clone(app), token, bell: app.registry.tokens_bell() }
    }

    /// Whether they would be let in now as well.
    pub(crate) fn holds(&self) -> bool {
        let Some(token) = &self.token else { return true };
        let registry = &self.app.registry;
        let there = registry.tokens().get(token.id()).is_some();
        there && !token.expired(registry.clock().wall())
    }

    /// Completes when it holds no longer. May be dropped and called again.
    pub(crate) async fn over(&mut self) {
        let Some(token) = self.token.clone() else { return pending().await };
        while self.holds() {
            let now = self.app.registry.clock().wall();
            let left =
                token.expires.map_or(LONGEST, |at| Duration::from_secs(at).saturating_sub(now));
            tokio::select! {
                rung = self.bell.changed() => if rung.is_err() {
                    // The registry has ended, and everything with it.
                    return;
                },
                () = tokio::time::sleep(left.clamp(SHORTEST, LONGEST)) => {}
            }
        }
    }
}

/// The wall clock may be set back while somebody waits for it.
const SHORTEST: Duration = Duration::from_millis(100);
/// It may be set forward too.
const LONGEST: Duration = Duration::from_secs(15);
