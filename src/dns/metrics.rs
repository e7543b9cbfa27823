//! What the DNS front counts, as `/metrics` shows it: the sums of what all threads counted.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;

use crate::dns::handed::Key;
use crate::dns::shard::{ACTIONS, COOKIES, RCODES, SCOPES, Shard, TRANSPORTS, TYPES};
use crate::model::Millis;

/// The counters of the DNS front.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Of all threads that have none of their own.
    shared: Shard<true>,
    /// Those of the others. They stay when their thread is gone.
    own: Mutex<Vec<Arc<Shard<false>>>>,
}

impl Metrics {
    /// The counters for all who have none of their own.
    pub(crate) fn shared(&self) -> &Shard<true> {
        &self.shared
    }

    /// Counters for one thread.
    pub(crate) fn own(&self) -> Arc<Shard<false>> {
        let shard = Arc::new(Shard::default());
        self.own.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&shard));
        shard
    }

    /// When any thread last began an answer with it, as far as they remember.
    pub(crate) fn last_handed(&self, key: Key) -> Option<Millis> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let of_threads = own.iter().filter_map(|shard| shard.handed.last(key));
        of_threads.chain(self.shared.handed.last(key)).max()
    }

    fn sum(&self) -> Shard<false> {
        let sum = Shard::default();
        self.shared.add_to(&sum);
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.iter().for_each(|shard| shard.add_to(&sum));
        sum
    }

    /// Writes every counter in Prometheus' terms. Names are those of CoreDNS.
    ///
    /// # Errors
    /// When the encoder cannot take it.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>, zone: &str) -> std::fmt::Result {
        let sum = self.sum();
        let mut requests = encoder.encode_descriptor(
            "signpost_dns_requests",
            "Queries that got a reply",
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        for (transport, proto) in sum.requests.iter().zip(TRANSPORTS) {
            for (family, version) in transport.iter().zip(["1", "2"]) {
                for (count, (_, name)) in family.iter().zip(TYPES) {
                    if count.value() > 0 {
                        let labels =
                            [("zone", zone), ("proto", proto), ("family", version), ("type", name)];
                        let family = requests.encode_family(&labels)?;
                        ConstCounter::new(count.value()).encode(family)?;
                    }
                }
            }
        }
        let mut responses = encoder.encode_descriptor(
            "signpost_dns_responses",
            "Replies sent",
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        for (count, rcode) in sum.responses.iter().zip(RCODES) {
            let labels = [("zone", zone), ("rcode", rcode.as_str())];
            ConstCounter::new(count.value()).encode(responses.encode_family(&labels)?)?;
        }
        encode_guards(&sum, encoder)?;
        let truncated = ConstCounter::new(sum.truncated.value());
        let (name, help) = ("signpost_dns_truncated", "Replies with TC");
        truncated.encode(encoder.encode_descriptor(
            name,
            help,
            None,
            truncated.metric_type(),
        )?)?;
        let labels = [("zone", zone)];
        let (name, help) = ("signpost_dns_request_duration_seconds", "From query to reply");
        sum.durations.encode(encoder, (name, help), &labels)?;
        let (name, help) = ("signpost_dns_request_size_bytes", "Sizes of queries");
        sum.request_sizes.encode(encoder, (name, help), &labels)?;
        let (name, help) = ("signpost_dns_response_size_bytes", "Sizes of replies");
        sum.response_sizes.encode(encoder, (name, help), &labels)
    }
}

/// Cookies and the rate limit.
fn encode_guards(sum: &Shard<false>, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    let mut cookies = encoder.encode_descriptor(
        "signpost_dns_cookies",
        "Queries with a DNS cookie",
        None,
        prometheus_client::metrics::MetricType::Counter,
    )?;
    for (count, standing) in sum.cookies.iter().zip(COOKIES) {
        let labels = [("cookie", standing)];
        ConstCounter::new(count.value()).encode(cookies.encode_family(&labels)?)?;
    }
    let mut limited = encoder.encode_descriptor(
        "signpost_dns_rate_limited",
        "Queries over the rate limit",
        None,
        prometheus_client::metrics::MetricType::Counter,
    )?;
    for (actions, scope) in sum.limited.iter().zip(SCOPES) {
        for (count, action) in actions.iter().zip(ACTIONS) {
            let labels = [("limit", scope), ("action", action)];
            ConstCounter::new(count.value()).encode(limited.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::thread;
    use std::time::Duration;

    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::dns::rcode::Rcode;
    use crate::dns::rtype;
    use crate::dns::transport::{Peer, Transport};

    #[derive(Debug)]
    struct Shown(Arc<Metrics>);

    impl Collector for Shown {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
            self.0.encode(&mut encoder, "z")
        }
    }

    fn answer<const SHARED: bool>(counts: &Shard<SHARED>, transport: Transport) {
        let peer = Peer { transport, source: (Ipv4Addr::LOCALHOST, 4000).into() };
        for _ in 0..1_000 {
            counts.answered(peer, Some(rtype::A), Rcode::NoError, 40, &[0; 100]);
            counts.took(Duration::from_micros(2), 1);
        }
    }

    #[test]
    fn what_is_shown_is_the_sum_of_all_threads_also_of_those_that_ended() {
        let metrics = Arc::new(Metrics::default());

        thread::scope(|threads| {
            for _ in 0..3 {
                let own = metrics.own();
                threads.spawn(move || answer(&own, Transport::Udp));
                threads.spawn(|| answer(metrics.shared(), Transport::Tcp));
            }
        });

        let mut registry = Registry::default();
        registry.register_collector(Box::new(Shown(Arc::clone(&metrics))));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            r#"signpost_dns_requests_total{zone="z",proto="udp",family="1",type="A"} 3000"#,
            r#"signpost_dns_requests_total{zone="z",proto="tcp",family="1",type="A"} 3000"#,
            r#"signpost_dns_responses_total{zone="z",rcode="NOERROR"} 6000"#,
            r#"signpost_dns_request_duration_seconds_count{zone="z"} 6000"#,
            r#"signpost_dns_request_duration_seconds_sum{zone="z"} 0.012"#,
            r#"signpost_dns_request_size_bytes_sum{zone="z"} 240000.0"#,
            r#"signpost_dns_response_size_bytes_sum{zone="z"} 600000.0"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
