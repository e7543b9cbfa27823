//! The calls about one instance.

use serde_json::{Value, json};
use utoipa::openapi::Required::{False, True};
use utoipa::openapi::path::HttpMethod::{Delete, Get, Patch, Post, Put};

use crate::http::instances::{Drained, Expiry, Heartbeat, Patched, Registered};
use crate::http::json::InstanceJson;
use crate::http::openapi::call::{Call, JSON};
use crate::http::problem::ProblemKind::{
    Limit, Owned, StaticInstance, StorageFull, Unavailable, UnknownInstance,
};
use crate::http::route::Route;
use crate::model::{InstancePatch, InstanceSpec};

/// All of them, in an order in which their examples work.
pub(super) fn calls() -> Vec<Call> {
    let calls = [register(), read(), patch(), heartbeat(), drain(), undrain(), deregister()];
    calls.into_iter().map(|call| call.of("Instances")).collect()
}

/// The instance of all examples.
pub(super) fn example() -> Value {
    json!({
        "id": "api-1", "addresses": ["10.0.0.31"],
        "ports": [{ "name": "http", "port": 8080, "protocol": "tcp" }],
        "weight": 2, "tier": 0, "tags": ["canary"], "metadata": { "version": "1.4.2" },
        "locality": { "zone": "eu-1a" }, "dependencies": [], "ttl": "10s", "admin": "enabled",
        "status": "passing", "usable": true, "reasons": [], "load": null, "expires_in_ms": 10_000,
        "source": "api",
    })
}

fn register() -> Call {
    let registered = json!({
        "instance": example(), "revision": 2, "generation": 2, "expires_in_ms": 10_000,
    });
    Call::new(
        Route::Instance,
        Put,
        "registerInstance",
        "Register an instance, or replace it",
        "Replaces all fields, except that `admin` stays unless given and load stays; the lease \
         begins anew. One that changes nothing only renews. A `ttl` that is absent is 30s, and null \
         no lease. The `id` of the body may only repeat that of the path; give `port` or `ports`, \
         not both.",
    )
    .takes::<InstanceSpec>(
        &[JSON],
        True,
        &json!({
            "addresses": ["10.0.0.31"], "ports": [{ "name": "http", "port": 8080 }], "weight": 2,
            "tags": ["canary"], "metadata": { "version": "1.4.2" },
            "locality": { "zone": "eu-1a" }, "ttl": "10s",
        }),
    )
    .replies::<Registered<'_>>("201", "It is new.", registered.clone())
    .replies::<Registered<'_>>("200", "It was replaced, or renewed.", registered)
    .refuses(&[StaticInstance, Owned, Limit, Unavailable, StorageFull])
}

fn read() -> Call {
    Call::new(Route::Instance, Get, "readInstance", "Read an instance", "")
        .replies::<InstanceJson<'_>>("200", "The instance as it is now.", example())
        .refuses(&[UnknownInstance])
}

fn patch() -> Call {
    let mut patched = example();
    patched["weight"] = json!(5);
    Call::new(
        Route::Instance,
        Patch,
        "patchInstance",
        "Change some fields of an instance",
        "A merge patch (RFC 7396): null is back to the default. Of an instance that the \
         configuration file declares, only `admin` and `status`.",
    )
    .takes::<InstancePatch>(&[JSON, "application/merge-patch+json"], True, &json!({ "weight": 5 }))
    .replies::<Patched<'_>>("200", "It is changed.", json!({ "instance": patched, "revision": 3 }))
    .refuses(&[UnknownInstance, StaticInstance, Owned, Unavailable, StorageFull])
}

fn heartbeat() -> Call {
    Call::new(
        Route::Heartbeat,
        Put,
        "renewInstance",
        "Renew the lease of an instance",
        "With its status and load, if you like; a third of the ttl is a good interval. 404 means: \
         register again.",
    )
    .takes::<Heartbeat>(
        &[JSON],
        False,
        &json!({
            "status": "passing",
            "load": { "connections": 17, "capacity": 100, "cpu": 0.4, "qps": 120.0,
                      "latency_ms": 3.1 },
        }),
    )
    .replies::<Expiry>("200", "It is renewed.", json!({ "expires_in_ms": 10_000 }))
    .refuses(&[UnknownInstance, Owned, Unavailable, StorageFull])
}

fn drain() -> Call {
    let mut drained = example();
    drained["admin"] = json!("draining");
    drained["usable"] = json!(false);
    drained["reasons"] = json!(["draining"]);
    Call::new(
        Route::Drain,
        Post,
        "drainInstance",
        "Drain an instance",
        "It is no longer answered, and clients that know it may go on. The reply tells when no \
         cache that keeps TTLs can still hold it.",
    )
    .replies::<Drained<'_>>(
        "200",
        "It is draining.",
        json!({
            "instance": drained, "revision": 4, "safe_at": "2026-11-23T01:02:03.456Z",
            "safe_in_ms": 5_000,
        }),
    )
    .refuses(&[UnknownInstance, Owned, Unavailable, StorageFull])
}

fn undrain() -> Call {
    Call::new(Route::Drain, Delete, "undrainInstance", "Enable an instance again", "")
        .replies::<Drained<'_>>(
            "200",
            "It is enabled.",
            json!({
                "instance": example(), "revision": 5, "safe_at": null, "safe_in_ms": null,
            }),
        )
        .refuses(&[UnknownInstance, Owned, Unavailable, StorageFull])
}

fn deregister() -> Call {
    Call::new(Route::Instance, Delete, "deregisterInstance", "Deregister an instance", "")
        .replies_nothing("204", "It is not there, or not any more.")
        .refuses(&[StaticInstance, Owned, Unavailable, StorageFull])
}
