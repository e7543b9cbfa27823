//! The side-port of a running server: what it needs of all the others, as functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::audit::AuditStats;
use crate::dns;
use crate::dns::front::Front;
use crate::dns::serve::Shared;
use crate::health::HealthStats;
use crate::http::{self, Access, App, BadQuestion, Hooks, ReloadReply, ResolveRequest};
use crate::model::Limits;
use crate::registry::Registry;
use crate::server::reload::{self, Reloader};
use crate::server::{check, metrics, profile};

/// Everything that the side-port is made of.
pub(super) struct Parts {
    pub(super) registry: Registry,
    pub(super) front: Arc<Front>,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: Arc<ArcSwap<Limits>>,
    pub(super) access: Arc<Access>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) zone: String,
    pub(super) health: Arc<HealthStats>,
    pub(super) audit: Arc<AuditStats>,
}

/// The side-port that is made of `parts`.
pub(super) fn side_port(parts: &Parts) -> Arc<App> {
    let counters = Arc::new(http::Metrics::new());
    let metrics = metrics::gather(
        parts.registry.clone(),
        Arc::clone(&parts.front),
        Arc::clone(&parts.shared),
        parts.zone.clone(),
        Arc::clone(&parts.health),
        Arc::clone(&parts.audit),
        &counters,
    );
    let (front, reloader) = (Arc::clone(&parts.front), Arc::clone(&parts.reloader));
    let (ready, hiding) = (Arc::clone(&parts.ready), Arc::clone(&parts.front));
    let hooks = Hooks {
        resolve: Box::new(move |ResolveRequest { name, qtype, client }| {
            front.explain(&name, &qtype, client).map_err(|error| {
                let field = match &error {
                    dns::explain::ExplainError::Name(_) => "name",
                    dns::explain::ExplainError::Type(_) => "type",
                };
                BadQuestion { field, reason: error.to_string() }
            })
        }),
        reload: Box::new(move |author| {
            let reloader = Arc::clone(&reloader);
            Box::pin(async move {
                let result = reloader.reload(author).await;
                reload::tell(&result);
                result.map(reply).map_err(refused)
            })
        }),
        metrics: Box::new(move || {
            let mut text = String::new();
            // Writing to a string cannot fail.
            prometheus_client::encoding::text::encode(&mut text, &metrics).ok();
            text
        }),
        hidden: Box::new(move |service, id| check::hidden(&hiding.served(), service, id)),
        ready: Box::new(move || ready.load(Ordering::Acquire)),
        profiler: profile::profiler(),
        zone: parts.zone.clone(),
    };
    let limits = Arc::clone(&parts.limits);
    let access = Arc::clone(&parts.access);
    App::new(parts.registry.clone(), limits, access, hooks, counters, parts.stopped.clone())
}

fn reply(reloaded: reload::Reloaded) -> ReloadReply {
    ReloadReply {
        revision: reloaded.revision,
        changed: reloaded.changed,
        needs_restart: reloaded.needs_restart.into_iter().map(String::from).collect(),
    }
}

fn refused(error: reload::ReloadError) -> http::ReloadError {
    let place = match &error {
        reload::ReloadError::Config(config) => config.faults().next().map(|f| f.key.clone()),
        reload::ReloadError::Exposed => Some("http.client_certificates".to_owned()),
        reload::ReloadError::Certificate(_)
        | reload::ReloadError::Served(_)
        | reload::ReloadError::Audit(_) => None,
        reload::ReloadError::Refused(_) => return http::ReloadError::ShuttingDown,
    };
    http::ReloadError::BadConfig { message: error.to_string(), place }
}
