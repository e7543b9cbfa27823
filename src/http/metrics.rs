//! What the side-port counts. No label comes from a request: each is one of a closed set.

use std::sync::OnceLock;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::http::parting::Reason;
use crate::http::problem::ProblemKind;
use crate::http::route::Route;
use crate::model::Limit;

/// The counters of the side-port.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    /// The counters of `requests` that have been used, so that counting takes no lock.
    used: Box<[OnceLock<Counter>]>,
    rejected: Family<RejectedLabels, Counter>,
    limits: Family<LimitLabels, Counter>,
    ended: Family<EndedLabels, Counter>,
    pub(crate) watchers: Gauge,
    pub(crate) connections: Gauge,
    /// Connections that were cut to make room for others.
    pub(crate) evicted: Counter,
    /// Connections that could not be accepted.
    pub(crate) accept_errors: Counter,
    /// Connections that were cut since their peer did not read or write in time.
    pub(crate) stalled: Counter,
    /// Handshakes that came to nothing.
    pub(crate) tls_failures: Counter,
}

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        let used = std::iter::repeat_with(OnceLock::new);
        let combinations = Route::COUNT * (METHODS.len() + 1) * (CODES.len() + 1);
        Self {
            requests: Family::default(),
            used: used.take(combinations).collect(),
            rejected: Family::default(),
            limits: Family::default(),
            ended: Family::default(),
            watchers: Gauge::default(),
            connections: Gauge::default(),
            evicted: Counter::default(),
            accept_errors: Counter::default(),
            stalled: Counter::default(),
            tls_failures: Counter::default(),
        }
    }

    /// Adds the counters to what `registry` shows.
    pub fn register(&self, registry: &mut Registry) {
        let requests = "Requests answered, by route, method and status code";
        registry.register("signpost_http_requests", requests, self.requests.clone());
        let rejected = "Requests refused, by type of problem";
        registry.register("signpost_http_rejected", rejected, self.rejected.clone());
        for limit in Limit::ALL {
            // All are there from the start, so that a first refusal is seen as one.
            drop(self.limits.get_or_create(&LimitLabels { limit: limit.key() }));
        }
        let limits = "Requests and connections refused, by the limit that is reached";
        registry.register("signpost_limit_refusals", limits, self.limits.clone());
        for reason in Reason::ALL {
            drop(self.ended.get_or_create(&EndedLabels { reason: reason.name() }));
        }
        let ended = "Watches that the server ended, by reason";
        registry.register("signpost_http_watches_ended", ended, self.ended.clone());
        let watchers = "Open watches and waiting reads";
        registry.register("signpost_http_watchers", watchers, self.watchers.clone());
        let connections = "Open connections";
        registry.register("signpost_http_connections", connections, self.connections.clone());
        let evicted = "Connections cut to make room for others";
        registry.register("signpost_http_evicted_connections", evicted, self.evicted.clone());
        let errors = "Connections that could not be accepted";
        registry.register("signpost_http_accept_errors", errors, self.accept_errors.clone());
        let stalled = "Connections cut since the peer did not read or write in time";
        registry.register("signpost_http_stalled_connections", stalled, self.stalled.clone());
        let failures = "TLS handshakes that failed or took too long";
        registry.register("signpost_http_tls_failures", failures, self.tls_failures.clone());
    }

    pub(crate) fn count(&self, route: Route, method: &Method, status: StatusCode) {
        let method = METHODS.iter().position(|name| *name == method.as_str());
        let method = method.unwrap_or(METHODS.len());
        let code = CODES.iter().position(|(code, _)| *code == status.as_u16());
        let code = code.unwrap_or(CODES.len());
        let combination =
            (route as usize * (METHODS.len() + 1) + method) * (CODES.len() + 1) + code;
        let counter = self.used[combination].get_or_init(|| {
            self.requests.get_or_create_owned(&RequestLabels {
                route: route.path(),
                method: METHODS.get(method).unwrap_or(&"other"),
                code: CODES.get(code).map_or("other", |(_, text)| text),
            })
        });
        counter.inc();
    }

    pub(crate) fn count_rejected(&self, kind: ProblemKind) {
        self.rejected.get_or_create(&RejectedLabels { reason: kind.name() }).inc();
    }

    pub(crate) fn count_ended(&self, reason: Reason) {
        self.ended.get_or_create(&EndedLabels { reason: reason.name() }).inc();
    }

    pub(crate) fn count_limit(&self, limit: Limit) {
        self.limits.get_or_create(&LimitLabels { limit: limit.key() }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    reason: &'static str,
}

const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];
const CODES: [(u16, &str); 17] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (431, "431"),
    (503, "503"),
    (507, "507"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_method_and_code() {
        let metrics = Metrics::new();
        let mut registry = Registry::default();
        metrics.register(&mut registry);

        metrics.count(Route::Other, &Method::OPTIONS, StatusCode::IM_A_TEAPOT);
        metrics.count(Route::Instance, &Method::PUT, StatusCode::CREATED);
        metrics.count(Route::Instance, &Method::PUT, StatusCode::CREATED);
        metrics.count_rejected(ProblemKind::NotEmpty);

        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let counted = |line: &str| assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        counted(r#"signpost_http_requests_total{route="other",method="other",code="other"} 1"#);
        counted(concat!(
            r#"signpost_http_requests_total{route="/v1/services/{service}/instances/{id}","#,
            r#"method="PUT",code="201"} 2"#
        ));
        counted(r#"signpost_http_rejected_total{reason="not-empty"} 1"#);
    }
}
