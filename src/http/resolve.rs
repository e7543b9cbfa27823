//! `GET /v1/resolve`: what DNS would say, and why.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::http::app::{App, ResolveRequest};
use crate::http::extract::{Given, Parameters, Query};
use crate::http::json::reply;
use crate::http::problem::Problem;

/// `GET /v1/resolve`
pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    Query(request): Query<ResolveRequest>,
) -> Result<Response, Problem> {
    let resolution = (app.hooks.resolve)(request)?;
    Ok(reply(StatusCode::OK, &resolution))
}

impl Parameters for ResolveRequest {
    const NAMES: &'static [&'static str] = &["name", "type", "client"];

    fn read(given: &Given<'_>) -> Result<Self, Problem> {
        let Some(name) = given.text("name").filter(|name| !name.is_empty()) else {
            return Err(Problem::invalid("name", "the name to resolve is needed"));
        };
        let qtype = given.text("type").unwrap_or("A").to_owned();
        let client: Option<IpAddr> = given.value("client")?;
        Ok(Self { name: name.to_owned(), qtype, client })
    }
}
