//! The counters of those that answer: one set for each thread of UDP, which alone moves it, and one
//! that all other transports share.
//!
//! Counting takes no lock, and in a thread's own set writes no memory that another thread writes.
//! No label comes from a query's name. Sums and names are `metrics`' matter.

use std::time::Duration;

use crate::dns::cookies::Standing;
use crate::dns::count::Count;
use crate::dns::handed::Handed;
use crate::dns::histogram::Histogram;
use crate::dns::rate_limit::{Scope, Verdict};
use crate::dns::rcode::Rcode;
use crate::dns::rtype;
use crate::dns::transport::{Peer, Transport};

/// What is counted per query. When not `SHARED`, by one thread only. Aligned, so that what one
/// thread writes and what another does never lie in one line of the cache.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard<const SHARED: bool> {
    /// By transport, family and type.
    pub(crate) requests: [[[Count<SHARED>; TYPES.len()]; 2]; TRANSPORTS.len()],
    /// By response code.
    pub(crate) responses: [Count<SHARED>; RCODES.len()],
    pub(crate) truncated: Count<SHARED>,
    /// By what the query's cookie proved.
    pub(crate) cookies: [Count<SHARED>; COOKIES.len()],
    /// By limit and by what became of the reply.
    pub(crate) limited: [[Count<SHARED>; ACTIONS.len()]; SCOPES.len()],
    /// In nanoseconds.
    pub(crate) durations: Histogram<10, SHARED>,
    pub(crate) request_sizes: Histogram<7, SHARED>,
    pub(crate) response_sizes: Histogram<7, SHARED>,
    pub(crate) handed: Handed,
}

impl<const SHARED: bool> Default for Shard<SHARED> {
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
            handed: Handed::default(),
        }
    }
}

impl<const SHARED: bool> Shard<SHARED> {
    /// Counts a query of `request` bytes that was answered; `rtype` is `None` when none was
    /// understood.
    #[inline(always)]
    pub(crate) fn answered(
        &self,
        peer: Peer,
        rtype: Option<u16>,
        rcode: Rcode,
        request: usize,
        reply: &[u8],
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
        self.requests[transport][family][listed.unwrap_or(TYPES.len() - 1)].add(1);
        let code = RCODES.iter().position(|known| *known == rcode).unwrap_or(0);
        self.responses[code].add(1);
        self.request_sizes.observe(request as u64, 1);
        self.response_sizes.observe(reply.len() as u64, 1);
        if reply.get(2).is_some_and(|flags| flags & TC != 0) {
            self.truncated.add(1);
        }
    }

    /// Counts so many queries that took this long from their reading to their replies.
    pub(crate) fn took(&self, time: Duration, queries: usize) {
        if queries > 0 {
            self.durations
                .observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), queries as u64);
        }
    }

    /// Counts a query with a cookie.
    pub(crate) fn cookie(&self, standing: Standing) {
        let place = match standing {
            Standing::New => 0,
            Standing::Valid => 1,
            Standing::Bad => 2,
        };
        self.cookies[place].add(1);
    }

    /// Counts what the rate limit did to a query, if anything.
    #[inline]
    pub(crate) fn limited(&self, verdict: Verdict) {
        let (scope, action) = match verdict {
            Verdict::Answer => return,
            Verdict::Slip(scope) => (scope, 0),
            Verdict::Drop(scope) => (scope, 1),
        };
        let limit = match scope {
            Scope::Address => 0,
            Scope::Prefix => 1,
        };
        self.limited[limit][action].add(1);
    }

    /// Adds these counts to `sum`.
    pub(crate) fn add_to(&self, sum: &Shard<false>) {
        let own = self.requests.as_flattened().as_flattened().iter();
        let own = own.chain(&self.responses).chain([&self.truncated]);
        let own = own.chain(&self.cookies).chain(self.limited.as_flattened());
        let all = sum.requests.as_flattened().as_flattened().iter();
        let all = all.chain(&sum.responses).chain([&sum.truncated]);
        let all = all.chain(&sum.cookies).chain(sum.limited.as_flattened());
        own.zip(all).for_each(|(own, sum)| sum.add(own.value()));
        self.durations.add_to(&sum.durations);
        self.request_sizes.add_to(&sum.request_sizes);
        self.response_sizes.add_to(&sum.response_sizes);
    }
}

/// The types that have a counter of their own; the last one is all others.
pub(crate) const TYPES: [(u16, &str); 12] = [
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
pub(crate) const TRANSPORTS: [&str; 5] = ["udp", "tcp", "tls", "https", "quic"];

/// What a cookie proved.
pub(crate) const COOKIES: [&str; 3] = ["new", "valid", "bad"];

/// Whose rate limit.
pub(crate) const SCOPES: [&str; 2] = ["address", "prefix"];

/// What the rate limit did.
pub(crate) const ACTIONS: [&str; 2] = ["slipped", "dropped"];

/// The response codes that we give.
pub(crate) const RCODES: [Rcode; 8] = [
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
