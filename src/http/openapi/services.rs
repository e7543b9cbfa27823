//! The calls about services, and those about many instances at once.

use serde_json::json;
use utoipa::PartialSchema;
use utoipa::openapi::Required::{False, True};
use utoipa::openapi::path::HttpMethod::{Delete, Get, Post, Put};

use crate::http::batch::{Batch, Done};
use crate::http::heartbeats;
use crate::http::json::ServiceJson;
use crate::http::openapi::call::{Call, JSON};
use crate::http::openapi::instances;
use crate::http::problem::ProblemKind::{
    Limit, NotEmpty, Owned, StaticInstance, StaticService, StorageFull, Unavailable, UnknownService,
};
use crate::http::reports::{self, Reports};
use crate::http::route::Route;
use crate::http::services::{List, Overridden};
use crate::model::{DurationText, Outcome, Revision, Settings, SettingsPatch};

/// All of them, in an order in which their examples work.
pub(super) fn calls() -> Vec<Call> {
    let services = [list(), read(), set_override(), forget()].map(|call| call.of("Services"));
    let reports = [report(), reported()].map(|call| call.of("Reports"));
    let bulk = [heartbeats(), batch()].map(|call| call.of("Many at once"));
    services.into_iter().chain(reports).chain(bulk).collect()
}

fn list() -> Call {
    let summary =
        json!({ "service": "api", "revision": 2, "instances": 1, "usable": 1, "declared": false });
    waiting(Call::new(
        Route::Services,
        Get,
        "listServices",
        "List all services",
        "Sorted by name. With `index` it waits for a change of any of them.",
    ))
    .replies::<List<'_>>(
        "200",
        "The services, and the registry's revision.",
        json!({ "revision": 2, "services": [summary] }),
    )
}

fn read() -> Call {
    waiting(Call::new(
        Route::Service,
        Get,
        "readService",
        "Read a service with its instances",
        "With `index` it waits for a change of it, also where there is no such service yet. \
         Renewals, load and dynamic weights are no change.",
    ))
    .replies::<ServiceJson<'_>>(
        "200",
        "The service as it is now.",
        json!({
            "revision": 2, "service": "api", "settings": Settings::default(), "overrides": {},
            "instances": [instances::example()],
        }),
    )
    .refuses(&[UnknownService])
}

fn waiting(call: Call) -> Call {
    call.query(
        "index",
        False,
        Revision::schema(),
        "Wait until the revision is greater than this; 0: at once",
        "1",
    )
    .query(
        "wait",
        False,
        DurationText::schema(),
        "How long to wait: at most 10m; without: 30s",
        "1s",
    )
    .refuses(&[Limit])
}

fn set_override() -> Call {
    let patch = json!({ "balance": "random", "ttl": "1s" });
    let given: SettingsPatch = serde_json::from_value(patch.clone()).unwrap_or_default();
    Call::new(
        Route::Service,
        Put,
        "overrideSettings",
        "Override settings of a service",
        "Replaces the whole override, which is above what the configuration file says, and declares \
         the service; `{}` takes it back.",
    )
    .takes::<SettingsPatch>(&[JSON], True, &patch)
    .replies::<Overridden>(
        "200",
        "The settings in force.",
        json!({ "service": "api", "settings": Settings::default().patched(&given), "revision": 6 }),
    )
    .refuses(&[Limit, Unavailable, StorageFull])
}

fn forget() -> Call {
    Call::new(
        Route::Service,
        Delete,
        "forgetService",
        "Forget a service",
        "One without instances, with its override.",
    )
    .replies_nothing("204", "It is not known, or not any more.")
    .refuses(&[NotEmpty, StaticService, Unavailable, StorageFull])
}

fn report() -> Call {
    Call::new(
        Route::Reports,
        Post,
        "reportOutcomes",
        "Report what clients saw",
        "How requests to instances ended since the last report of the same client. Instances that \
         fail too often are ejected for a while. A reply for each, in order.",
    )
    .takes_list::<Outcome>(&json!([
        { "id": "api-1", "successes": 98, "failures": 2, "latency_ms": 12.5 },
    ]))
    .replies::<reports::Results>(
        "200",
        "Which instances are known: `ok` or `unknown-instance`.",
        json!({ "results": [{ "id": "api-1", "result": "ok" }] }),
    )
    .refuses(&[UnknownService, Unavailable])
}

fn reported() -> Call {
    Call::new(Route::Reports, Get, "readOutcomes", "Read what clients saw lately", "")
        .replies::<Reports>(
            "200",
            "Of each instance that was reported of.",
            json!({
                "service": "api", "interval_ms": 10_000,
                "instances": [{
                    "id": "api-1", "successes": 98, "failures": 2, "latency_ms": 12.5,
                    "failures_in_a_row": 2, "ejections": 0, "ejected_for_ms": null,
                }],
            }),
        )
        .refuses(&[UnknownService, Unavailable])
}

fn heartbeats() -> Call {
    Call::new(
        Route::Heartbeats,
        Post,
        "renewInstances",
        "Renew many leases",
        "At most 10,000, unless configured. A reply for each, in order.",
    )
    .takes_list::<heartbeats::Item>(&json!([
        { "service": "api", "id": "api-1" },
        { "service": "api", "id": "api-9", "status": "warning", "load": { "cpu": 0.9 } },
    ]))
    .replies::<heartbeats::Results>(
        "200",
        "What became of each: `ok`, `unknown-instance`, `owned` or `forbidden`.",
        json!({ "results": [
            { "service": "api", "id": "api-1", "result": "ok", "expires_in_ms": 10_000 },
            { "service": "api", "id": "api-9", "result": "unknown-instance",
              "expires_in_ms": null },
        ] }),
    )
    .refuses(&[Unavailable, StorageFull])
}

fn batch() -> Call {
    Call::new(
        Route::Batch,
        Post,
        "batch",
        "Deregister and register many instances",
        "In this order, all or nothing, as one revision; at most 10,000, unless configured. An id \
         may be there once. Errors name the item, `register[3].weight`.",
    )
    .takes::<Batch>(
        &[JSON],
        True,
        &json!({
            "deregister": [{ "service": "api", "id": "api-2" }],
            "register": [{ "service": "api", "id": "api-3", "addresses": ["10.0.0.33"],
                           "port": 8080 }],
        }),
    )
    .replies::<Done>("200", "All of it is done.", json!({ "revision": 7 }))
    .refuses(&[StaticInstance, Owned, Limit, Unavailable, StorageFull])
}
