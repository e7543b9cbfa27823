//! The clients that ask most, in a table of fixed size: how often those behind each ask.
//!
//! Queries update it with a handful of relaxed atomics: no lock, no allocation, and no growth,
//! whoever asks. Two that meet in a place lose one update, which an estimate survives. Only who has
//! been silent for long makes room, so that a flood of strangers displaces nobody who counts.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::balance::cast;
use crate::balance::rate::{Estimate, Gaps};
use crate::model::Millis;

/// The clients of one pool, or the keys that are asked for.
#[derive(Debug)]
pub(super) struct Clients {
    /// In seconds.
    record_ttl: f32,
    /// Nobody outside can tell who shares places with whom.
    seed: u64,
    sets: Box<[Set]>,
    /// Queries since the last survey of those that nothing is known of.
    strangers: AtomicU64,
    /// In which period the last survey was.
    surveyed: AtomicU64,
    /// Requests per second by the last survey, as the bits of a f32: behind one client on average,
    fleet: AtomicU32,
    /// and of all.
    total: AtomicU32,
}

/// The places that a client may have: one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([Place; 4]);

#[derive(Debug, Default)]
struct Place {
    /// A [`Sight`]; 0 while the place is free.
    sight: AtomicU64,
    /// Mean and shortest of [`Gaps`], a [`Pair`].
    gaps: AtomicU64,
}

/// How far the traffic hangs on one client.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Concentration {
    /// The share of all requests that the cache of one client answers.
    pub(super) share: f64,
    /// For how many requests it uses one answer.
    pub(super) later: f64,
}

impl Clients {
    /// Knows nobody yet. `record_ttl` is in seconds.
    pub(super) fn new(record_ttl: f32, seed: u64) -> Self {
        Self {
            record_ttl,
            seed,
            sets: std::iter::repeat_with(Set::default).take(1 << SETS).collect(),
            strangers: AtomicU64::new(0),
            surveyed: AtomicU64::new(u64::MAX),
            fleet: AtomicU32::new(0),
            total: AtomicU32::new(0),
        }
    }

    /// Counts a query of `client` and says what is known of those behind it.
    pub(super) fn note(&self, client: u64, now: Millis) -> Estimate {
        if self.surveyed.load(Relaxed) != now.0 >> PERIOD {
            self.survey(now);
        }
        let (set, tag) = self.set_of(client);
        let (mut silence, mut place) = (0, None);
        for other in &set.0 {
            let sight = Sight(other.sight.load(Relaxed));
            if sight.tag() == tag {
                return self.heard(other, sight, now);
            }
            let other_silence = if sight.0 == 0 { u64::MAX } else { sight.silence(now) };
            if other_silence > silence {
                (silence, place) = (other_silence, Some(other));
            }
        }
        if let Some(place) = place.filter(|_| silence > self.patience()) {
            place.gaps.store(0, Relaxed);
            place.sight.store(Sight::new(tag, 0, now).0, Relaxed);
        }
        self.stranger()
    }

    /// What is known of those behind `client`. Counts nothing.
    pub(super) fn look(&self, client: u64) -> Estimate {
        let (set, tag) = self.set_of(client);
        let own = set.0.iter().find(|place| Sight(place.sight.load(Relaxed)).tag() == tag);
        own.and_then(|place| self.estimate(place)).unwrap_or_default()
    }

    /// All requests per second, as far as they are known; 0 when they are not.
    pub(super) fn total(&self) -> f32 {
        f32::from_bits(self.total.load(Relaxed))
    }

    /// How far the traffic hangs on the one client whose cache answers most.
    pub(super) fn concentration(&self, now: Millis) -> Concentration {
        let alive = self.places().filter(|place| !self.is_gone(place, now));
        let estimates = alive.filter_map(|place| self.estimate(place));
        let most = estimates.max_by(|a, b| a.unseen().total_cmp(&b.unseen()));
        let total = f64::from(self.total());
        let of = |most: Estimate| Concentration {
            share: (f64::from(most.unseen()) / total).min(1.0),
            later: most.later().into(),
        };
        most.filter(|_| total > 0.0).map(of).unwrap_or_default()
    }

    fn heard(&self, place: &Place, sight: Sight, now: Millis) -> Estimate {
        let seconds = sight.silence(now) as f32 / 1_000.0;
        let gaps = place_gaps(place, sight).after(seconds);
        place.gaps.store(Pair::of(gaps.mean, gaps.shortest).0, Relaxed);
        place.sight.store(Sight::new(sight.tag(), gaps.count, now).0, Relaxed);
        gaps.estimate(self.record_ttl, self.fleet()).unwrap_or_else(|| self.stranger())
    }

    /// A query that stands for itself, as far as one can tell.
    fn stranger(&self) -> Estimate {
        self.strangers.fetch_add(1, Relaxed);
        Estimate::default()
    }

    fn estimate(&self, place: &Place) -> Option<Estimate> {
        let sight = Sight(place.sight.load(Relaxed));
        place_gaps(place, sight).estimate(self.record_ttl, self.fleet())
    }

    fn fleet(&self) -> f32 {
        f32::from_bits(self.fleet.load(Relaxed))
    }

    /// Now and then a query looks at all places. Two that do it at once find the same.
    #[cold]
    fn survey(&self, now: Millis) {
        let period = now.0 >> PERIOD;
        let before = self.surveyed.swap(period, Relaxed);
        let strangers = self.strangers.swap(0, Relaxed) as f32;
        let (mut count, mut waited, mut total) = (0.0, 0.0, 0.0);
        for place in self.places().filter(|place| !self.is_gone(place, now)) {
            let gaps = place_gaps(place, Sight(place.sight.load(Relaxed)));
            let Some(estimate) = self.estimate(place) else { continue };
            total += estimate.rate;
            count += f32::from(gaps.count);
            waited += f32::from(gaps.count) * gaps.idle(self.record_ttl);
        }
        if count > 0.0 {
            // Queries over time waited: those that few wait for have the most to say.
            self.fleet.store((count / waited).to_bits(), Relaxed);
        }
        let periods = period.saturating_sub(before).max(1);
        let seconds = (periods << PERIOD) as f32 / 1_000.0;
        self.total.store((total + strangers / seconds).to_bits(), Relaxed);
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        let all = self.sets.iter().flat_map(|set| &set.0);
        all.filter(|place| place.sight.load(Relaxed) != 0)
    }

    /// Whether the client has been silent for much longer than it used to be.
    fn is_gone(&self, place: &Place, now: Millis) -> bool {
        let sight = Sight(place.sight.load(Relaxed));
        let usual = 1_000.0 * (self.record_ttl + 4.0 * place_gaps(place, sight).mean);
        sight.silence(now) as f32 > usual
    }

    /// After how many milliseconds of silence a place goes to another: who asks more seldom stands
    /// for hardly more than its own query.
    fn patience(&self) -> u64 {
        cast::whole(f64::from(self.record_ttl + 1.0) * 2_000.0)
    }

    fn set_of(&self, client: u64) -> (&Set, u64) {
        let spread = (client ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let set = &self.sets[cast::index(spread >> (64 - SETS))];
        // 0 would look like nobody.
        (set, (spread >> 8 & Sight::TAGS).max(1))
    }
}

fn place_gaps(place: &Place, sight: Sight) -> Gaps {
    let (mean, shortest) = Pair(place.gaps.load(Relaxed)).get();
    Gaps { count: sight.count(), mean, shortest }
}

/// Who was seen and when, and how often before: a tag (24 bits), a count (6), and milliseconds
/// (34, which is half a year, wrapping).
#[derive(Clone, Copy)]
struct Sight(u64);

impl Sight {
    fn new(tag: u64, count: u8, now: Millis) -> Self {
        Self(tag << 40 | u64::from(count) << 34 | now.0 & Self::TIMES)
    }

    fn tag(self) -> u64 {
        self.0 >> 40
    }

    fn count(self) -> u8 {
        u8::try_from(self.0 >> 34 & 0x3f).unwrap_or(0)
    }

    /// Milliseconds since; none when another thread's clock is ahead.
    fn silence(self, now: Millis) -> u64 {
        let since = now.0.wrapping_sub(self.0) & Self::TIMES;
        if since > Self::TIMES / 2 { 0 } else { since }
    }

    const TAGS: u64 = (1 << 24) - 1;
    const TIMES: u64 = (1 << 34) - 1;
}

/// Two numbers that are read and written together.
#[derive(Clone, Copy)]
struct Pair(u64);

impl Pair {
    fn of(first: f32, second: f32) -> Self {
        Self(u64::from(first.to_bits()) << 32 | u64::from(second.to_bits()))
    }

    fn get(self) -> (f32, f32) {
        let number = |bits: u64| f32::from_bits(u32::try_from(bits).unwrap_or(0));
        (number(self.0 >> 32), number(self.0 & u64::from(u32::MAX)))
    }
}

/// 2^6 sets of four places: 4 KiB.
const SETS: u32 = 6;

/// Surveys are 2^12 ms apart.
const PERIOD: u32 = 12;

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use rand::RngExt;

    use super::*;
    use crate::balance::exponential::exponential;
    use crate::balance::hash::key_hash;
    use crate::balance::testing::rng;

    const TTL: f32 = 5.0;

    /// Feeds the queries of caches with these request rates for so many seconds.
    fn fed(rates: &[f64], seconds: u64) -> Clients {
        let (clients, mut rng) = (Clients::new(TTL, 7), rng(1));
        let mut wait = |rate: f64| cast::whole(exponential(rng.random()) / rate * 1_000.0);
        // The next query of each, the first of all on top.
        let mut due: BinaryHeap<_> =
            (0..rates.len()).map(|i| (u64::MAX - wait(rates[i]), i)).collect();
        while let Some((at, i)) = due.pop() {
            let now = u64::MAX - at;
            if now > seconds * 1_000 {
                break;
            }
            clients.note(who(i), Millis(now));
            due.push((at - 5_000 - wait(rates[i]), i));
        }
        clients
    }

    fn who(i: usize) -> u64 {
        key_hash(format!("client-{i}").as_bytes())
    }

    /// 800 requests per second over resolvers whose sizes follow Zipf's law.
    fn zipf(n: usize) -> Vec<f64> {
        let all: f64 = (1..=n).map(|i| 1.0 / i as f64).sum();
        (1..=n).map(|i| 800.0 / all / i as f64).collect()
    }

    #[test]
    fn heavy_clients_are_told_from_light_ones() {
        let rates = zipf(100);
        let clients = fed(&rates, 600);

        for i in [0, 1, 4, 9, 40] {
            let seen = f64::from(clients.look(who(i)).rate);
            assert!((0.5..2.0).contains(&(seen / rates[i])), "{i}: {seen} for {}", rates[i]);
        }
        let (total, concentration) = (clients.total(), clients.concentration(Millis(600_000)));
        assert!((560.0..1_200.0).contains(&total), "{total}");
        let share = rates[0] / 800.0;
        assert!((concentration.share / share - 1.0).abs() < 0.4, "{concentration:?} {share}");
        assert!(concentration.later > 300.0, "{concentration:?}");
    }

    #[test]
    fn more_clients_than_places_leave_the_heavy_ones_where_they_are() {
        let rates = zipf(2_000);
        let clients = fed(&rates, 600);

        for i in [0, 1, 4, 9] {
            let seen = f64::from(clients.look(who(i)).rate);
            assert!((0.4..2.5).contains(&(seen / rates[i])), "{i}: {seen} for {}", rates[i]);
        }
        let total = clients.total();
        assert!((400.0..1_600.0).contains(&total), "{total}");
    }

    #[test]
    fn a_flood_of_strangers_displaces_nobody_who_asks() {
        let clients = Clients::new(TTL, 7);
        let mut rng = rng(3);
        for query in 0..200_u64 {
            clients.note(who(1), Millis(query * 5_050));
            (0..500).for_each(|_| _ = clients.note(rng.random(), Millis(query * 5_050 + 10)));
        }

        let estimate = clients.look(who(1));
        assert!(estimate.later() > 20.0, "{estimate:?}");
    }

    #[test]
    fn who_asks_for_each_request_is_taken_for_what_is_seen() {
        let clients = Clients::new(TTL, 7);
        for query in 0..20_000_u64 {
            clients.note(who(1), Millis(query * 7));
        }

        let concentration = clients.concentration(Millis(140_000));
        assert!(clients.look(who(1)).later() < 0.1 && concentration.share < 0.1);
        assert!((100.0..200.0).contains(&clients.total()), "{}", clients.total());
    }

    #[test]
    fn nothing_is_known_of_nobody() {
        let clients = Clients::new(TTL, 7);

        assert_eq!(clients.note(who(1), Millis(0)), Estimate::default());
        assert_eq!(clients.note(who(1), Millis(5_000)), Estimate::default());
        assert_eq!(clients.look(who(2)).later(), 0.0);
        assert_eq!(clients.concentration(Millis(5_000)), Concentration::default());
    }

    #[test]
    fn who_is_gone_counts_no_more() {
        let clients = fed(&[100.0, 1.0], 300);
        assert!(clients.concentration(Millis(300_000)).share > 0.8);

        assert!(clients.concentration(Millis(400_000)).share < 0.1);
    }

    #[test]
    fn a_table_is_of_four_kib() {
        assert_eq!(size_of::<Set>() << SETS, 4_096);
    }
}
