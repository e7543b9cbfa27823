//! `POST /v1/heartbeats`: many renewals in one call.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::app::App;
use crate::http::body::{Json, Payload};
use crate::http::call::Call;
use crate::http::json::{millis, reply};
use crate::http::problem::Problem;
use crate::model::{InstanceId, Load, ServiceName, Status};
use crate::registry::{Renewal, Renewed};

/// `POST /v1/heartbeats`
pub(crate) async fn renew(
    State(app): State<Arc<App>>,
    call: Call,
    Json(items): Json<Vec<Item>>,
) -> Result<Response, Problem> {
    let read_at = app.registry.clock().now();
    let mut names = Vec::with_capacity(items.len());
    let mut renewals = Vec::with_capacity(items.len());
    for Item { service, id, generation, load, status } in items {
        // One that may not be renewed must not have the leases of the others end.
        let allowed = call.caller.may_write(&service);
        names.push((service.clone(), id.clone(), allowed));
        if allowed {
            renewals.push(Renewal { service, id, generation, status, load, read_at });
        }
    }
    let mut renewed = call.registry(&app).renew(renewals).await?.into_iter();
    let results = names.into_iter().map(|(service, id, allowed)| {
        let renewed = allowed.then(|| renewed.next()).flatten();
        let (result, remaining) = match renewed {
            Some(Renewed::Until(remaining)) => ("ok", remaining),
            Some(Renewed::Unknown) => ("unknown-instance", None),
            Some(Renewed::Owned | Renewed::OwnedBy(_)) => ("owned", None),
            None => ("forbidden", None),
        };
        ItemResult { service, id, result, expires_in_ms: remaining.map(millis) }
    });
    Ok(reply(StatusCode::OK, &Results { results: results.collect() }))
}

/// One heartbeat.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BulkHeartbeat)]
pub(crate) struct Item {
    service: ServiceName,
    id: InstanceId,
    generation: Option<u64>,
    load: Option<Load>,
    status: Option<Status>,
}

impl Payload for Vec<Item> {
    const BULK: bool = true;
    const LIST: bool = true;

    fn items(&self) -> usize {
        self.len()
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = BulkHeartbeatResults)]
pub(crate) struct Results {
    results: Vec<ItemResult>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BulkHeartbeatResult)]
pub(crate) struct ItemResult {
    service: ServiceName,
    id: InstanceId,
    result: &'static str,
    #[schema(required)]
    expires_in_ms: Option<u64>,
}
