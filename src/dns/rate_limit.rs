//! Limits how many UDP replies an address gets, since the sender of a query may be forged.
//!
//! A table of fixed size, two buckets for a client: nothing is kept of anybody, nothing is locked or
//! allocated, and many forged sources take no more memory than one. Called once per packet from an
//! unproven address; time and chance come as arguments.

use std::net::IpAddr;
use std::time::Duration;

use rand::{Rng, RngExt};
use siphasher::sip::SipHasher24;

use crate::model::{Network, RateLimit};
use crate::net::buckets::Buckets;

/// How many replies each address and each network got lately.
#[derive(Debug)]
pub struct RateLimiter {
    /// Nobody can aim at the buckets of another client without it.
    key: [u8; 16],
    addresses: Buckets,
    prefixes: Buckets,
}

/// What to do with the reply to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The client is within its limits.
    Answer,
    /// It is over one: a reply without records, that an honest client can do something with.
    Slip(Scope),
    /// It is over one: none.
    Drop(Scope),
}

/// Whose limit is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The address.
    Address,
    /// Its network.
    Prefix,
}

impl RateLimiter {
    /// An empty table, whose buckets are found by `key`: random, and secret.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self { key, addresses: Buckets::new(), prefixes: Buckets::new() }
    }

    /// Counts a reply to `client` and says what becomes of it; `now` is since some fixed moment.
    ///
    /// Each limit is a token bucket that holds what one second allows: whoever never exceeds the
    /// rate in any second is not limited, and a flood gets that many at once, then the rate.
    #[must_use]
    #[inline]
    pub fn check(
        &self,
        limits: &RateLimit,
        client: IpAddr,
        now: Duration,
        rng: &mut impl Rng,
    ) -> Verdict {
        if client.is_loopback() {
            return Verdict::Answer;
        }
        self.check_remote(limits, client, now, rng)
    }

    /// As [`RateLimiter::check`], for who is not on this machine.
    fn check_remote(
        &self,
        limits: &RateLimit,
        client: IpAddr,
        now: Duration,
        rng: &mut impl Rng,
    ) -> Verdict {
        if limits.exempt.iter().any(|network| network.contains(client)) {
            return Verdict::Answer;
        }
        let over = |table: &Buckets, rate, length| {
            rate > 0 && !table.take(self.hash(Network::of(client, length)), rate, now)
        };
        // The narrower one first: one client's flood is not to use up what its network has.
        let scope = if over(&self.addresses, limits.per_address, u8::MAX) {
            Scope::Address
        } else if over(&self.prefixes, limits.per_prefix, prefix(client)) {
            Scope::Prefix
        } else {
            return Verdict::Answer;
        };
        // By chance, since an attacker could keep a count in a step that leaves out somebody else.
        let slips = limits.slip > 0 && rng.random_ratio(1, limits.slip);
        if slips { Verdict::Slip(scope) } else { Verdict::Drop(scope) }
    }

    fn hash(&self, network: Network) -> u64 {
        let mut bytes = [0; 17];
        match network.address() {
            IpAddr::V4(v4) => bytes[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => bytes[..16].copy_from_slice(&v6.octets()),
        }
        // Tells the families apart.
        bytes[16] = network.length();
        SipHasher24::new_with_key(&self.key).hash(&bytes)
    }
}

/// How many bits of an address are its network.
fn prefix(client: IpAddr) -> u8 {
    match client {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 56,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::net::buckets::SECOND;

    fn limits(per_address: u32, per_prefix: u32) -> RateLimit {
        RateLimit { per_address, per_prefix, slip: 2, exempt: Vec::new() }
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(0x0100_0000_u32.wrapping_add(number)).into()
    }

    /// How many of these queries are answered, and over which limit the others are.
    fn run(
        limiter: &RateLimiter,
        limits: &RateLimit,
        queries: impl Iterator<Item = (u64, IpAddr)>,
    ) -> [usize; 3] {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut counts = [0; 3];
        for (nanos, client) in queries {
            let verdict = limiter.check(limits, client, Duration::from_nanos(nanos), &mut rng);
            counts[match verdict {
                Verdict::Answer => 0,
                Verdict::Slip(Scope::Address) | Verdict::Drop(Scope::Address) => 1,
                Verdict::Slip(Scope::Prefix) | Verdict::Drop(Scope::Prefix) => 2,
            }] += 1;
        }
        counts
    }

    #[test]
    fn a_flood_gets_one_second_at_once_and_then_the_rate() {
        let limiter = RateLimiter::new([1; 16]);

        // 10,000 a second, for five seconds, from far into the run.
        let flood = (0..50_000).map(|i| (1_000 * SECOND + i * 100_000, address(1)));
        let counts = run(&limiter, &limits(1_000, 0), flood);

        assert!((5_999..=6_000).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts[0] + counts[1], 50_000);
    }

    #[test]
    fn addresses_of_one_network_share_its_limit() {
        let limiter = RateLimiter::new([1; 16]);

        let at_once = (0..1_000).map(|i| (SECOND, address(i % 100)));
        let counts = run(&limiter, &limits(5, 200), at_once);

        // 100 addresses with 5 each would be 500.
        assert_eq!(counts, [200, 500, 300]);
    }

    #[test]
    fn who_was_silent_for_a_second_has_everything_back() {
        let limiter = RateLimiter::new([1; 16]);
        let burst = |at| (0..20).map(move |_| (at, address(1)));

        let first = run(&limiter, &limits(10, 0), burst(SECOND));
        let half = run(&limiter, &limits(10, 0), burst(SECOND + SECOND / 2));
        let later = run(&limiter, &limits(10, 0), burst(3 * SECOND));

        assert_eq!((first[0], half[0], later[0]), (10, 5, 10));
    }

    #[test]
    fn loopback_and_whom_the_list_names_are_exempt() {
        let limiter = RateLimiter::new([1; 16]);
        let own = RateLimit { exempt: Vec::new(), ..limits(1, 1) };
        let local = RateLimit { exempt: RateLimit::default().exempt, ..limits(1, 1) };
        let answered = |limits: &RateLimit, text: &str| {
            let client = text.parse().unwrap();
            run(&limiter, limits, (0..5).map(|_| (SECOND, client)))[0] == 5
        };

        for (client, by_none, by_default) in [
            ("127.0.0.1", true, true),
            ("127.255.0.1", true, true),
            ("::1", true, true),
            ("10.1.2.3", false, true),
            ("172.31.0.1", false, true),
            ("192.168.3.4", false, true),
            ("100.64.0.1", false, true),
            ("169.254.0.1", false, true),
            ("fd00::1", false, true),
            ("fe80::1", false, true),
            ("172.32.0.1", false, false),
            ("8.8.8.8", false, false),
            ("2001:db8::1", false, false),
        ] {
            assert_eq!(answered(&own, client), by_none, "{client}");
            assert_eq!(answered(&local, client), by_default, "{client}");
        }
    }

    #[test]
    fn zero_is_no_limit() {
        let limiter = RateLimiter::new([1; 16]);

        let counts = run(&limiter, &limits(0, 0), (0..10_000).map(|_| (SECOND, address(1))));

        assert_eq!(counts, [10_000, 0, 0]);
    }

    #[test]
    fn slip_says_how_many_of_the_limited_get_a_reply() {
        for (slip, least, most) in [(0, 0, 0), (1, 10_000, 10_000), (2, 4_800, 5_200)] {
            let limiter = RateLimiter::new([1; 16]);
            let limits = RateLimit { slip, ..limits(1, 0) };
            let mut rng = SmallRng::seed_from_u64(7);
            let mut verdict = || limiter.check(&limits, address(1), Duration::ZERO, &mut rng);
            assert_eq!(verdict(), Verdict::Answer);

            let verdicts = (0..10_000).map(|_| verdict());
            let slipped = verdicts.filter(|v| *v == Verdict::Slip(Scope::Address)).count();

            assert!((least..=most).contains(&slipped), "{slip}: {slipped}");
        }
    }

    #[test]
    fn a_million_forged_sources_leave_honest_clients_alone() {
        let limiter = RateLimiter::new([2; 16]);
        let limits = limits(1_000, 0);

        // A million queries in a second, each from another source; 100 honest clients in between.
        let forged = (0..1_000_000_u32).map(|i| (u64::from(i) * 1_000, address(i << 8)));
        let honest = |i: u32| (u64::from(i) * 1_000, address(0xc000_0000 + i / 1_000 % 100));
        let queries = forged.flat_map(|query| {
            let i = u32::try_from(query.0 / 1_000).unwrap();
            [Some(query), (i % 100 == 0).then(|| honest(i))].into_iter().flatten()
        });
        let counts = run(&limiter, &limits, queries);

        assert_eq!(counts, [1_010_000, 0, 0]);
    }

    #[test]
    fn a_hundred_hot_addresses_limit_nobody_else() {
        let limiter = RateLimiter::new([3; 16]);
        let limits = limits(10, 0);
        let hot = (0..100_000).map(|i| (SECOND, address(i % 100)));
        assert_eq!(run(&limiter, &limits, hot), [1_000, 99_000, 0]);

        let others = run(&limiter, &limits, (0..60_000).map(|i| (SECOND, address(1_000 + i))));

        // The chance of one to share both buckets is 1 in 430,000; here, by the key, nobody does.
        assert_eq!(others, [60_000, 0, 0]);
    }

    proptest! {
        #[test]
        fn who_keeps_to_the_rate_is_never_limited(
            rate in 1..2_000_u32,
            start in 0..u64::from(u32::MAX),
            gaps in proptest::collection::vec(0..3_u64, 1..200),
            key in any::<[u8; 16]>(),
        ) {
            let limiter = RateLimiter::new(key);
            let (mut now, pace) = (start, SECOND / u64::from(rate) + 1);
            // As many at once as the rate, then one for each pace that passes.
            let mut owed = u64::from(rate.min(50));
            let mut times = Vec::new();
            for gap in gaps {
                now += gap * pace;
                owed = (owed + gap).min(u64::from(rate));
                times.extend((0..owed.min(3)).map(|_| now));
                owed -= owed.min(3);
            }
            let asked = times.len();

            let counts = run(&limiter, &limits(rate, 0), times.into_iter().map(|t| (t, address(1))));

            prop_assert_eq!(counts, [asked, 0, 0]);
        }

        #[test]
        fn a_flood_of_any_shape_gets_no_more_than_burst_and_rate(
            rate in 1..500_u32,
            gaps in proptest::collection::vec(0..SECOND / 50, 1..2_000),
        ) {
            let limiter = RateLimiter::new([4; 16]);
            let times: Vec<u64> = gaps.iter().scan(SECOND, |now, gap| {
                *now += gap;
                Some(*now)
            }).collect();
            let span = times[times.len() - 1] - times[0];

            let flood = times.iter().map(|time| (*time, address(1)));
            let [answered, ..] = run(&limiter, &limits(rate, 0), flood);

            let most = u64::from(rate) + span / (SECOND / u64::from(rate)) + 1;
            prop_assert!(answered as u64 <= most, "{} over {}", answered, most);
        }
    }
}
