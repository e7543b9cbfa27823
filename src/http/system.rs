//! The server itself: alive, ready, its metrics, reload; and what no path or method matches.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::app::App;
use crate::http::call::Call;
use crate::http::extract::Plain;
use crate::http::json::reply;
use crate::http::problem::{Problem, ProblemKind};

/// `GET /healthz`
pub(crate) async fn health(_: Plain) -> Response {
    reply(StatusCode::OK, &Condition { status: "live" })
}

/// `GET /readyz`
pub(crate) async fn ready(State(app): State<Arc<App>>, _: Plain) -> Result<Response, Problem> {
    if !(app.hooks.ready)() {
        return Err(Problem::new(ProblemKind::Unavailable, "the server is still starting"));
    }
    Ok(reply(StatusCode::OK, &Condition { status: "ready" }))
}

/// `GET /metrics`
pub(crate) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap, _: Plain) -> Response {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    // The text is legal in both formats; each reader is told the one that it knows.
    let open = accepted.into_iter().any(|value| value.contains("application/openmetrics-text"));
    let format = if open {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    let mut response = (app.hooks.metrics)().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format));
    response
}

/// `POST /v1/reload`
pub(crate) async fn reload(
    State(app): State<Arc<App>>,
    call: Call,
    _: Plain,
) -> Result<Response, Problem> {
    Ok(reply(StatusCode::OK, &(app.hooks.reload)(call.author()).await?))
}

/// A path that does not exist.
pub(crate) async fn not_found(uri: Uri) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("{} does not exist", uri.path()))
}

/// A method that the path does not have; the router adds those that it has.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(ProblemKind::MethodNotAllowed, detail)
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Condition {
    status: &'static str,
}
