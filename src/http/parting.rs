//! How watches end that the server ends: each is told to its client as far as that listens, counted by
//! reason, and logged. Who simply goes is nobody's business.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use crate::http::app::App;
use crate::http::connection::Activity;
use crate::model::ServiceName;

/// Why a watch was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The client did not take what was there for it, or is gone without a word.
    Slow,
    /// The client took it so slowly that the journal no longer has what comes next.
    FellBehind,
    /// It would not be let in any more: its token was revoked or has expired, its certificate stands for
    /// nobody, or one is needed now.
    Revoked,
    /// The server goes down.
    Shutdown,
}

impl Reason {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Slow, Self::FellBehind, Self::Revoked, Self::Shutdown];

    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::FellBehind => "fell_behind",
            Self::Revoked => "revoked",
            Self::Shutdown => "shutdown",
        }
    }

    /// The last that its client reads: a comment, which no client takes for an event.
    fn text(self) -> &'static [u8] {
        match self {
            Self::Slow => b": ended: nothing was read for too long\n\n",
            Self::FellBehind => b": ended: too far behind, watch again\n\n",
            Self::Revoked => b": ended: what let it in holds no longer\n\n",
            Self::Shutdown => b": ended: the server is shutting down\n\n",
        }
    }
}

/// What sees how a watch ends that cannot see it itself.
pub(crate) struct Parting {
    app: Arc<App>,
    service: Option<ServiceName>,
    witness: Option<(SocketAddr, Arc<Activity>)>,
    told: bool,
}

impl Parting {
    /// For a watch of `service` that begins.
    pub(crate) fn new(
        app: &Arc<App>,
        service: Option<&ServiceName>,
        witness: Option<(SocketAddr, Arc<Activity>)>,
    ) -> Self {
        Self { app: Arc::clone(app), service: service.cloned(), witness, told: false }
    }

    /// Ends it: what its client is to read last.
    pub(crate) fn tell(&mut self, reason: Reason) -> Bytes {
        self.told = true;
        self.note(reason);
        Bytes::from_static(reason.text())
    }

    /// Whether it is ended.
    pub(crate) fn is_told(&self) -> bool {
        self.told
    }

    fn note(&self, reason: Reason) {
        self.app.metrics.count_ended(reason);
        if reason == Reason::Shutdown {
            // Of all of them; that it goes down is logged.
            return;
        }
        let source = self.witness.as_ref().map(|(source, _)| tracing::field::display(source));
        let service = self.service.as_ref().map(tracing::field::display);
        tracing::info!(reason = reason.name(), source, service, "ended a watch");
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        let cut = self.witness.as_ref().is_some_and(|(_, activity)| activity.is_cut());
        if self.told {
            return;
        }
        if *self.app.shutdown.borrow() {
            self.note(Reason::Shutdown);
        } else if cut {
            self.note(Reason::Slow);
        }
    }
}

/// The connection of a call, where it has one.
pub(crate) struct Witness(pub(crate) Option<(SocketAddr, Arc<Activity>)>);

impl<S: Sync> FromRequestParts<S> for Witness {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let source = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let activity = parts.extensions.get::<Arc<Activity>>().cloned();
        Ok(Self(source.zip(activity)))
    }
}
