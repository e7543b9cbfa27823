//! How many requests a second an address and an identity make: a table of fixed size for each.
//!
//! Asked by `guard` before anything of a body is read.

use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use crate::http::problem::Problem;
use crate::model::{Label, Limit, Limits};
use crate::net::buckets::Buckets;
use crate::net::connections::client;
use crate::registry::Refusal;

/// Who made how many requests lately.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Nobody can aim at the buckets of another without it.
    key: [u8; 16],
    addresses: Buckets,
    identities: Buckets,
}

impl Pace {
    /// An empty table, whose buckets are found by `key`: random, and secret.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { key, addresses: Buckets::new(), identities: Buckets::new() }
    }

    /// Counts a request from `source` at `now`, since some fixed moment. This machine has no limit.
    pub(crate) fn check_address(
        &self,
        limits: &Limits,
        source: IpAddr,
        now: Duration,
    ) -> Result<(), Problem> {
        let rate = limits.requests_per_address;
        if rate == 0 || source.is_loopback() {
            return Ok(());
        }
        let hash = match client(source) {
            IpAddr::V4(v4) => self.hash(&v4.octets()),
            IpAddr::V6(v6) => self.hash(&v6.octets()),
        };
        within(self.addresses.take(hash, rate, now), Limit::RequestsPerAddress, rate)
    }

    /// Counts a request of `name`.
    pub(crate) fn check_identity(
        &self,
        limits: &Limits,
        name: &Label,
        now: Duration,
    ) -> Result<(), Problem> {
        let rate = limits.requests_per_identity;
        if rate == 0 {
            return Ok(());
        }
        let hash = self.hash(name.as_str().as_bytes());
        within(self.identities.take(hash, rate, now), Limit::RequestsPerIdentity, rate)
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher24::new_with_key(&self.key).hash(bytes)
    }
}

fn within(taken: bool, name: Limit, rate: u32) -> Result<(), Problem> {
    if taken {
        return Ok(());
    }
    Err(Refusal::Limit { name, max: usize::try_from(rate).unwrap_or(usize::MAX) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(9);

    /// How many of 100 requests at once from these addresses pass, by turns.
    fn pass(limits: &Limits, sources: [&str; 2], now: Duration, pace: &Pace) -> usize {
        let sources = sources.map(|source| source.parse().unwrap());
        let passes = |i: &usize| pace.check_address(limits, sources[i % 2], now).is_ok();
        (0..100).filter(passes).count()
    }

    #[test]
    fn an_address_has_its_rate_and_a_whole_second_of_it_at_once() {
        let limits = Limits { requests_per_address: 10, ..Limits::default() };
        let none = Limits { requests_per_address: 0, ..Limits::default() };
        let new = || Pace::new([1; 16]);

        let one = new();
        let v4 = ["192.0.2.1", "192.0.2.1"];
        assert_eq!(pass(&limits, v4, NOW, &one), 10);
        assert_eq!(pass(&limits, v4, NOW + Duration::from_millis(500), &one), 5);
        assert_eq!(pass(&limits, ["192.0.2.1", "192.0.2.2"], NOW, &new()), 20);
        assert_eq!(pass(&limits, ["2001:db8::1", "2001:db8::ffff:0:0:2"], NOW, &new()), 10);
        assert_eq!(pass(&limits, ["2001:db8::1", "2001:db8:0:1::1"], NOW, &new()), 20);
        assert_eq!(pass(&limits, ["127.0.0.1", "::1"], NOW, &new()), 100);
        assert_eq!(pass(&none, v4, NOW, &new()), 100);
    }

    #[test]
    fn an_identity_has_its_rate_by_name() {
        let limits = Limits { requests_per_identity: 10, ..Limits::default() };
        let pace = Pace::new([1; 16]);
        let [web, shop] = ["web", "shop"].map(|name| Label::new(name).unwrap());
        let passed = |limits: &Limits, name: &Label| {
            (0..100).filter(|_| pace.check_identity(limits, name, NOW).is_ok()).count()
        };

        assert_eq!(passed(&limits, &web), 10);
        assert_eq!(passed(&limits, &shop), 10);
        assert_eq!(passed(&Limits::default(), &web), 100);
    }
}
