//! What the DNS front counts. Plain atomics, all resolved at start: counting takes no lock, and no
//! label comes from a query's name.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;

use crate::dns::cookies::Standing;
use crate::dns::histogram::Histogram;
use crate::dns::rate_limit::{Scope, Verdict};
use crate::dns::rcode::Rcode;
use crate::dns::rtype;
use crate::dns::transport::{Peer, Transport};

/// The counters of the DNS front.
#[derive(Debug)]
pub struct Metrics {
    /// By transport, family and type.
    requests: [[[Count; TYPES.len()]; 2]; TRANSPORTS.len()],
    /// By response code.
    responses: [Count; RCODES.len()],
    truncated: Count,
    /// By what the query's cookie proved.
    cookies: [Count; COOKIES.len()],
    /// By limit and by what became of the reply.
    limited: [[Count; ACTIONS.len()]; SCOPES.len()],
    /// From the packet's reading to its reply's, in nanoseconds.
    durations: Histogram<10>,
    request_sizes: Histogram<7>,
    response_sizes: Histogram<7>,
}

/// One number that many threads move.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let sizes = || Histogram::new([64, 128, 256, 512, 1_232, 4_096, 65_535], 1.0);
        Self {
            requests: Default::default(),
            responses: Default::default(),
            truncated: Count::default(),
            cookies: Default::default(),
            limited: Default::default(),
            durations: Histogram::new(std::array::from_fn(|i| 1_000 << (2 * i)), 1e9),
            request_sizes: sizes(),
            response_sizes: sizes(),
        }
    }
}

impl Metrics {
    /// Counts a query that was answered; `rtype` is `None` when none was understood.
    pub fn answered(
        &self,
        peer: Peer,
        rtype: Option<u16>,
        rcode: Rcode,
        request: usize,
        reply: &[u8],
        took: Duration,
    ) {
        let transport = match peer.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Https => 3,
            Transport::Quic => 4,
        };
        let family = usize::from(peer.source.is_ipv6());
        let listed = TYPES.iter().position(|(number, _)| Some(*number) == rtype);
        self.requests[transport][family][listed.unwrap_or(TYPES.len() - 1)].inc();
        let code = RCODES.iter().position(|known| *known == rcode).unwrap_or(0);
        self.responses[code].inc();
        self.request_sizes.observe(request as u64);
        self.response_sizes.observe(reply.len() as u64);
        self.durations.observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        if reply.get(2).is_some_and(|flags| flags & TC != 0) {
            self.truncated.inc();
        }
    }

    /// Counts a query with a cookie.
    pub fn cookie(&self, standing: Standing) {
        let place = match standing {
            Standing::New => 0,
            Standing::Valid => 1,
            Standing::Bad => 2,
        };
        self.cookies[place].inc();
    }

    /// Counts what the rate limit did to a query, if anything.
    pub fn limited(&self, verdict: Verdict) {
        let (scope, action) = match verdict {
            Verdict::Answer => return,
            Verdict::Slip(scope) => (scope, 0),
            Verdict::Drop(scope) => (scope, 1),
        };
        let limit = match scope {
            Scope::Address => 0,
            Scope::Prefix => 1,
        };
        self.limited[limit][action].inc();
    }

    /// Writes every counter in Prometheus' terms. Names are those of CoreDNS.
    ///
    /// # Errors
    /// When the encoder cannot take it.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>, zone: &str) -> std::fmt::Result {
        let mut requests = encoder.encode_descriptor(
            "signpost_dns_requests",
            "Queries that got a reply",
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        for (transport, proto) in self.requests.iter().zip(TRANSPORTS) {
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
        for (count, rcode) in self.responses.iter().zip(RCODES) {
            let labels = [("zone", zone), ("rcode", rcode.as_str())];
            ConstCounter::new(count.value()).encode(responses.encode_family(&labels)?)?;
        }
        self.encode_guards(encoder)?;
        let truncated = ConstCounter::new(self.truncated.value());
        let (name, help) = ("signpost_dns_truncated", "Replies with TC");
        truncated.encode(encoder.encode_descriptor(
            name,
            help,
            None,
            truncated.metric_type(),
        )?)?;
        let labels = [("zone", zone)];
        let (name, help) = ("signpost_dns_request_duration_seconds", "From query to reply");
        self.durations.encode(encoder, (name, help), &labels)?;
        let (name, help) = ("signpost_dns_request_size_bytes", "Sizes of queries");
        self.request_sizes.encode(encoder, (name, help), &labels)?;
        let (name, help) = ("signpost_dns_response_size_bytes", "Sizes of replies");
        self.response_sizes.encode(encoder, (name, help), &labels)
    }

    /// Cookies and the rate limit.
    fn encode_guards(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut cookies = encoder.encode_descriptor(
            "signpost_dns_cookies",
            "Queries with a DNS cookie",
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        for (count, standing) in self.cookies.iter().zip(COOKIES) {
            let labels = [("cookie", standing)];
            ConstCounter::new(count.value()).encode(cookies.encode_family(&labels)?)?;
        }
        let mut limited = encoder.encode_descriptor(
            "signpost_dns_rate_limited",
            "Queries over the rate limit",
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        for (actions, scope) in self.limited.iter().zip(SCOPES) {
            for (count, action) in actions.iter().zip(ACTIONS) {
                let labels = [("limit", scope), ("action", action)];
                ConstCounter::new(count.value()).encode(limited.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// The types that have a counter of their own; the last one is all others.
const TYPES: [(u16, &str); 12] = [
    (rtype::A, "A"),
    (rtype::AAAA, "AAAA"),
    (rtype::SRV, "SRV"),
    (rtype::TXT, "TXT"),
    (rtype::SOA, "SOA"),
    (rtype::NS, "NS"),
    (rtype::PTR, "PTR"),
    (rtype::CNAME, "CNAME"),
    (rtype::HTTPS, "HTTPS"),
    (rtype::SVCB, "SVCB"),
    (rtype::ANY, "ANY"),
    (0, "other"),
];

/// The transports, by the names that CoreDNS has for them.
const TRANSPORTS: [&str; 5] = ["udp", "tcp", "tls", "https", "quic"];

/// What a cookie proved.
const COOKIES: [&str; 3] = ["new", "valid", "bad"];

/// Whose rate limit.
const SCOPES: [&str; 2] = ["address", "prefix"];

/// What the rate limit did.
const ACTIONS: [&str; 2] = ["slipped", "dropped"];

const RCODES: [Rcode; 8] = [
    Rcode::NoError,
    Rcode::FormErr,
    Rcode::ServFail,
    Rcode::NxDomain,
    Rcode::NotImp,
    Rcode::Refused,
    Rcode::BadVers,
    Rcode::BadCookie,
];

/// The TC flag in the third byte of a message.
const TC: u8 = 0x02;
