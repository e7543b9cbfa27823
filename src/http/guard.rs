//! What each request passes before its handler: how large its head is, how often its client calls, by
//! which name it calls this server, what page it comes from, and whose it is.
//!
//! Decides by what a client cannot choose freely: never by `User-Agent`, `X-Forwarded-For` or the
//! like. What is refused here is refused whoever asks, in the same order.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::http::app::App;
use crate::http::caller::{Caller, Proof};
use crate::http::clients::Clients;
use crate::http::hosts::Hosts;
use crate::http::peer::Peer;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::route::{Need, Route};
use crate::model::{Authentication, Limit, Limits, Scope};

/// Who may call this server, and by which names.
#[derive(Debug, Default)]
pub struct Access {
    /// Who has to say who they are.
    pub authentication: Authentication,
    /// By which names; may change at any time.
    pub hosts: ArcSwap<Hosts>,
    /// Over TLS, by which certificates; may change at any time.
    pub clients: ArcSwap<Clients>,
}

/// Lets `request` pass, and notes in it who makes it.
pub(crate) fn admit(app: &App, route: Route, request: &mut Request) -> Result<(), Problem> {
    let limits = app.limits.load();
    check_head(&limits, request)?;
    check_coding(request.headers())?;
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let need = route.need(reads);
    // Probes ask by whatever address they know, and learn nothing.
    if reads && matches!(route, Route::Health | Route::Ready) {
        return Ok(());
    }
    let now = app.registry.clock().elapsed();
    if let Some(ConnectInfo(source)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        app.pace.check_address(&limits, source.ip(), now)?;
    }
    if reads && need == Need::Nothing {
        return Ok(());
    }
    let authority = check_host(&app.access.hosts.load(), request)?;
    if !reads {
        check_page(request.headers(), &authority)?;
    }
    let caller = caller(app, request)?;
    check_scope(caller.as_ref(), need, app.access.authentication)?;
    if let Some(caller) = caller {
        if let Caller::Known(proof) = &caller {
            app.pace.check_identity(&limits, &proof.identity().name, now)?;
        }
        request.extensions_mut().insert(caller);
    }
    Ok(())
}

/// Refuses a head that is larger than it may be.
fn check_head(limits: &Limits, request: &Request) -> Result<(), Problem> {
    let (path, headers) = (request.uri().path_and_query(), request.headers());
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + MARKS);
    let size = path.map_or(0, |path| path.as_str().len()) + fields.sum::<usize>();
    let max = limits.headers;
    if size <= max {
        return Ok(());
    }
    let detail = format!("the head has {size} bytes, the limit headers = {max} is reached");
    let problem = Problem::over(Limit::Headers, ProblemKind::TooLarge, detail);
    Err(problem.with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))
}

/// Refuses a body whose end others may see elsewhere: hyper takes all that ends in "chunked" for that
/// alone.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut given = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = given.next() else { return Ok(()) };
    if given.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let reason = "\"chunked\" is all that is supported, once";
    Err(Problem::invalid(TRANSFER_ENCODING.as_str(), reason).closing())
}

/// Refuses a request that calls this server by a name that is not its own. The name.
fn check_host<'r>(hosts: &Hosts, request: &'r Request) -> Result<Cow<'r, str>, Problem> {
    let mut given = request.headers().get_all(HOST).iter();
    let header = given.next().map(|value| String::from_utf8_lossy(value.as_bytes()));
    if given.next().is_some() {
        // RFC 9112 section 3.2.
        return Err(Problem::invalid("host", "the header is there twice"));
    }
    // That of HTTP/2, and of a target in absolute form, comes first (RFC 9112 section 3.2.2).
    let target = request.uri().authority().map(|authority| Cow::Borrowed(authority.as_str()));
    let both = target.iter().chain(&header);
    let foreign = both.into_iter().find(|name| !hosts.admit(name)).cloned();
    let refused = match (foreign, target.or(header)) {
        (None, Some(own)) => return Ok(own),
        (foreign, _) => foreign.unwrap_or_default(),
    };
    let reason = format!(
        "{refused:?} is not a name of this server: call it by the address that it listens on, or \
         list the name in http.hosts"
    );
    Err(Problem::of(ProblemKind::Forbidden, "host", &reason))
}

/// Refuses a write that a browser sends for a page of somebody else's.
fn check_page(headers: &HeaderMap, authority: &str) -> Result<(), Problem> {
    let own = |origin: &str| {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        rest.is_some_and(|host| host.eq_ignore_ascii_case(authority))
    };
    for (name, is_own) in [
        (ORIGIN, &own as &dyn Fn(&str) -> bool),
        (SEC_FETCH_SITE, &|site: &str| ["same-origin", "none"].contains(&site)),
    ] {
        for value in headers.get_all(&name) {
            if !value.to_str().is_ok_and(is_own) {
                let reason = "a page of somebody else's sends this, which may not write here";
                return Err(Problem::of(ProblemKind::Forbidden, name.as_str(), reason));
            }
        }
    }
    Ok(())
}

/// Who makes the call; `None`: who had to say so, and did not. A token that is given is what counts,
/// whatever else there is, and must hold, also where none is needed: who gives one would not learn
/// otherwise that it does not.
///
/// | token | certificate | nobody has to say who they are | they have to |
/// |---|---|---|---|
/// | holds | any | of the token | of the token |
/// | does not | any | refused | refused |
/// | none | stands for somebody | of the certificate | of the certificate |
/// | none | none, of nobody | anyone | none |
fn caller(app: &App, request: &Request) -> Result<Option<Caller>, Problem> {
    let clients = app.access.clients.load();
    let peer = request.extensions().get::<Peer>();
    let by_tls = peer.is_some_and(|peer| peer.encrypted);
    let required = app.access.authentication.required || (by_tls && clients.required());
    let now = app.registry.clock().wall();
    let without_token = || {
        let proved = peer.and_then(|peer| peer.certificate.as_ref());
        let known = proved.and_then(|proved| {
            let identity = clients.identity(proved, now)?;
            Some(Caller::Known(Proof::Certificate(Arc::clone(proved), Arc::clone(identity))))
        });
        known.or_else(|| (!required).then_some(Caller::Anyone))
    };
    let mut given = request.headers().get_all(AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Ok(without_token()) };
    let bearer = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    if bearer.is_none() && !required {
        // It is for somebody on the way here.
        return Ok(without_token());
    }
    let bearer = bearer.filter(|token| token.len() <= LONGEST && given.next().is_none());
    let token = bearer.and_then(|token| app.registry.tokens().find(token, now).cloned());
    token.map(|token| Some(Caller::Known(Proof::Token(token)))).ok_or_else(Problem::unauthorized)
}

fn check_scope(caller: Option<&Caller>, need: Need, policy: Authentication) -> Result<(), Problem> {
    let scope = match need {
        Need::Nothing | Need::Public => return Ok(()),
        Need::Read => Scope::Read,
        Need::Register => Scope::Register,
        Need::Admin | Need::Proof => Scope::Admin,
    };
    let anonymous = policy.anonymous_read && need == Need::Read;
    match caller {
        Some(Caller::Anyone) if need == Need::Proof => Err(Problem::unauthorized()),
        Some(Caller::Anyone) => Ok(()),
        None if anonymous => Ok(()),
        None => Err(Problem::unauthorized()),
        Some(Caller::Known(proof)) if anonymous || proof.identity().scopes.cover(scope) => Ok(()),
        Some(Caller::Known(proof)) => {
            let scopes = &proof.identity().scopes;
            let detail = format!("this call needs the scope {scope}, {proof} has {scopes}");
            Err(Problem::new(ProblemKind::Forbidden, detail))
        }
    }
}

/// A colon, a space and the end of a line.
const MARKS: usize = 4;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Longer than any token; nothing longer is worth a hash.
const LONGEST: usize = 256;
