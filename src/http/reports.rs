//! `/v1/services/{s}/reports`: what clients see of instances, many in one call.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::app::App;
use crate::http::body::{Json, Payload};
use crate::http::call::Call;
use crate::http::extract::{Plain, ServicePath};
use crate::http::json::{millis, reply};
use crate::http::problem::Problem;
use crate::model::{InstanceId, Outcome, ServiceName};
use crate::registry::OUTCOME_INTERVAL;

impl Payload for Vec<Outcome> {
    const BULK: bool = true;
    const LIST: bool = true;

    fn items(&self) -> usize {
        self.len()
    }
}

/// `POST /v1/services/{s}/reports`
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    ServicePath(service): ServicePath,
    call: Call,
    Json(outcomes): Json<Vec<Outcome>>,
) -> Result<Response, Problem> {
    call.caller.check_service(&service, "")?;
    let reported = call.registry(&app).report(service, outcomes).await?;
    let results = reported.into_iter().map(|(id, known)| {
        let result = if known { "ok" } else { "unknown-instance" };
        ItemResult { id, result }
    });
    Ok(reply(StatusCode::OK, &Results { results: results.collect() }))
}

/// `GET /v1/services/{s}/reports`
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    ServicePath(service): ServicePath,
    _: Plain,
) -> Result<Response, Problem> {
    let outcomes = app.registry.outcomes(service.clone()).await?;
    let now = app.registry.clock().now();
    let instances = outcomes.into_iter().map(|outcomes| Seen {
        id: outcomes.id,
        successes: outcomes.successes,
        failures: outcomes.failures,
        latency_ms: outcomes.latency_ms,
        failures_in_a_row: outcomes.failures_in_a_row,
        ejections: outcomes.ejections,
        ejected_for_ms: outcomes.ejected_until.map(|until| millis(until.since(now))),
    });
    let instances = instances.collect();
    Ok(reply(
        StatusCode::OK,
        &Reports { service, interval_ms: millis(OUTCOME_INTERVAL), instances },
    ))
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReportResults)]
pub(crate) struct Results {
    results: Vec<ItemResult>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ReportResult)]
pub(crate) struct ItemResult {
    id: InstanceId,
    result: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Reports {
    service: ServiceName,
    interval_ms: u64,
    instances: Vec<Seen>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Seen {
    id: InstanceId,
    successes: u64,
    failures: u64,
    #[schema(required)]
    latency_ms: Option<f64>,
    failures_in_a_row: u64,
    ejections: u32,
    #[schema(required)]
    ejected_for_ms: Option<u64>,
}
