//! A call that writes: who makes it, and from where.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use crate::http::app::App;
use crate::http::caller::Caller;
use crate::http::problem::Problem;
use crate::model::Author;
use crate::registry::Registry;

/// A call that writes.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Who makes it.
    pub(crate) caller: Caller,
    address: Option<IpAddr>,
}

impl Call {
    /// Who is to be named as the author of what comes of it. By the address of the connection: what
    /// `X-Forwarded-For` says anybody may say.
    pub(crate) fn author(&self) -> Author {
        Author { actor: self.caller.actor(), address: self.address }
    }

    /// The registry, for writes on their behalf.
    pub(crate) fn registry(&self, app: &App) -> Registry {
        app.registry.by(self.author())
    }
}

impl FromRequestParts<Arc<App>> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let source = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = source.map(|ConnectInfo(source)| source.ip().to_canonical());
        Ok(Self { caller, address })
    }
}
