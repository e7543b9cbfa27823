//! The calls about the server itself: what changes, what DNS would say, tokens, upkeep.

use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::Required::{False, True};
use utoipa::openapi::path::HttpMethod::{Delete, Get, Post};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::http::app::ReloadReply;
use crate::http::openapi::call::{Call, JSON};
use crate::http::problem::ProblemKind::{BadConfig, Limit, NotFound, StorageFull, Unavailable};
use crate::http::route::Route;
use crate::http::system::Condition;
use crate::http::tokens::{Created, List};
use crate::model::{Address, ServiceName, TokenSpec};
use crate::resolve::Resolution;
use crate::snapshot;

/// All of them, in an order in which their examples work.
pub(super) fn calls() -> Vec<Call> {
    let reads = [watch(), resolve()].map(|call| call.of("Follow and explain"));
    let tokens = [list_tokens(), create_token(), revoke_token()].map(|call| call.of("Tokens"));
    let upkeep = [reload(), snapshot(), health(), ready(), metrics(), document(), page()];
    let upkeep = upkeep.into_iter().chain(cfg!(feature = "pprof").then(profile));
    reads.into_iter().chain(tokens).chain(upkeep.map(|call| call.of("The server"))).collect()
}

fn watch() -> Call {
    Call::new(
        Route::Watch,
        Get,
        "watch",
        "Follow changes as they happen",
        "Server-sent events: `put` {revision, service, instance}, `remove` {revision, service, id, \
         reason: deregistered, expired or file} and `service` {revision, service, settings or \
         null}. Those of one revision come together, the last with its `id`. The first event is \
         `reset` {revision} when the server does not know what was missed: read by GET, then go on \
         from there. A comment every 15 s. The reply has no end.",
    )
    .query("service", False, ServiceName::schema(), "Only changes of this service", "api")
    .header(
        "Last-Event-ID",
        String::schema(),
        "The `id` to go on after; what is no id of this server's begins with `reset`",
    )
    .replies_text(
        &["text/event-stream"],
        "Events, for as long as the client reads them.",
        "event: reset\ndata: {\"revision\":7}\nid: 7\n\n",
    )
    .refuses(&[Limit])
}

fn resolve() -> Call {
    Call::new(
        Route::Resolve,
        Get,
        "resolve",
        "What DNS would say, and why",
        "Of each instance of the service: whether it is in the answer, its weight and what each \
         stage made of it. Moves no counter.",
    )
    .query("name", True, text(NAME, 253), "A domain name", "api.service.local")
    .query("type", False, text(TYPE, 8), "A record type; without: A", "SRV")
    .query("client", False, Address::schema(), "On whose behalf; without: this machine", "10.0.0.9")
    .replies::<Resolution>("200", "The reply, and the reasons for it.", resolution())
}

fn resolution() -> Value {
    let record = |name: &str, kind: &str, data: &str| json!({ "name": name, "type": kind, "ttl": 1, "data": data });
    json!({
        "rcode": "NOERROR", "aa": true, "tc": false, "ttl": 1,
        "answers": [record("api.service.local.", "SRV", "0 256 8080 api-1.api.service.local.")],
        "additional": [record("api-1.api.service.local.", "A", "10.0.0.31")],
        "service": "api", "balance": "random", "answer": "all", "k": 1,
        "instances": [{
            "id": "api-1", "in": true, "reasons": [], "weight": 2,
            "stages": {
                "lease": true, "expires_in_ms": 9_000, "status": "passing", "usable": true,
                "health": [], "panic": false, "tier": 0, "active": true,
                "weight": { "static": 2, "balance": 2, "slow_start": 2, "locality": 2 },
                "chance": 1.0, "last_handed_out_ms": null,
            },
        }],
    })
}

fn token() -> Value {
    json!({
        "id": "0123456789abcdef", "name": "shop", "scopes": ["register"], "services": ["shop-*"],
        "networks": ["10.1.0.0/16"], "created_at": "2026-11-23T01:02:03.000Z",
        "expires_at": "2027-02-21T01:02:04.000Z",
    })
}

fn list_tokens() -> Call {
    Call::new(Route::Tokens, Get, "listTokens", "List all tokens", "Without what they are.")
        .replies::<List<'_>>("200", "The tokens.", json!({ "tokens": [token()] }))
}

fn create_token() -> Call {
    let mut created = token();
    created["token"] =
        json!("signpost_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    Call::new(
        Route::Tokens,
        Post,
        "createToken",
        "Make a token",
        "The scope `register` needs at least one service.",
    )
    .takes::<TokenSpec>(
        &[JSON],
        True,
        &json!({
            "name": "shop", "scopes": ["register"], "services": ["shop-*"],
            "networks": ["10.1.0.0/16"], "ttl": "90d",
        }),
    )
    .replies::<Created<'_>>("201", "The token, for the only time.", created)
    .refuses(&[Limit, Unavailable, StorageFull])
}

fn revoke_token() -> Call {
    Call::new(Route::Token, Delete, "revokeToken", "Revoke a token", "")
        .replies_nothing("204", "It holds no longer.")
        .refuses(&[NotFound, Unavailable, StorageFull])
}

fn reload() -> Call {
    Call::new(
        Route::Reload,
        Post,
        "reload",
        "Read the configuration again",
        "As SIGHUP. A file that is not legal changes nothing.",
    )
    .replies::<ReloadReply>(
        "200",
        "It is in force, but for keys that need a restart.",
        json!({ "revision": 7, "changed": false, "needs_restart": [] }),
    )
    .refuses(&[BadConfig, Unavailable, StorageFull])
}

fn snapshot() -> Call {
    Call::new(
        Route::Snapshot,
        Get,
        "snapshot",
        "Everything that is stored, as of one revision",
        "Lines of JSON, for `signpost snapshot save`. One at a time.",
    )
    .replies_text(
        &[snapshot::MEDIA_TYPE],
        "A header, what is stored, and a checksum.",
        "{\"format\":\"signpost-snapshot\",\"version\":1,...}\n",
    )
    .refuses(&[Limit, Unavailable])
}

fn health() -> Call {
    Call::new(Route::Health, Get, "healthz", "Is the server alive", "").replies::<Condition>(
        "200",
        "It is.",
        json!({ "status": "live" }),
    )
}

fn ready() -> Call {
    Call::new(Route::Ready, Get, "readyz", "Is the server ready", "Store loaded, sockets bound.")
        .replies::<Condition>("200", "It is.", json!({ "status": "ready" }))
        .refuses(&[Unavailable])
}

fn metrics() -> Call {
    Call::new(Route::Metrics, Get, "metrics", "Metrics, for Prometheus", "").replies_text(
        &["text/plain", "application/openmetrics-text"],
        "All metrics; as OpenMetrics for who accepts that.",
        "# TYPE signpost_http_watchers gauge\nsignpost_http_watchers 0\n",
    )
}

fn document() -> Call {
    let schema = json!({ "openapi": "3.1.0" });
    Call::new(Route::Document, Get, "openapi", "This document", "").replies::<Document>(
        "200",
        "OpenAPI 3.1.",
        schema,
    )
}

fn page() -> Call {
    Call::new(Route::Docs, Get, "docs", "This document, to be read", "").replies_text(
        &["text/html"],
        "A page.",
        "<!DOCTYPE html>",
    )
}

fn profile() -> Call {
    Call::new(
        Route::Profile,
        Get,
        "profile",
        "Where the processor's time goes",
        "For pprof and programs that read its format. For admins, or clients on this machine where \
         no authentication is required. One at a time.",
    )
    .query("seconds", False, whole(60), "How long it takes; without: 10", "1")
    .query("hz", False, whole(1_000), "Samples in a second; without: 99", "99")
    .replies_text(&["application/octet-stream"], "A profile.", "")
    .refuses(&[Limit, Unavailable])
}

/// An OpenAPI document.
#[derive(utoipa::ToSchema)]
#[schema(as = OpenApi)]
#[expect(dead_code, reason = "only described")]
struct Document {
    openapi: String,
}

fn text(pattern: &str, longest: usize) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    Schema::from(text.min_length(Some(1)).max_length(Some(longest))).into()
}

fn whole(most: u16) -> RefOr<Schema> {
    let number = ObjectBuilder::new().schema_type(Type::Integer);
    Schema::from(number.minimum(Some(1_u16)).maximum(Some(most))).into()
}

/// Those that are asked by people. A name may have other bytes, written `\DDD`.
const NAME: &str = "^([a-zA-Z0-9_-]{1,63}\\.)*[a-zA-Z0-9_-]{1,63}\\.?$";
/// Other types are asked by their number.
const TYPE: &str = "^(A|AAAA|CNAME|HTTPS|MX|NS|PTR|SOA|SRV|SVCB|TXT|TYPE[1-9][0-9]{0,3})$";
