//! Errors as clients see them (RFC 9457), and the one mapping from refusals to status and type.

use std::time::Duration;

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{CommitError, DurationText, Limit, SpecError};
use crate::registry::Refusal;

/// A request that did not succeed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: ProblemKind,
    detail: String,
    /// The field, parameter or part of the path at fault.
    field: Option<String>,
    /// Where it is another than the kind's.
    status: Option<StatusCode>,
    /// What is counted, where it is a limit.
    limit: Option<Limit>,
    /// Whether nothing can follow it on its connection.
    closes: bool,
}

impl Problem {
    /// A problem that is not the fault of one field.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), field: None, status: None, limit: None, closes: false }
    }

    /// A problem of `field`; an empty one names nothing.
    pub(crate) fn of(kind: ProblemKind, field: impl Into<String>, reason: &str) -> Self {
        let field = field.into();
        if field.is_empty() {
            return Self::new(kind, reason);
        }
        Self::at(kind, Some(field.clone()), format!("{field}: {reason}"))
    }

    /// What was sent in `field` is not as described.
    pub(crate) fn invalid(field: impl Into<String>, reason: &str) -> Self {
        Self::of(ProblemKind::Invalid, field, reason)
    }

    /// The answer to every token that does not hold, whatever the reason, and to none.
    pub(crate) fn unauthorized() -> Self {
        let detail = "this call needs a token that holds: \"Authorization: Bearer TOKEN\"";
        Self::new(ProblemKind::Unauthorized, detail)
    }

    /// A problem whose detail already says where; `field` is for programs.
    pub(crate) fn at(kind: ProblemKind, field: Option<String>, detail: String) -> Self {
        Self { field, ..Self::new(kind, detail) }
    }

    /// The problem of more than `limit` allows.
    pub(crate) fn over(limit: Limit, kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { limit: Some(limit), ..Self::new(kind, detail) }
    }

    /// The problem of a request of which not all arrived within `time`.
    pub(crate) fn late(time: Duration) -> Self {
        let name = Limit::RequestTime;
        let time = DurationText(time);
        let detail =
            format!("the request did not arrive whole, the limit {name} = {time} is reached");
        Self::over(name, ProblemKind::Limit, detail)
            .with_status(StatusCode::REQUEST_TIMEOUT)
            .closing()
    }

    /// Whether it is [`Self::late`]: who sends so slowly is not waited for.
    pub(crate) fn is_late(&self) -> bool {
        self.limit == Some(Limit::RequestTime)
    }

    /// The same with another status than that of its kind.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The same, behind which the connection ends.
    pub(crate) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// How many seconds later it is worth another try; `None`: it is not, as it stands.
    fn retry_after(&self, status: StatusCode) -> Option<&'static str> {
        match (status, self.limit) {
            // Within a second there is one more.
            (_, Some(Limit::RequestsPerAddress | Limit::RequestsPerIdentity)) => Some("1"),
            (StatusCode::TOO_MANY_REQUESTS, _) => Some("10"),
            (StatusCode::SERVICE_UNAVAILABLE, _) => Some("1"),
            _ => None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let kind = match refusal {
            Refusal::Invalid(SpecError { field, reason }) => return Self::invalid(field, &reason),
            Refusal::UnknownService(_) => ProblemKind::UnknownService,
            Refusal::UnknownInstance { .. } => ProblemKind::UnknownInstance,
            Refusal::StaticInstance { .. } => ProblemKind::StaticInstance,
            Refusal::StaticService(_) => ProblemKind::StaticService,
            Refusal::NotEmpty { .. } => ProblemKind::NotEmpty,
            Refusal::Owned { .. } | Refusal::OwnedBy { .. } => ProblemKind::Owned,
            Refusal::UnknownToken(_) => ProblemKind::NotFound,
            Refusal::Limit { name, .. } => return Self::over(name, ProblemKind::Limit, detail),
            Refusal::NoRoom { field, name, .. } => {
                let problem = Self::at(ProblemKind::Limit, Some(field), detail);
                return Self { limit: Some(name), ..problem };
            }
            Refusal::Behind => return Self::over(Limit::Writes, ProblemKind::Unavailable, detail),
            Refusal::TooMuch { field, name, .. } => {
                let problem = Self::at(ProblemKind::Limit, Some(field), detail);
                return Self { limit: Some(name), ..problem }.with_status(StatusCode::BAD_REQUEST);
            }
            Refusal::Store(CommitError::Full(_)) => ProblemKind::StorageFull,
            Refusal::Store(CommitError::Unavailable(_)) | Refusal::ShuttingDown => {
                ProblemKind::Unavailable
            }
        };
        Self::new(kind, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = self.kind;
        let status = self.status.unwrap_or_else(|| kind.status());
        let body = serde_json::to_vec(&Body {
            urn: kind.urn(),
            title: kind.title(),
            status: status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
        });
        let body = body.expect("a struct of strings and a number is always JSON");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after(status) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if kind == ProblemKind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // What is left of the body is not read, so nothing can follow it.
        if self.closes || kind == ProblemKind::TooLarge {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let extensions = response.extensions_mut();
        extensions.insert(kind);
        if let Some(limit) = self.limit {
            extensions.insert(limit);
        }
        response
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body<'a> {
    #[serde(rename = "type")]
    urn: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The field, parameter or part of the path at fault.
    #[schema(nullable = false)]
    field: Option<&'a str>,
}

/// Defines [`ProblemKind`] with its name, status and title in one table.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $status:ident $title:literal,)*) => {
        /// What kind of problem it is: the end of its type's URN.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The name in the contract.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The type in the contract.
            pub(crate) fn urn(self) -> &'static str {
                match self { $(Self::$kind => concat!("urn:signpost:", $name),)* }
            }

            /// The status of the reply.
            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }

            /// What it says to people, whatever the cause.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }
        }
    };
}

kinds! {
    /// A path, query or body that is not as described.
    Invalid "invalid" BAD_REQUEST "The request is not as described",
    /// A field that does not exist.
    UnknownField "unknown-field" BAD_REQUEST "The body has a field that does not exist",
    /// No such service.
    UnknownService "unknown-service" NOT_FOUND "There is no such service",
    /// No such instance.
    UnknownInstance "unknown-instance" NOT_FOUND "There is no such instance",
    /// No such path.
    NotFound "not-found" NOT_FOUND "There is nothing at this path",
    /// A path without this method.
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The path does not have this method",
    /// An instance that the file declares.
    StaticInstance "static-instance" CONFLICT "The instance is declared in the configuration file",
    /// A service that the file declares.
    StaticService "static-service" CONFLICT "The service is declared in the configuration file",
    /// A service with instances cannot be forgotten.
    NotEmpty "not-empty" CONFLICT "The service still has instances",
    /// The generation is over, or it is another's.
    Owned "owned" CONFLICT "The instance belongs to somebody else",
    /// A body, or with status 431 a head, that is too large.
    TooLarge "too-large" PAYLOAD_TOO_LARGE "The request is too large",
    /// A body that is not JSON.
    MediaType "media-type" UNSUPPORTED_MEDIA_TYPE "The body must be JSON",
    /// A configuration file that is not legal.
    BadConfig "bad-config" UNPROCESSABLE_ENTITY "The configuration file is not legal",
    /// A limit is reached.
    Limit "limit" TOO_MANY_REQUESTS "A limit is reached",
    /// No token, or one that does not hold.
    Unauthorized "unauthorized" UNAUTHORIZED "The call needs a token",
    /// Not for this client.
    Forbidden "forbidden" FORBIDDEN "This client may not do this",
    /// It may be tried again.
    Unavailable "unavailable" SERVICE_UNAVAILABLE "The server cannot do this now",
    /// The store is full.
    StorageFull "storage-full" INSUFFICIENT_STORAGE "The store is full",
}
