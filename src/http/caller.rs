//! Who calls, as far as they have proved it, and what they may write.

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::app::App;
use crate::http::problem::{Problem, ProblemKind};
use crate::model::{Actor, Address, Scope, ServiceName, Token};

/// Who makes a call.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Anybody, where nobody has to say who they are: may do everything.
    Anyone,
    /// Who holds this token.
    Known(Arc<Token>),
}

impl Caller {
    /// On whose behalf they write.
    pub(crate) fn actor(&self) -> Actor {
        match self {
            Self::Anyone => Actor::Anyone,
            Self::Known(token) => token.actor(),
        }
    }

    /// Whether they may write instances of `service`, as far as nobody else owns them.
    pub(crate) fn may_write(&self, service: &ServiceName) -> bool {
        match self {
            Self::Anyone => true,
            Self::Known(token) => token.may_write(service),
        }
    }

    /// Whether they are an admin, who proved it.
    pub(crate) fn is_known_admin(&self) -> bool {
        match self {
            Self::Anyone => false,
            Self::Known(token) => token.scopes.cover(Scope::Admin),
        }
    }

    /// Refuses writes of instances of `service` that [`Self::may_write`] does not allow; `within` is
    /// where the service is named, before the name of its field.
    pub(crate) fn check_service(
        &self,
        service: &ServiceName,
        within: impl Display,
    ) -> Result<(), Problem> {
        let Self::Known(token) = self else { return Ok(()) };
        if token.may_write(service) {
            return Ok(());
        }
        let (name, services) = (&token.name, listed(&token.services, "no service"));
        let reason = format!("the token of {name} is for {services}, not for {service}");
        Err(Problem::of(ProblemKind::Forbidden, format!("{within}service"), &reason))
    }

    /// Refuses to register `addresses` that they may not; `within` as above.
    pub(crate) fn check_addresses(
        &self,
        addresses: &[Address],
        within: impl Display,
    ) -> Result<(), Problem> {
        let Self::Known(token) = self else { return Ok(()) };
        let Some(i) = addresses.iter().position(|address| !token.may_register(*address)) else {
            return Ok(());
        };
        let reason = format!(
            "the token of {} is for addresses in {}, not for {}",
            token.name,
            listed(&token.networks, "no network"),
            addresses[i],
        );
        let field = format!("{within}addresses[{i}]");
        Err(Problem::of(ProblemKind::Forbidden, field, &reason))
    }
}

/// The token that a call was made with; `None` without one.
pub(crate) struct Shown(pub(crate) Option<Arc<Token>>);

impl FromRequestParts<Arc<App>> for Shown {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        Ok(match parts.extensions.get::<Caller>() {
            Some(Caller::Known(token)) => Self(Some(Arc::clone(token))),
            Some(Caller::Anyone) | None => Self(None),
        })
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match parts.extensions.get::<Self>() {
            Some(caller) => Ok(caller.clone()),
            // Who may read all the same.
            None if app.access.authentication.required => Err(Problem::unauthorized()),
            None => Ok(Self::Anyone),
        }
    }
}

fn listed(items: &[impl ToString], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
