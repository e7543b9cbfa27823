//! One instance: register, read, patch, deregister, renew, drain.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::app::App;
use crate::http::body::{Json, Payload};
use crate::http::call::Call;
use crate::http::extract::{InstancePath, Plain};
use crate::http::json::{InstanceJson, expires_in_ms, millis, reply};
use crate::http::problem::{Problem, ProblemKind};
use crate::model::{Admin, InstancePatch, InstanceSpec, Load, Revision, Status, rfc3339};
use crate::registry::{Refusal, Renewal, Renewed};

impl Payload for InstanceSpec {}

impl Payload for InstancePatch {
    const MERGE_PATCH: bool = true;
}

/// `PUT /v1/services/{s}/instances/{id}`
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    InstancePath { service, id }: InstancePath,
    call: Call,
    Json(spec): Json<InstanceSpec>,
) -> Result<Response, Problem> {
    call.caller.check_service(&service, "")?;
    call.caller.check_addresses(&spec.addresses, "")?;
    let written = call.registry(&app).register(service.clone(), id.clone(), spec).await?;
    let now = app.registry.clock().now();
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = reply(
        status,
        &Registered {
            instance: InstanceJson::new(&written.instance, now),
            revision: written.revision,
            generation: written.instance.generation,
            expires_in_ms: expires_in_ms(&written.instance, now),
            warning: (app.hooks.hidden)(&service, &id),
        },
    );
    if written.created {
        let location = format!("/v1/services/{service}/instances/{id}");
        let location = HeaderValue::from_maybe_shared(axum::body::Bytes::from(location));
        // Names are letters, digits, '-' and '_'.
        response.headers_mut().insert(LOCATION, location.expect("names are legal in a header"));
    }
    Ok(response)
}

/// `GET /v1/services/{s}/instances/{id}`
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    InstancePath { service, id }: InstancePath,
    _: Plain,
) -> Result<Response, Problem> {
    let now = app.registry.clock().now();
    let found = app.registry.views().read(service.as_str(), |view| {
        view.and_then(|view| view.instance(id.as_str())).map(|(_, instance)| instance.clone())
    });
    let instance = found.ok_or(Refusal::UnknownInstance { service, id })?;
    Ok(reply(StatusCode::OK, &InstanceJson::new(&instance, now)))
}

/// `PATCH /v1/services/{s}/instances/{id}`
pub(crate) async fn patch(
    State(app): State<Arc<App>>,
    InstancePath { service, id }: InstancePath,
    call: Call,
    Json(patch): Json<InstancePatch>,
) -> Result<Response, Problem> {
    call.caller.check_service(&service, "")?;
    let written = call.registry(&app).patch(service, id, patch).await?;
    let instance = InstanceJson::new(&written.instance, app.registry.clock().now());
    Ok(reply(StatusCode::OK, &Patched { instance, revision: written.revision }))
}

/// `DELETE /v1/services/{s}/instances/{id}`
pub(crate) async fn deregister(
    State(app): State<Arc<App>>,
    InstancePath { service, id }: InstancePath,
    call: Call,
    _: Plain,
) -> Result<Response, Problem> {
    call.caller.check_service(&service, "")?;
    call.registry(&app).deregister(service, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `PUT /v1/services/{s}/instances/{id}/heartbeat`
pub(crate) async fn heartbeat(
    State(app): State<Arc<App>>,
    InstancePath { service, id }: InstancePath,
    call: Call,
    Json(Heartbeat { generation, status, load }): Json<Heartbeat>,
) -> Result<Response, Problem> {
    call.caller.check_service(&service, "")?;
    let read_at = app.registry.clock().now();
    let (renewed_service, renewed_id) = (service.clone(), id.clone());
    let renewal =
        Renewal { service: renewed_service, id: renewed_id, generation, status, load, read_at };
    match call.registry(&app).renew(vec![renewal]).await?.pop() {
        Some(Renewed::Until(remaining)) => {
            Ok(reply(StatusCode::OK, &Expiry { expires_in_ms: remaining.map(millis) }))
        }
        Some(Renewed::Owned) => {
            Err(Refusal::Owned { service, id, given: generation.unwrap_or_default() }.into())
        }
        Some(Renewed::OwnedBy(owner)) => Err(Refusal::OwnedBy { service, id, owner }.into()),
        Some(Renewed::Unknown) | None => {
            let refusal = Refusal::UnknownInstance { service, id };
            let detail = format!("{refusal}: register again");
            Err(Problem::new(ProblemKind::UnknownInstance, detail))
        }
    }
}

/// `POST /v1/services/{s}/instances/{id}/drain`
pub(crate) async fn drain(
    State(app): State<Arc<App>>,
    path: InstancePath,
    call: Call,
    _: Plain,
) -> Result<Response, Problem> {
    set_admin(&app, path, &call, Admin::Draining).await
}

/// `DELETE /v1/services/{s}/instances/{id}/drain`
pub(crate) async fn undrain(
    State(app): State<Arc<App>>,
    path: InstancePath,
    call: Call,
    _: Plain,
) -> Result<Response, Problem> {
    set_admin(&app, path, &call, Admin::Enabled).await
}

async fn set_admin(
    app: &App,
    path: InstancePath,
    call: &Call,
    admin: Admin,
) -> Result<Response, Problem> {
    let InstancePath { service, id } = path;
    call.caller.check_service(&service, "")?;
    let patch = InstancePatch { admin: Some(Some(admin)), ..InstancePatch::default() };
    let written = call.registry(app).patch(service, id, patch).await?;
    let clock = app.registry.clock();
    let drained = Drained {
        instance: InstanceJson::new(&written.instance, clock.now()),
        revision: written.revision,
        safe_at: written.safe_in.map(|safe_in| rfc3339(clock.wall() + safe_in)),
        safe_in_ms: written.safe_in.map(millis),
    };
    Ok(reply(StatusCode::OK, &drained))
}

/// The optional body of a heartbeat.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Heartbeat {
    /// The one that the registration was told: a stale one renews nothing.
    generation: Option<u64>,
    status: Option<Status>,
    load: Option<Load>,
}

impl Payload for Heartbeat {
    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Registered)]
pub(crate) struct Registered<'a> {
    instance: InstanceJson<'a>,
    revision: Revision,
    /// The number of this registration, for heartbeats.
    generation: u64,
    /// What is left of its lease; null without one.
    #[schema(required)]
    expires_in_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// That a static record hides it from DNS.
    #[schema(nullable = false)]
    warning: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Patched<'a> {
    instance: InstanceJson<'a>,
    revision: Revision,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Expiry {
    /// What is left of its lease; null without one.
    #[schema(required)]
    expires_in_ms: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Drained<'a> {
    instance: InstanceJson<'a>,
    revision: Revision,
    /// When no cache that keeps TTLs can still hold it; null while it is answered.
    #[schema(required, format = DateTime)]
    safe_at: Option<String>,
    #[schema(required)]
    safe_in_ms: Option<u64>,
}
