//! The HTTP side-port: JSON in and out, errors as RFC 9457, and a stream of changes.
//!
//! It calls the registry's handle and knows neither DNS nor the store; what it needs of other
//! layers comes as [`Hooks`]. The only place with axum.

mod app;
mod batch;
mod body;
mod budget;
mod call;
mod caller;
mod clients;
mod connection;
mod extract;
mod grant;
mod guard;
mod handshake;
mod heartbeats;
mod hosts;
mod instances;
mod json;
mod metrics;
mod openapi;
mod outlet;
mod pace;
mod parting;
mod peer;
mod problem;
mod profile;
mod reports;
mod resolve;
mod route;
mod serve;
mod services;
mod shape;
mod snapshot;
mod stream;
mod system;
mod tokens;
mod unix;
mod wait;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};

pub use app::{
    App, BadQuestion, Hidden, Hooks, ProfileError, ProfileFuture, ProfileRequest, Profiler,
    ReloadError, ReloadFuture, ReloadReply, ResolveRequest,
};
pub use clients::Clients;
pub use guard::Access;
pub use hosts::Hosts;
pub use metrics::Metrics;
pub use serve::{BindError, Listener, bind, serve};
pub use tokens::new_secret;
pub use unix::{UnixError, UnixSocket};

use crate::model::Limit;
use connection::Activity;
use problem::{Problem, ProblemKind};
use route::Route;

/// All calls of the side-port.
pub fn router(app: Arc<App>) -> Router {
    let paths = Route::ALL.iter().fold(Router::new(), |router, route| match methods(*route) {
        Some(methods) => router.route(route.path(), methods),
        None => router,
    });
    paths
        .fallback(system::not_found)
        .method_not_allowed_fallback(system::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// What answers the calls of a path; `openapi` describes the same.
fn methods(route: Route) -> Option<MethodRouter<Arc<App>>> {
    Some(match route {
        Route::Instance => get(instances::read)
            .put(instances::register)
            .patch(instances::patch)
            .delete(instances::deregister),
        Route::Heartbeat => put(instances::heartbeat),
        Route::Drain => post(instances::drain).delete(instances::undrain),
        Route::Services => get(services::list),
        Route::Service => get(services::read).put(services::set_override).delete(services::forget),
        Route::Reports => get(reports::read).post(reports::take),
        Route::Heartbeats => post(heartbeats::renew),
        Route::Batch => post(batch::run),
        Route::Watch => get(watch::follow),
        Route::Resolve => get(resolve::explain),
        Route::Tokens => get(tokens::list).post(tokens::create),
        Route::Token => delete(tokens::revoke),
        Route::Reload => post(system::reload),
        Route::Health => get(system::health),
        Route::Ready => get(system::ready),
        Route::Metrics => get(system::metrics),
        Route::Profile => get(profile::take),
        Route::Snapshot => get(snapshot::take),
        Route::Document => get(openapi::document),
        Route::Docs => get(openapi::page),
        Route::Other => return None,
    })
}

/// Lets requests pass that may, counts each reply, and says of each that it is neither to be kept nor
/// to be guessed at.
async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or(Route::Other, |path| Route::of(path.as_str()));
    let method = request.method().clone();
    let activity = request.extensions().get::<Arc<Activity>>().cloned();
    let mut response = match guard::admit(&app, route, &mut request) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            if request.version() == Version::HTTP_2 {
                body::discard(request.into_body(), app.limits.load().request_time).await;
            }
            problem.into_response()
        }
    };
    if let Err(problem) = hold(&app, &mut response, activity.as_ref()) {
        response = problem.into_response();
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    app.metrics.count(route, &method, response.status());
    if let Some(kind) = response.extensions().get::<ProblemKind>() {
        app.metrics.count_rejected(*kind);
    }
    if let Some(limit) = response.extensions().get::<Limit>() {
        app.metrics.count_limit(*limit);
    }
    response
}

/// Counts a reply of known length among what is on its way, until it is sent.
fn hold(
    app: &App,
    response: &mut Response,
    activity: Option<&Arc<Activity>>,
) -> Result<(), Problem> {
    let length = response.body().size_hint().exact().unwrap_or(0);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > budget::TINY {
        let mut held = app.budget.hold(app.limits.load().in_flight, activity);
        held.grow(length)?;
        response.extensions_mut().insert(Arc::new(held));
    }
    Ok(())
}
