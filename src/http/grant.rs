//! For how long whoever was let in may stay: watches and waiting reads outlive the check at the door.
//!
//! Tokens ring when they change, and their expiry is a timer; certificates are looked at each second.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::http::app::App;
use crate::http::caller::{Admitted, Proof};

/// What somebody was let in by.
pub(crate) struct Grant {
    app: Arc<App>,
    admitted: Admitted,
    bell: watch::Receiver<()>,
}

impl Grant {
    /// A grant by what a call was let in by.
    pub(crate) fn new(app: &Arc<App>, admitted: Admitted) -> Self {
        Self { app: Arc::clone(app), admitted, bell: app.registry.tokens_bell() }
    }

    /// Whether they would be let in now as well.
    pub(crate) fn holds(&self) -> bool {
        self.admitted.still(&self.app)
    }

    /// Completes when it holds no longer. May be dropped and called again.
    pub(crate) async fn over(&mut self) {
        if self.admitted.is_for_good() {
            return pending().await;
        }
        while self.holds() {
            let next_look = self.next_look();
            tokio::select! {
                rung = self.bell.changed() => if rung.is_err() {
                    // The registry has ended, and everything with it.
                    return;
                },
                () = tokio::time::sleep(next_look) => {}
            }
        }
    }

    /// When it may be over by itself.
    fn next_look(&self) -> Duration {
        match self.admitted.proof() {
            Some(Proof::Token(token)) => token.expires.map_or(LONGEST, |at| {
                let left = Duration::from_secs(at).saturating_sub(self.app.registry.clock().wall());
                left.clamp(SHORTEST, LONGEST)
            }),
            // By a reload too, and by what their authorities say.
            Some(Proof::Certificate(..)) => SECOND,
            // Those of TLS, which a reload may ask for certificates.
            None => SECOND,
        }
    }
}

/// The wall clock may be set back while somebody waits for it.
const SHORTEST: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
/// It may be set forward too.
const LONGEST: Duration = Duration::from_secs(15);
