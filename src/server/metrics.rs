//! `/metrics`: gathers what each part counts into one Prometheus text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry as Metrics;

use crate::audit::AuditStats;
use crate::dns::front::Front;
use crate::dns::serve::Shared;
use crate::health::HealthStats;
use crate::http;
use crate::model::ServiceName;
use crate::registry::Registry;
use crate::server::panics;

/// Everything that is counted, ready to be written.
pub(super) fn gather(
    registry: Registry,
    front: Arc<Front>,
    shared: Arc<Shared>,
    zone: String,
    health: Arc<HealthStats>,
    audit: Arc<AuditStats>,
    http: &http::Metrics,
) -> Metrics {
    let mut metrics = Metrics::default();
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    metrics.register("signpost_build", "The version that runs", build);
    http.register(&mut metrics);
    let duration = "How long probes of active checks take";
    metrics.register("signpost_health_duration_seconds", duration, health.duration.clone());
    metrics.register_collector(Box::new(Parts { registry, front, shared, zone, health, audit }));
    metrics
}

/// What only has plain numbers to show.
#[derive(Debug)]
struct Parts {
    registry: Registry,
    front: Arc<Front>,
    shared: Arc<Shared>,
    zone: String,
    health: Arc<HealthStats>,
    audit: Arc<AuditStats>,
}

impl Collector for Parts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.front.metrics().encode(&mut encoder, &self.zone)?;
        let mut counter = |name, help, number: &AtomicU64| {
            let counter = ConstCounter::new(number.load(Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
        };
        let loops = &self.shared.counters;
        let panics = "Panics that were contained, and those that end the process";
        counter("signpost_panics", panics, &panics::watched().count)?;
        counter("signpost_dns_ignored", "Packets that get no reply", &loops.silent)?;
        let dropped = "Replies that the socket could not take";
        counter("signpost_dns_dropped", dropped, &loops.dropped_sends)?;
        let errors = "TCP connections that could not be accepted";
        counter("signpost_dns_tcp_accept_errors", errors, &loops.tcp_accept_errors)?;
        let evicted = "TCP connections closed to make room for others";
        counter("signpost_dns_tcp_evicted", evicted, &loops.tcp_evicted)?;
        let refused = "TCP connections over the limit";
        counter("signpost_dns_tcp_refused", refused, &loops.tcp_refused)?;
        let failures = "Connections that came to no agreement on keys";
        counter("signpost_dns_tls_failures", failures, &loops.tls_failures)?;
        let refused = "HTTP requests that got no DNS reply";
        counter("signpost_dns_https_refused", refused, &loops.https_refused)?;
        let retries = "QUIC clients told to prove their address first";
        counter("signpost_dns_quic_retries", retries, &loops.quic_retries)?;
        let broken = "QUIC connections closed for a protocol error";
        counter("signpost_dns_quic_protocol_errors", broken, &loops.quic_protocol_errors)?;
        let engine = self.registry.stats();
        counter("signpost_registry_expired", "Leases that ended", &engine.expired)?;
        counter("signpost_registry_renewals", "Heartbeats taken", &engine.renewals)?;
        counter("signpost_registry_stalls", "Times the process was stopped", &engine.stalls)?;
        let built = "Views of services built";
        counter("signpost_registry_views_built", built, &engine.views_built)?;
        counter("signpost_registry_outcomes", "Outcomes that clients reported", &engine.outcomes)?;
        let held = "Ejections that the cap prevented";
        counter("signpost_registry_ejections_held", held, &engine.ejections_held)?;
        let protections = "Times that a service lost too many leases together";
        counter("signpost_registry_protections", protections, &engine.protections)?;
        counter("signpost_store_commits", "Batches made durable", &engine.commits)?;
        let failures = "Batches that the store refused";
        counter("signpost_store_commit_failures", failures, &engine.commit_failures)?;

        let written = "Changes written to the audit log";
        counter("signpost_audit_written", written, &self.audit.written)?;
        let lost = "Changes that are missing in the audit log";
        counter("signpost_audit_lost", lost, &self.audit.lost)?;

        let health = &self.health;
        let probes = "Probes of active checks that said something of an instance";
        counter("signpost_health_probes", probes, &health.probes)?;
        counter("signpost_health_failures", "Of these, those that failed", &health.failures)?;
        let unable = "Probes that this machine could not do";
        counter("signpost_health_unable", unable, &health.unable)?;
        counter("signpost_health_changes", "Changes of a check's state", &health.changes)?;
        let mut ejections = encoder.encode_descriptor(
            "signpost_registry_ejections",
            "Instances ejected, by what clients reported",
            None,
            MetricType::Counter,
        )?;
        for (cause, number) in [
            ("failures", &engine.ejected_for_failures),
            ("success_rate", &engine.ejected_for_success_rate),
        ] {
            let counter = ConstCounter::new(number.load(Relaxed));
            counter.encode(ejections.encode_family(&[("cause", cause)])?)?;
        }

        let mut gauge = |name, help, number: u64| {
            let gauge = ConstGauge::new(number.cast_signed());
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let views = self.registry.views();
        gauge("signpost_registry_revision", "The registry's revision", views.revision().0)?;
        gauge("signpost_registry_services", "Services known", views.len() as u64)?;
        gauge("signpost_registry_instances", "Instances known", engine.instances.load(Relaxed))?;
        let ejected = "Instances that are not answered for what clients report";
        gauge("signpost_registry_ejected_instances", ejected, engine.ejected.load(Relaxed))?;
        let suspect = "Instances that are kept although their leases ended";
        gauge("signpost_registry_suspect_instances", suspect, engine.suspect.load(Relaxed))?;
        let panic = "Services with too few healthy instances, where health is not believed";
        gauge("signpost_services_in_panic", panic, engine.services_in_panic.load(Relaxed))?;
        let lag = "The longest that an expiry was late since the last look, in milliseconds";
        // Each look starts a new interval.
        let late = engine.expiry_lag_ms.swap(0, Relaxed);
        gauge("signpost_registry_expiry_lag_milliseconds", lag, late)?;
        let checks = health.checks.load(Relaxed);
        gauge("signpost_health_checks", "Active checks that are kept up", checks)?;
        let running = health.running.load(Relaxed);
        gauge("signpost_health_running", "Probes under way", running)?;
        let queued = health.queued.load(Relaxed);
        gauge("signpost_health_queued", "Probes that wait for others to end", queued)?;
        let lag = "The longest that a probe began late since the last look, in milliseconds";
        gauge("signpost_health_lag_milliseconds", lag, health.lag_ms.swap(0, Relaxed))?;
        let writes = u64::from(engine.degraded.load(Relaxed) == 0);
        gauge("signpost_store_connected", "Whether the store can write", writes)?;
        let open = loops.quic_open.load(Relaxed);
        gauge("signpost_dns_quic_connections", "QUIC connections open", open)?;
        let open = loops.tcp_open.load(Relaxed);
        gauge("signpost_dns_tcp_connections", "TCP connections open", open)?;
        let narrow = engine.narrow.needs();
        let help = "Services whose answers hold too few instances for what one cache uses them for";
        gauge("signpost_services_k_too_small", help, narrow.len() as u64)?;
        encode_narrow(&narrow, &mut encoder)
    }
}

/// A series for each service whose answers are too narrow now, and none for any other.
fn encode_narrow(
    narrow: &BTreeMap<ServiceName, usize>,
    encoder: &mut DescriptorEncoder<'_>,
) -> std::fmt::Result {
    let mut needs = encoder.encode_descriptor(
        "signpost_service_k_too_small",
        "How many instances its answers should hold",
        None,
        MetricType::Gauge,
    )?;
    for (service, k) in narrow {
        let labels = [("service", service.as_str())];
        ConstGauge::new((*k as u64).cast_signed()).encode(needs.encode_family(&labels)?)?;
    }
    Ok(())
}
