//! What is known of one instance's load: its last report, and what was handed out since.
//!
//! One meter lives as long as its instance and is shared by all pools that hold it. The engine
//! writes reports; queries read them and count what they hand out. Reads are wait-free.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::balance::cast;
use crate::model::{Load, Millis};

/// The load of one instance.
#[derive(Debug)]
pub struct Meter {
    /// Connections and capacity of the last report, two f32 in one word so that they are read
    /// together; NaN stands for what it did not say.
    gauge: AtomicU64,
    /// When the last report came; `Millis::NEVER` before the first.
    at: AtomicU64,
    /// Milliseconds that a request takes by the last report, the bits of a f32; NaN when it did not
    /// say.
    latency: AtomicU32,
    /// Answers handed out since the report.
    handed: Fading,
    /// Answers handed out between the last two reports, and the milliseconds between them as
    /// [`lasting`], packed like the gauge; NaN before the second.
    period: AtomicU64,
    /// The milliseconds between the last two reports; 0 before the second.
    interval: AtomicU64,
    /// Requests that caches will make of these answers.
    promised: Fading,
    /// For how many milliseconds caches keep them.
    kept: AtomicU32,
    /// Whether its keys go elsewhere, since it has too much of the load.
    spilling: AtomicBool,
    last: ArcSwapOption<Reported>,
}

/// A load report and when it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// What the instance said.
    pub load: Load,
    /// When.
    pub at: Millis,
}

/// A meter that is made when somebody first looks: most instances report nothing, and most
/// algorithms do not ask.
#[derive(Debug, Default)]
pub struct LazyMeter(OnceLock<Arc<Meter>>);

impl LazyMeter {
    /// The meter.
    pub fn meter(&self) -> &Arc<Meter> {
        self.0.get_or_init(Arc::default)
    }

    /// The last report, however old.
    #[must_use]
    pub fn reported(&self) -> Option<Reported> {
        self.0.get()?.reported()
    }
}

/// How long a report is believed.
pub const REPORT_TTL: Duration = Duration::from_secs(90);

/// One answer's worth of [`Meter::hand_out`].
pub(super) const ONE: u32 = 1 << 16;

impl Meter {
    /// A meter without a report.
    #[must_use]
    pub fn new() -> Self {
        Self {
            gauge: AtomicU64::new(pack(None, None)),
            at: AtomicU64::new(Millis::NEVER.0),
            latency: AtomicU32::new(f32::NAN.to_bits()),
            handed: Fading::default(),
            period: AtomicU64::new(pack(None, None)),
            interval: AtomicU64::new(0),
            promised: Fading::default(),
            kept: AtomicU32::new(0),
            spilling: AtomicBool::new(false),
            last: ArcSwapOption::empty(),
        }
    }

    /// Takes a report that was read at `now`. What was handed out before it is in it, and is
    /// forgotten. Called by the engine only.
    pub fn report(&self, load: Load, now: Millis) {
        self.last.store(Some(Arc::new(Reported { load, at: now })));
        self.gauge.store(pack(load.connections, load.capacity), Ordering::Relaxed);
        let latency = load.latency_ms.map_or(f32::NAN, bounded);
        self.latency.store(latency.to_bits(), Ordering::Relaxed);
        self.interval.store(self.age(now), Ordering::Relaxed);
        let period = lasting(self.age(now));
        if period > 0.0 {
            let handed = pack(Some(self.handed.amount(now)), Some(period));
            self.period.store(handed, Ordering::Relaxed);
        }
        self.handed.clear(now);
        self.promised.clear(now);
        self.at.store(now.0, Ordering::Relaxed);
    }

    /// The last report, however old.
    #[must_use]
    pub fn reported(&self) -> Option<Reported> {
        self.last.load().as_deref().copied()
    }

    /// The connections of a report that is still believed.
    pub(super) fn connections(&self, now: Millis) -> Option<f64> {
        let at = self.at.load(Ordering::Relaxed);
        let (connections, _) = unpack(self.gauge.load(Ordering::Relaxed));
        let fresh = at != Millis::NEVER.0 && now.since(Millis(at)) < REPORT_TTL;
        connections.filter(|_| fresh)
    }

    /// How many connections it can hold: what it last said, else its static weight x 100.
    pub(super) fn capacity(&self, weight: u16) -> f64 {
        let (_, capacity) = unpack(self.gauge.load(Ordering::Relaxed));
        capacity.unwrap_or_else(|| f64::from(weight) * 100.0)
    }

    /// How many answers' worth was handed out since the report, fading by [`FADE`] per tick.
    pub(super) fn handed_out(&self, now: Millis) -> f64 {
        self.handed.amount(now)
    }

    /// How many answers' worth was handed out between the last two reports, and the milliseconds
    /// between them as they fade.
    pub(super) fn period(&self) -> Option<(f64, f64)> {
        let (handed, period) = unpack(self.period.load(Ordering::Relaxed));
        handed.zip(period)
    }

    /// How many answers' worth was handed out since the report beyond what `pace` per millisecond
    /// makes, fading in the same way. That much more, or less, is open now than was reported, when as
    /// many end as begin.
    pub(super) fn ahead_of(&self, pace: f64, now: Millis) -> f64 {
        self.handed.amount(now) - pace * lasting(self.age(now))
    }

    /// How many requests come from one report to the next, where one is believed and says how many
    /// it is sent, or how many it has and for how long. `None` before the second report, too, unless
    /// that keeps one waiting.
    pub(super) fn between_reports(&self, now: Millis) -> Option<f64> {
        let (interval, age) = (self.interval.load(Ordering::Relaxed), self.age(now));
        let connections = self.connections(now).filter(|_| interval > 0 || age > WAIT)?;
        let load = self.reported()?.load;
        // Little's law.
        let by_time = || Some(connections / (load.latency_ms? / 1000.0));
        let rate = load.qps.or_else(by_time).filter(|rate| rate.is_finite())?;
        Some(rate * Duration::from_millis(interval.max(age)).as_secs_f64())
    }

    /// Milliseconds since the report; 0 before the first.
    fn age(&self, now: Millis) -> u64 {
        now.0.saturating_sub(self.at.load(Ordering::Relaxed))
    }

    /// Counts `share` (of [`ONE`]) of an answer as handed out.
    pub(super) fn hand_out(&self, share: u32, now: Millis) {
        self.handed.add(share.into(), now);
    }

    /// Counts `share` (of [`ONE`]) of a request as what a cache will make of an answer that it keeps
    /// for `kept` milliseconds.
    pub(super) fn promise(&self, share: u64, kept: u32, now: Millis) {
        self.kept.store(kept, Ordering::Relaxed);
        self.promised.add(share, now);
    }

    /// How many connections of what was handed out since the report are open. `None` when the
    /// instance does not say how long a request takes.
    pub(super) fn in_flight(&self, now: Millis) -> Option<f64> {
        let latency = f64::from(f32::from_bits(self.latency.load(Ordering::Relaxed)));
        if latency.is_nan() {
            return None;
        }
        let age = now.since(Millis(self.at.load(Ordering::Relaxed))).as_secs_f64() * 1000.0;
        // Little's law: requests a millisecond, times the milliseconds that each takes. Those of a
        // cache come over the life of its answer.
        let open = |requests: f64, over: f64| match requests {
            0.0 => 0.0,
            _ => requests * (latency / over.max(age).max(f64::MIN_POSITIVE)).min(1.0),
        };
        let kept = f64::from(self.kept.load(Ordering::Relaxed));
        let now = |fading: &Fading| fading.amount(now);
        Some(open(now(&self.handed), latency) + open(now(&self.promised), latency + kept))
    }

    /// Whether its keys go elsewhere.
    pub(super) fn spilling(&self) -> bool {
        self.spilling.load(Ordering::Relaxed)
    }

    /// Says whether its keys go elsewhere.
    pub(super) fn set_spilling(&self, spilling: bool) {
        self.spilling.store(spilling, Ordering::Relaxed);
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

/// An amount that fades by [`FADE`] per tick, as [`Handed`].
#[derive(Debug, Default)]
struct Fading(AtomicU64);

impl Fading {
    fn amount(&self, now: Millis) -> f64 {
        Handed(self.0.load(Ordering::Relaxed)).amount(now) / f64::from(ONE)
    }

    fn clear(&self, now: Millis) {
        self.0.store(Handed::new(0, now).0, Ordering::Relaxed);
    }

    fn add(&self, share: u64, now: Millis) {
        let seen = Handed(self.0.load(Ordering::Relaxed));
        if seen.age(now) > 0 {
            // Once per tick: fade, then add. Losing the race only loses this one share.
            let faded = Handed::new(cast::whole(seen.amount(now)) + share, now);
            let relaxed = Ordering::Relaxed;
            if self.0.compare_exchange(seen.0, faded.0, relaxed, relaxed).is_ok() {
                return;
            }
        }
        // Far more than anyone can hold, and far from running over into the tick.
        if seen.0 & Handed::MOST < Handed::MOST / 2 {
            self.0.fetch_add(share.min(LARGEST), Ordering::Relaxed);
        }
    }
}

/// An amount in units of 1/[`ONE`] (low 44 bits) as it was in a tick (high 20 bits, wrapping).
#[derive(Clone, Copy)]
struct Handed(u64);

impl Handed {
    fn new(amount: u64, now: Millis) -> Self {
        Self(tick(now) << Self::BITS | amount.min(Self::MOST))
    }

    fn tick(self) -> u64 {
        self.0 >> Self::BITS
    }

    /// How many ticks ago it was; none when the time of whoever wrote it is ahead.
    fn age(self, now: Millis) -> u64 {
        let ticks = tick(now).wrapping_sub(self.tick()) & TICKS;
        if ticks > TICKS - AHEAD { 0 } else { ticks }
    }

    fn amount(self, now: Millis) -> f64 {
        let ticks = usize::try_from(self.age(now)).ok();
        let fade = ticks.and_then(|ticks| FADED.get(ticks)).unwrap_or(&0.0);
        (self.0 & Self::MOST) as f64 * fade
    }

    const BITS: u32 = 44;
    const MOST: u64 = (1 << Self::BITS) - 1;
}

/// What is left, at one a millisecond, of so many milliseconds that faded as [`Fading`] does.
fn lasting(millis: u64) -> f64 {
    let (ticks, rest) = (cast::index(millis >> 10), (millis & 1023) as f64 / 1024.0);
    let left = |ticks: usize| FADED.get(ticks).unwrap_or(&0.0);
    // Straight between two ticks, which is near enough.
    let left = left(ticks) + (left(ticks + 1) - left(ticks)) * rest;
    (1.0 - left) * 1024.0 / (1.0 - FADE)
}

/// About a second.
fn tick(now: Millis) -> u64 {
    (now.0 >> 10) & TICKS
}

fn pack(connections: Option<f64>, capacity: Option<f64>) -> u64 {
    let bits = |number: Option<f64>| u64::from(number.map_or(f32::NAN, bounded).to_bits());
    bits(connections) << 32 | bits(capacity)
}

/// No number that is reported may be so large that sums and ratios of several are none.
fn bounded(number: f64) -> f32 {
    cast::single(number.min(MOST))
}

fn unpack(gauge: u64) -> (Option<f64>, Option<f64>) {
    let number = |bits: u64| {
        let number = f32::from_bits(u32::try_from(bits).unwrap_or(0));
        (!number.is_nan()).then_some(f64::from(number))
    };
    (number(gauge >> 32), number(gauge & u64::from(u32::MAX)))
}

const TICKS: u64 = (1 << 20) - 1;

/// How many ticks the time of one thread may be ahead of another's.
const AHEAD: u64 = 64;

/// The largest number that is reported.
const MOST: f64 = 1e12;

/// The most that is added at once: a million requests.
const LARGEST: u64 = (ONE as u64) << 20;

/// What is left after a tick: a time constant of 10 s. Without it an instance that joins a pool
/// that does not report would have to catch up with all that the others were ever handed.
const FADE: f64 = 0.902_668_3;

const FADED: [f64; 128] = {
    let mut faded = [1.0; 128];
    let mut i = 1;
    while i < faded.len() {
        faded[i] = faded[i - 1] * FADE;
        i += 1;
    }
    faded
};
/// Milliseconds after which a first report is old: most report every few seconds.
const WAIT: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn load(connections: Option<f64>, capacity: Option<f64>) -> Load {
        Load { connections, capacity, ..Load::default() }
    }

    #[test]
    fn a_report_is_believed_for_90_s_and_kept_longer() {
        let meter = Meter::new();
        assert_eq!((meter.reported(), meter.connections(Millis(0))), (None, None));

        let said = load(Some(17.0), Some(100.0));
        meter.report(said, Millis(5));

        assert_eq!(meter.connections(Millis(90_004)), Some(17.0));
        assert_eq!(meter.connections(Millis(90_005)), None);
        assert_eq!(meter.reported(), Some(Reported { load: said, at: Millis(5) }));
    }

    #[test]
    fn capacity_is_what_was_said_or_a_hundred_per_weight() {
        let meter = Meter::new();
        assert_eq!(meter.capacity(3), 300.0);

        meter.report(load(None, Some(40.0)), Millis(0));

        assert_eq!((meter.capacity(3), meter.connections(Millis(0))), (40.0, None));
    }

    #[test]
    fn what_was_handed_out_fades_and_a_report_replaces_it() {
        let meter = Meter::new();
        for _ in 0..100 {
            meter.hand_out(ONE / 2, Millis(0));
        }
        assert_eq!(meter.handed_out(Millis(1_023)), 50.0);

        // A time constant later 1/e is left, and adding to it does not change that.
        let faded = meter.handed_out(Millis(10_240));
        assert!((faded - 50.0 / std::f64::consts::E).abs() < 0.5, "{faded}");
        meter.hand_out(ONE, Millis(10_240));
        assert!((meter.handed_out(Millis(10_240)) - faded - 1.0).abs() < 0.01);
        assert_eq!(meter.handed_out(Millis(1_000_000)), 0.0);

        meter.report(load(Some(30.0), None), Millis(10_300));
        assert_eq!(meter.handed_out(Millis(10_300)), 0.0);
    }

    #[test]
    fn a_worker_whose_time_is_a_little_older_loses_nothing() {
        let meter = Meter::new();
        (0..10).for_each(|_| meter.hand_out(ONE, Millis(10_240)));

        // One batch of queries is answered as of one moment, which may be before that tick.
        assert_eq!(meter.handed_out(Millis(10_239)), 10.0);
        meter.hand_out(ONE, Millis(10_239));
        assert_eq!(meter.handed_out(Millis(10_240)), 11.0);
    }

    #[test]
    fn numbers_out_of_all_proportion_stay_numbers() {
        let meter = Meter::new();
        let all = |n: f64| Load {
            connections: Some(n),
            capacity: Some(n),
            latency_ms: Some(n),
            ..Load::default()
        };

        for absurd in [0.0, f64::MIN_POSITIVE, 1e300, f64::MAX] {
            meter.report(all(absurd), Millis(0));
            meter.hand_out(ONE, Millis(0));
            let known = [
                meter.connections(Millis(0)).unwrap(),
                meter.capacity(1),
                meter.in_flight(Millis(0)).unwrap(),
            ];
            assert!(known.iter().all(|n| n.is_finite() && *n >= 0.0), "{absurd}: {known:?}");
        }
    }

    #[test]
    fn workers_hand_out_together() {
        let meter = Meter::new();

        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| meter.hand_out(ONE, Millis(0))));
            }
        });

        assert_eq!(meter.handed_out(Millis(0)), 8_000.0);
    }
}
