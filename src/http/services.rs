//! Services: list, read, override settings, forget.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::app::App;
use crate::http::body::{Json, Payload};
use crate::http::call::Call;
use crate::http::caller::Admitted;
use crate::http::extract::{Plain, Query, ServicePath};
use crate::http::json::{ServiceJson, ServiceSummary, reply};
use crate::http::problem::Problem;
use crate::http::wait::Wait;
use crate::model::{Revision, ServiceName, Settings, SettingsPatch};
use crate::registry::{Refusal, Views};

impl Payload for SettingsPatch {}

/// `GET /v1/services`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    admitted: Admitted,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    wait.moved(&app, None, admitted).await?;
    let registry = app.registry.clone();
    // Each instance is looked at to count those that are usable.
    let instances = usize::try_from(registry.stats().instances.load(Relaxed)).unwrap_or(usize::MAX);
    let large = registry.views().len().max(instances) > LARGE;
    app.aside(large, move || list_of(registry.views())).await
}

/// `GET /v1/services/{s}`
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    ServicePath(service): ServicePath,
    admitted: Admitted,
    Query(wait): Query<Wait>,
) -> Result<Response, Problem> {
    wait.moved(&app, Some(&service), admitted).await?;
    let view = app.registry.views().service(service.as_str());
    let view = view.ok_or(Refusal::UnknownService(service))?;
    let (large, now) = (view.instances.len() > LARGE, app.registry.clock().now());
    app.aside(large, move || reply(StatusCode::OK, &ServiceJson::new(&view, now))).await
}

/// `PUT /v1/services/{s}`
pub(crate) async fn set_override(
    State(app): State<Arc<App>>,
    ServicePath(service): ServicePath,
    call: Call,
    Json(patch): Json<SettingsPatch>,
) -> Result<Response, Problem> {
    let (settings, revision) = call.registry(&app).set_override(service.clone(), patch).await?;
    Ok(reply(StatusCode::OK, &Overridden { service, settings, revision }))
}

/// `DELETE /v1/services/{s}`
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    ServicePath(service): ServicePath,
    call: Call,
    _: Plain,
) -> Result<Response, Problem> {
    call.registry(&app).forget(service).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn list_of(views: &Views) -> Response {
    // Read before the views: a reader that waits for more than this misses nothing.
    let revision = views.revision();
    let views = views.all();
    let mut services: Vec<_> = views.iter().map(|view| ServiceSummary::new(view)).collect();
    services.sort_unstable_by_key(|summary| summary.service);
    reply(StatusCode::OK, &List { revision, services })
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServiceList)]
pub(crate) struct List<'a> {
    revision: Revision,
    services: Vec<ServiceSummary<'a>>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Overridden {
    service: ServiceName,
    settings: Settings,
    revision: Revision,
}

/// Services or instances whose printing takes about a millisecond.
const LARGE: usize = 1_000;
