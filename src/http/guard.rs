//! What each request passes before its handler: by which name it calls this server, what page it
//! comes from, and whose it is.
//!
//! Decides by what a client cannot choose freely: never by `User-Agent`, `X-Forwarded-For` or the
//! like. What is refused here is refused whoever asks, in the same order.

use std::borrow::Cow;

use arc_swap::ArcSwap;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method};

use crate::http::app::App;
use crate::http::caller::Caller;
use crate::http::hosts::Hosts;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::route::{Need, Route};
use crate::model::{Authentication, Scope};

/// Who may call this server, and by which names.
#[derive(Debug, Default)]
pub struct Access {
    /// Who has to say who they are.
    pub authentication: Authentication,
    /// By which names; may change at any time.
    pub hosts: ArcSwap<Hosts>,
}

/// Lets `request` pass, and notes in it who makes it.
pub(crate) fn admit(app: &App, route: Route, request: &mut Request) -> Result<(), Problem> {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let need = route.need(reads);
    // Probes ask by whatever address they know, and learn nothing.
    if reads && need == Need::Nothing {
        return Ok(());
    }
    let authority = check_host(&app.access.hosts.load(), request)?;
    if !reads {
        check_page(request.headers(), &authority)?;
    }
    let caller = caller(app, request.headers())?;
    check_scope(caller.as_ref(), need, app.access.authentication)?;
    if let Some(caller @ Caller::Known(_)) = caller {
        request.extensions_mut().insert(caller);
    }
    Ok(())
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

/// Who makes the call; `None`: who had to say so, and did not. A token that is given must hold, also
/// where none is needed: who gives one would not learn otherwise that it does not.
fn caller(app: &App, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    let required = app.access.authentication.required;
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = given.next() else {
        return Ok((!required).then_some(Caller::Anyone));
    };
    let bearer = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    if bearer.is_none() && !required {
        // It is for somebody on the way here.
        return Ok(Some(Caller::Anyone));
    }
    let bearer = bearer.filter(|token| token.len() <= LONGEST && given.next().is_none());
    let registry = &app.registry;
    let token =
        bearer.and_then(|token| registry.tokens().find(token, registry.clock().wall()).cloned());
    token.map(|token| Some(Caller::Known(token))).ok_or_else(Problem::unauthorized)
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
        Some(Caller::Known(token)) if anonymous || token.scopes.cover(scope) => Ok(()),
        Some(Caller::Known(token)) => {
            let (name, scopes) = (&token.name, &token.scopes);
            let detail =
                format!("this call needs the scope {scope}, the token of {name} has {scopes}");
            Err(Problem::new(ProblemKind::Forbidden, detail))
        }
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Longer than any token; nothing longer is worth a hash.
const LONGEST: usize = 256;
