//! From paths and queries to values: names are checked here once, unknown parameters refused.
//!
//! Every handler ends in one of [`Plain`], [`Query`] or [`Json`](crate::http::body::Json), which
//! together see to it that nothing is sent that a call does not take.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::Uri;
use axum::http::request::Parts;

use crate::http::app::App;
use crate::http::body;
use crate::http::problem::Problem;
use crate::model::{InstanceId, ServiceName, TokenId};

/// The `{s}` of the path.
pub(crate) struct ServicePath(pub(crate) ServiceName);

/// The `{s}` and `{id}` of the path.
pub(crate) struct InstancePath {
    pub(crate) service: ServiceName,
    pub(crate) id: InstanceId,
}

/// The `{id}` of a token's path.
pub(crate) struct TokenPath(pub(crate) TokenId);

/// A call without query and body.
pub(crate) struct Plain;

/// A call with a query and without a body.
pub(crate) struct Query<T>(pub(crate) T);

/// A query made of known parameters.
pub(crate) trait Parameters: Sized + Send {
    /// The parameters there are.
    const NAMES: &'static [&'static str];

    /// Reads the parameters that were given.
    fn read(given: &Given<'_>) -> Result<Self, Problem>;
}

/// The parameters of one query: known, legal text, each at most once.
pub(crate) struct Given<'q>(Vec<(&'static str, Cow<'q, str>)>);

impl FromRequestParts<Arc<App>> for ServicePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        segment(&parts.uri, SERVICE_SEGMENT, "service").map(Self)
    }
}

impl FromRequestParts<Arc<App>> for TokenPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        segment(&parts.uri, TOKEN_SEGMENT, "id").map(Self)
    }
}

impl FromRequestParts<Arc<App>> for InstancePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let service = segment(&parts.uri, SERVICE_SEGMENT, "service")?;
        let id = segment(&parts.uri, INSTANCE_SEGMENT, "id")?;
        Ok(Self { service, id })
    }
}

impl FromRequest<Arc<App>> for Plain {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        Given::parse(request.uri().query(), &[])?;
        body::refuse(request, app).await?;
        Ok(Self)
    }
}

impl<T: Parameters> FromRequest<Arc<App>> for Query<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let query = T::read(&Given::parse(request.uri().query(), T::NAMES)?)?;
        body::refuse(request, app).await?;
        Ok(Self(query))
    }
}

impl<'q> Given<'q> {
    /// Splits `query` into parameters, which must be among `names`.
    pub(crate) fn parse(query: Option<&'q str>, names: &[&'static str]) -> Result<Self, Problem> {
        let mut given: Vec<(&'static str, Cow<'q, str>)> = Vec::new();
        let query = query.filter(|query| !query.is_empty());
        for pair in query.iter().flat_map(|query| query.split('&')) {
            let (raw, value) = pair.split_once('=').unwrap_or((pair, ""));
            let known = decoded(raw, true).and_then(|raw| names.iter().find(|n| **n == raw));
            let Some(name) = known else {
                return Err(Problem::invalid(raw, "there is no such query parameter"));
            };
            if given.iter().any(|(before, _)| before == name) {
                return Err(Problem::invalid(*name, "the query parameter is there twice"));
            }
            let Some(value) = decoded(value, true) else {
                return Err(Problem::invalid(*name, "the percent-encoding is broken"));
            };
            given.push((name, value));
        }
        Ok(Self(given))
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| &**value)
    }

    /// The value of a parameter.
    pub(crate) fn value<T: FromStr<Err: ToString>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let value = text.parse().map_err(|e: T::Err| Problem::invalid(name, &e.to_string()))?;
        Ok(Some(value))
    }
}

/// The name in a segment of a path that the router has matched.
fn segment<T: FromStr<Err: ToString>>(uri: &Uri, index: usize, field: &str) -> Result<T, Problem> {
    let raw = uri.path().split('/').nth(index).unwrap_or_default();
    let Some(text) = decoded(raw, false) else {
        return Err(Problem::invalid(field, "the percent-encoding is broken"));
    };
    text.parse().map_err(|e: T::Err| Problem::invalid(field, &e.to_string()))
}

/// Undoes percent-encoding (RFC 3986 section 2.1), and in queries '+' for a space. `None` when it
/// is broken or not UTF-8.
fn decoded(text: &str, query: bool) -> Option<Cow<'_, str>> {
    let encoded = |byte: u8| byte == b'%' || (query && byte == b'+');
    if !text.bytes().any(encoded) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if query => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// `/v1/services/{s}`
const SERVICE_SEGMENT: usize = 3;
/// `/v1/tokens/{id}`
const TOKEN_SEGMENT: usize = 3;
/// `/v1/services/{s}/instances/{id}`
const INSTANCE_SEGMENT: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_or_found_broken() {
        for (text, query, plain) in [
            ("web", false, Some("web")),
            ("w%65b", false, Some("web")),
            ("a%2Fb", false, Some("a/b")),
            ("a+b", false, Some("a+b")),
            ("a+b%2B", true, Some("a b+")),
            ("%", false, None),
            ("%4", false, None),
            ("%+1", false, None),
            ("%zz", false, None),
            ("%ff", false, None),
        ] {
            assert_eq!(decoded(text, query).as_deref(), plain, "{text}");
        }
    }

    #[test]
    fn a_query_has_known_parameters_once_each() {
        let names = ["index", "wait"];
        let query = |text| Given::parse(Some(text), &names).map(|g| g.0).map_err(|p| p.kind);

        assert_eq!(query("").unwrap(), []);
        assert_eq!(
            query("wait=1s&index=2").unwrap(),
            [("wait", Cow::Borrowed("1s")), ("index", Cow::Borrowed("2")),]
        );
        for text in ["x=1", "index=1&index=1", "index=%", "&", "=1", "Index=1"] {
            assert!(query(text).is_err(), "{text}");
        }
    }
}
