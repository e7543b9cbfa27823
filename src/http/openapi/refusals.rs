//! What a call may be refused for: problems, by status, from the one table of their kinds.

use utoipa::ToSchema;
use utoipa::openapi::header::Header;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::http::problem::{Body, ProblemKind};

/// What any call may be refused with, and what that says; those of a body only where it takes one.
const COMMON: &[(u16, &str)] = &[
    (400, ""),
    (401, ""),
    (403, ""),
    (404, ""),
    (405, ""),
    (408, "The request did not arrive in time."),
    (413, ""),
    (415, ""),
    (429, ""),
    (431, "The head of the request is too large."),
    (503, ""),
];

/// The replies of a call that refuses for `own` reasons besides those of all.
pub(super) fn of(own: &[ProblemKind], body: bool) -> Vec<(String, RefOr<Response>)> {
    let mut statuses: Vec<u16> = COMMON.iter().map(|(status, _)| *status).collect();
    statuses.extend(own.iter().map(|kind| kind.status().as_u16()));
    statuses.retain(|status| body || *status != 415);
    statuses.sort_unstable();
    statuses.dedup();
    let reply = |status: u16| {
        let own: Vec<ProblemKind> =
            own.iter().copied().filter(|kind| kind.status().as_u16() == status).collect();
        let response = match own.is_empty() {
            true => Ref::from_response_name(name(status)).into(),
            false => response(status, &described(&own)).into(),
        };
        (status.to_string(), response)
    };
    statuses.into_iter().map(reply).collect()
}

/// The replies that calls share, by the name that they refer to.
pub(super) fn shared() -> impl Iterator<Item = (String, Response)> {
    COMMON.iter().map(|(status, description)| {
        let kinds: Vec<ProblemKind> = ProblemKind::ALL
            .iter()
            .copied()
            .filter(|kind| kind.status().as_u16() == *status)
            .collect();
        let text = match kinds.is_empty() {
            true => (*description).to_owned(),
            false => described(&kinds),
        };
        (name(*status), response(*status, &text))
    })
}

fn name(status: u16) -> String {
    format!("Refused{status}")
}

fn described(kinds: &[ProblemKind]) -> String {
    let lines: Vec<String> =
        kinds.iter().map(|kind| format!("`{}`: {}.", kind.name(), kind.title())).collect();
    lines.join(" ")
}

fn response(status: u16, description: &str) -> Response {
    let problem = Ref::from_schema_name(Body::name());
    let content = ContentBuilder::new().schema(Some(problem)).build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content);
    match status {
        401 => response.header("WWW-Authenticate", header("What to show", Type::String)),
        405 => response.header("Allow", header("The methods of the path", Type::String)),
        429 | 503 => {
            response.header("Retry-After", header("Seconds until it may work", Type::Integer))
        }
        _ => response,
    }
    .build()
}

fn header(description: &str, kind: Type) -> Header {
    let schema = Schema::from(ObjectBuilder::new().schema_type(kind));
    let mut header = Header::new(schema);
    header.description = Some(description.to_owned());
    header
}
