//! `POST /v1/batch`: deregistrations and registrations, all or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::http::app::App;
use crate::http::body::{Json, Payload};
use crate::http::call::Call;
use crate::http::json::reply;
use crate::http::problem::Problem;
use crate::model::{
    Address, Admin, Checks, InstanceId, InstanceSpec, Label, LeaseTtl, Locality, Metadata, Port,
    PortNumber, Revision, ServiceName, Status, Tier, Weight,
};

/// `POST /v1/batch`
pub(crate) async fn run(
    State(app): State<Arc<App>>,
    call: Call,
    Json(Batch { deregister, register }): Json<Batch>,
) -> Result<Response, Problem> {
    for (i, item) in deregister.iter().enumerate() {
        call.caller.check_service(&item.service, format_args!("deregister[{i}]."))?;
    }
    for (i, item) in register.iter().enumerate() {
        let within = format_args!("register[{i}].");
        call.caller.check_service(&item.service, within)?;
        call.caller.check_addresses(&item.addresses, within)?;
    }
    let deregister = deregister.into_iter().map(|item| (item.service, item.id)).collect();
    let register = register.into_iter().map(Registration::into_parts).collect();
    let revision = call.registry(&app).batch(deregister, register).await?;
    Ok(reply(StatusCode::OK, &Done { revision }))
}

/// What to do, in this order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    #[serde(default)]
    deregister: Vec<Deregistration>,
    #[serde(default)]
    register: Vec<Registration>,
}

impl Payload for Batch {
    const BULK: bool = true;

    fn items(&self) -> usize {
        self.deregister.len() + self.register.len()
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deregistration {
    service: ServiceName,
    id: InstanceId,
}

/// The fields of [`InstanceSpec`] and the service: flattening one into the other would let unknown
/// fields pass.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    service: ServiceName,
    id: InstanceId,
    #[schema(min_items = 1, max_items = 8)]
    addresses: Vec<Address>,
    #[schema(max_items = 32)]
    ports: Option<Vec<Port>>,
    port: Option<PortNumber>,
    #[serde(default)]
    weight: Weight,
    #[serde(default)]
    tier: Tier,
    #[serde(default)]
    #[schema(value_type = Vec<Label>, max_items = 64)]
    tags: BTreeSet<Label>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    locality: Locality,
    #[serde(default)]
    #[schema(max_items = 64)]
    dependencies: Vec<ServiceName>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<LeaseTtl>)]
    ttl: Option<Option<LeaseTtl>>,
    admin: Option<Admin>,
    status: Option<Status>,
    #[serde(default)]
    checks: Checks,
}

impl Registration {
    fn into_parts(self) -> (ServiceName, InstanceId, InstanceSpec) {
        let spec = InstanceSpec {
            id: None,
            addresses: self.addresses,
            ports: self.ports,
            port: self.port,
            weight: self.weight,
            tier: self.tier,
            tags: self.tags,
            metadata: self.metadata,
            locality: self.locality,
            dependencies: self.dependencies,
            ttl: self.ttl,
            admin: self.admin,
            status: self.status,
            checks: self.checks,
        };
        (self.service, self.id, spec)
    }
}

/// Tells an explicit null (`Some(None)`: no lease) from an absent field (`None`: the default).
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<LeaseTtl>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Serialize, ToSchema)]
#[schema(as = BatchDone)]
pub(crate) struct Done {
    revision: Revision,
}
