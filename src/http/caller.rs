//! Who calls, as far as they have proved it, and what they may write.

use std::convert::Infallible;
use std::fmt::{self, Display};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;

use crate::http::app::App;
use crate::http::clients::Proved;
use crate::http::peer::Peer;
use crate::http::problem::{Problem, ProblemKind};
use crate::model::{Actor, Address, Identity, ServiceName, Token};

/// Who makes a call.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Anybody, where nobody has to say who they are: may do everything.
    Anyone,
    /// Who has proved who they are.
    Known(Proof),
}

/// By what somebody has proved who they are.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// They know this token.
    Token(Arc<Token>),
    /// They have a certificate that stands for this identity.
    Certificate(Arc<Proved>, Arc<Identity>),
}

impl Proof {
    /// Who they are, and what they may do.
    pub(crate) fn identity(&self) -> &Identity {
        match self {
            Self::Token(token) => &token.identity,
            Self::Certificate(_, identity) => identity,
        }
    }

    /// Whether it would prove the same now.
    fn holds(&self, app: &App) -> bool {
        let now = app.registry.clock().wall();
        match self {
            Self::Token(token) => {
                app.registry.tokens().get(token.id()).is_some() && !token.expired(now)
            }
            Self::Certificate(proved, identity) => {
                app.access.clients.load().identity(proved, now) == Some(identity)
            }
        }
    }
}

impl Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Token(_) => "token",
            Self::Certificate(..) => "certificate",
        };
        write!(f, "the {kind} of {}", self.identity().name)
    }
}

impl Caller {
    /// On whose behalf they write.
    pub(crate) fn actor(&self) -> Actor {
        match self {
            Self::Anyone => Actor::Anyone,
            Self::Known(proof) => proof.identity().actor(),
        }
    }

    /// Whether they may write instances of `service`, as far as nobody else owns them.
    pub(crate) fn may_write(&self, service: &ServiceName) -> bool {
        match self {
            Self::Anyone => true,
            Self::Known(proof) => proof.identity().may_write(service),
        }
    }

    /// Whether they are an admin, who proved it.
    pub(crate) fn is_known_admin(&self) -> bool {
        match self {
            Self::Anyone => false,
            Self::Known(proof) => proof.identity().is_admin(),
        }
    }

    /// Refuses writes of instances of `service` that [`Self::may_write`] does not allow; `within` is
    /// where the service is named, before the name of its field.
    pub(crate) fn check_service(
        &self,
        service: &ServiceName,
        within: impl Display,
    ) -> Result<(), Problem> {
        let Self::Known(proof) = self else { return Ok(()) };
        if proof.identity().may_write(service) {
            return Ok(());
        }
        let services = listed(&proof.identity().services, "no service");
        let reason = format!("{proof} is for {services}, not for {service}");
        Err(Problem::of(ProblemKind::Forbidden, format!("{within}service"), &reason))
    }

    /// Refuses to register `addresses` that they may not; `within` as above.
    pub(crate) fn check_addresses(
        &self,
        addresses: &[Address],
        within: impl Display,
    ) -> Result<(), Problem> {
        let Self::Known(proof) = self else { return Ok(()) };
        let identity = proof.identity();
        let Some(i) = addresses.iter().position(|address| !identity.may_register(*address)) else {
            return Ok(());
        };
        let networks = listed(&identity.networks, "no network");
        let reason = format!("{proof} is for addresses in {networks}, not for {}", addresses[i]);
        let field = format!("{within}addresses[{i}]");
        Err(Problem::of(ProblemKind::Forbidden, field, &reason))
    }
}

/// By what a call was let in that may last.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// `None`: it needed to prove nothing.
    proof: Option<Proof>,
    /// Whether it may be stopped by certificates that become required: nobody had to say who they are,
    /// over TLS.
    anyone_by_tls: bool,
    /// Whether they may read without saying who they are, where others have to.
    stranger: bool,
}

impl Admitted {
    /// That of the request with these `extensions`, which has passed the guard.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let by_tls = extensions.get::<Peer>().is_some_and(|peer| peer.encrypted);
        let admitted = |proof| Self { proof, anyone_by_tls: false, stranger: false };
        match extensions.get::<Caller>() {
            Some(Caller::Known(proof)) => admitted(Some(proof.clone())),
            Some(Caller::Anyone) => Self { anyone_by_tls: by_tls, ..admitted(None) },
            None => Self { stranger: true, ..admitted(None) },
        }
    }

    /// What was proved; `None`: nothing had to be.
    pub(crate) fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Whether they may read without saying who they are, where others have to.
    pub(crate) fn is_stranger(&self) -> bool {
        self.stranger
    }

    /// Whether nothing ends it: what needs a restart does.
    pub(crate) fn is_for_good(&self) -> bool {
        self.proof.is_none() && !self.anyone_by_tls
    }

    /// Whether the call would be let in now as well.
    pub(crate) fn still(&self, app: &App) -> bool {
        match &self.proof {
            Some(proof) => proof.holds(app),
            None => !(self.anyone_by_tls && app.access.clients.load().required()),
        }
    }

    /// Refuses what [`Self::still`] does not allow.
    pub(crate) fn check(&self, app: &App) -> Result<(), Problem> {
        if self.still(app) { Ok(()) } else { Err(Problem::unauthorized()) }
    }
}

impl FromRequestParts<Arc<App>> for Admitted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        // Who may read all the same is nobody.
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::unauthorized)
    }
}

fn listed(items: &[impl ToString], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
