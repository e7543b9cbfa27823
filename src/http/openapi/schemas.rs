//! Shapes of replies that are put together when they are written, so that no one type has their fields.
//! A test holds real replies to them.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::http::json::{CheckJson, EjectedJson, InstanceJson, SuspectJson};
use crate::model::{
    Address, Admin, InstanceId, Label, LeaseTtl, Load, Locality, Metadata, Port, ServiceName, Tier,
    Weight,
};
use crate::registry::Source;

/// An instance as it is now.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
struct Instance {
    id: InstanceId,
    #[schema(min_items = 1, max_items = 8)]
    addresses: Vec<Address>,
    /// The first is the main one.
    #[schema(max_items = 32)]
    ports: Vec<Port>,
    weight: Weight,
    /// Lower first; SRV priority.
    tier: Tier,
    tags: Vec<Label>,
    metadata: Metadata,
    locality: Locality,
    dependencies: Vec<ServiceName>,
    /// The lease; null never expires.
    #[schema(required)]
    ttl: Option<LeaseTtl>,
    admin: Admin,
    status: ShownStatus,
    /// Whether it may be answered: lease alive, admin enabled, status not critical.
    usable: bool,
    /// Why it may not be answered; and `suspect`.
    reasons: Vec<String>,
    /// Its last load report.
    #[schema(required)]
    load: Option<Load>,
    /// What is left of its lease; null without one.
    #[schema(required)]
    expires_in_ms: Option<u64>,
    source: Source,
    /// What its checks say; only where it has any.
    #[schema(required = false)]
    checks: Vec<CheckJson<'static>>,
    /// Only while outcomes that clients report keep it out.
    #[schema(nullable = false)]
    ejected: Option<EjectedJson>,
    /// Only while its lease is over and it is kept.
    #[schema(nullable = false)]
    suspect: Option<SuspectJson>,
}

/// What health says of an instance; suspect: its lease ended with too many others.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum ShownStatus {
    Passing,
    Warning,
    Critical,
    Suspect,
}

impl PartialSchema for InstanceJson<'_> {
    fn schema() -> RefOr<Schema> {
        Instance::schema()
    }
}

impl ToSchema for InstanceJson<'_> {
    fn name() -> Cow<'static, str> {
        Instance::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Instance::schemas(schemas);
    }
}
