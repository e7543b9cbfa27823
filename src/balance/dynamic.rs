//! Dynamic weights of `weighted_round_robin`: how fast each instance turns out to be.
//!
//! Speed is completed requests over utilisation, qps / (cpu + eps/qps). It does not depend on how
//! much an instance was given, so that weights that follow it settle; weights from utilisation
//! alone swing (gRPC A58; reference F5). The registry keeps one of these per service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::cast;
use crate::balance::meter::{Meter, REPORT_TTL, Reported};
use crate::model::{InstanceId, Millis};

/// The dynamic weights of one service.
#[derive(Debug, Default)]
pub struct Dynamic {
    speeds: HashMap<InstanceId, Speed, foldhash::fast::RandomState>,
    /// Whether dynamic weights are in force.
    active: bool,
    published: Option<Millis>,
}

impl Dynamic {
    /// Nothing known yet: static weights are in force.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the members' meters, at best about once a second. Returns the weights now in force,
    /// in the members' order, when one of them moved by a step and 5 s have passed since the last
    /// time; else `None`.
    ///
    /// | members whose speed is known | weights |
    /// |---|---|
    /// | fewer than 2 | static |
    /// | this one is | static x speed / mean speed, in steps of 5 % |
    /// | others are | static |
    pub fn update(
        &mut self,
        members: &[(InstanceId, u16, Arc<Meter>)],
        record_ttl: Duration,
        now: Millis,
    ) -> Option<Vec<u32>> {
        let smoothing = SMOOTHING.max(record_ttl * 2);
        for (id, _, meter) in members {
            let Some(report) = meter.reported() else { continue };
            if !self.speeds.contains_key(id) {
                self.speeds.insert(id.clone(), Speed::default());
            }
            if let Some(speed) = self.speeds.get_mut(id) {
                speed.hear(report, smoothing);
                speed.seen = now;
            }
        }
        self.speeds.retain(|_, speed| speed.seen == now);
        if self.published.is_some_and(|at| now.since(at) < PUBLISH_EVERY) || !self.publish(now) {
            return None;
        }
        self.published = Some(now);
        Some(members.iter().map(|(id, weight, _)| self.current(id, *weight)).collect())
    }

    /// The weight in force of an instance.
    #[must_use]
    pub fn current(&self, id: &InstanceId, static_weight: u16) -> u32 {
        if !self.active {
            return static_weight.into();
        }
        let factor = self.speeds.get(id).map_or(1.0, |speed| STEP.powf(speed.step));
        let weight = (f64::from(static_weight) * SCALE * factor).round();
        cast::unit(cast::index(cast::whole(weight))).max(1)
    }

    /// Moves the steps to where they belong, or towards it. Whether one moved.
    fn publish(&mut self, now: Millis) -> bool {
        let known: Vec<f64> = self.speeds.values().filter_map(|speed| speed.known(now)).collect();
        let active = known.len() >= 2;
        let typical = Typical::of(known);
        let mut moved = active != self.active;
        for speed in self.speeds.values_mut() {
            if !active {
                // Static weights are in force: that is where steps begin again.
                speed.step = 0.0;
                continue;
            }
            let relative = speed.known(now).map(|known| typical.relative(known));
            let target = relative.unwrap_or(1.0).ln() / STEP.ln();
            // A whole step off, so that a value between two steps does not swing between them.
            if (target - speed.step).abs() >= 1.0 {
                speed.step = target.round().clamp(speed.step - LEAP, speed.step + LEAP);
                moved = true;
            }
        }
        self.active = active;
        moved
    }
}

/// What is known of one instance's speed.
#[derive(Debug, Default)]
struct Speed {
    /// The moving average, since the first report of an unbroken series that told a speed.
    average: Option<(f64, Millis)>,
    /// When the last report came that was heard.
    heard: Millis,
    /// When it was last a member.
    seen: Millis,
    /// What is published: the weight is the mean's x 1.05^step. A whole number.
    step: f64,
}

impl Speed {
    fn hear(&mut self, report: Reported, smoothing: Duration) {
        let gap = report.at.since(self.heard);
        if gap >= REPORT_TTL {
            self.average = None;
        }
        let Some(speed) = speed(&report).filter(|_| self.average.is_none() || !gap.is_zero())
        else {
            return;
        };
        self.average = Some(match self.average {
            None => (speed, report.at),
            Some((average, since)) => {
                let fade = (-gap.as_secs_f64() / smoothing.as_secs_f64()).exp();
                (speed + (average - speed) * fade, since)
            }
        });
        self.heard = report.at;
    }

    /// The average, once it is old enough to be used and while it is fresh.
    fn known(&self, now: Millis) -> Option<f64> {
        let (average, since) = self.average?;
        let fresh = now.since(self.heard) < REPORT_TTL;
        (fresh && now.since(since) >= BLACKOUT).then_some(average)
    }
}

/// The speed that a report tells: none when the instance is as good as idle, where it is noise.
fn speed(report: &Reported) -> Option<f64> {
    let (qps, cpu) = (report.load.qps?, report.load.cpu?);
    let failed = report.load.eps.unwrap_or(0.0) / qps;
    (qps > 0.0 && cpu >= IDLE).then(|| (qps / (cpu + failed)).clamp(SPEEDS.0, SPEEDS.1))
}

/// The mean of speeds, of which none counts as more than ten times faster or slower than the
/// median.
struct Typical {
    mean: f64,
    range: (f64, f64),
}

impl Typical {
    fn of(mut speeds: Vec<f64>) -> Self {
        speeds.sort_unstable_by(f64::total_cmp);
        let median = speeds.get(speeds.len() / 2).copied().unwrap_or(1.0);
        let range = (median / 10.0, median * 10.0);
        let sum: f64 = speeds.iter().map(|speed| speed.clamp(range.0, range.1)).sum();
        Self { mean: sum / speeds.len() as f64, range }
    }

    fn relative(&self, speed: f64) -> f64 {
        speed.clamp(self.range.0, self.range.1) / self.mean
    }
}

/// The least time constant of the moving average.
const SMOOTHING: Duration = Duration::from_secs(10);

/// How long an instance reports before its speed is used.
const BLACKOUT: Duration = Duration::from_secs(10);

/// How often weights are published at most.
const PUBLISH_EVERY: Duration = Duration::from_secs(5);

/// No speed is so small or large that sums and ratios of several are none.
const SPEEDS: (f64, f64) = (1e-6, 1e9);

/// Utilisation under which speed is noise.
const IDLE: f64 = 0.05;

/// Weights move in steps of 5 %, at most four at a time: less than x 1.25.
const STEP: f64 = 1.05;
const LEAP: f64 = 4.0;

/// What the mean speed weighs, times the static weight: steps stay apart in whole numbers.
const SCALE: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::balance::testing::rng;
    use crate::model::Load;

    const TTL: Duration = Duration::from_secs(5);

    fn members(statics: &[u16]) -> Vec<(InstanceId, u16, Arc<Meter>)> {
        let member = |(i, &weight): (usize, &u16)| {
            (InstanceId::new(&format!("web-{i}")).unwrap(), weight, Arc::new(Meter::new()))
        };
        statics.iter().enumerate().map(member).collect()
    }

    fn load(qps: f64, cpu: f64) -> Load {
        Load { qps: Some(qps), cpu: Some(cpu), ..Load::default() }
    }

    /// Seconds from `from` to `to`, one report and one update in each; the last weights returned.
    fn run(
        dynamic: &mut Dynamic,
        members: &[(InstanceId, u16, Arc<Meter>)],
        loads: &[Load],
        seconds: std::ops::Range<u64>,
    ) -> Option<Vec<u32>> {
        let mut last = None;
        for second in seconds {
            let now = Millis(second * 1000);
            members.iter().zip(loads).for_each(|((.., meter), load)| meter.report(*load, now));
            last = dynamic.update(members, TTL, now).or(last);
        }
        last
    }

    #[test]
    fn weights_become_the_ratio_of_speeds() {
        let (mut dynamic, members) = (Dynamic::new(), members(&[1, 1]));

        let weights = run(&mut dynamic, &members, &[load(100.0, 0.5), load(300.0, 0.5)], 0..60);

        // Speeds 200 and 600 of a mean of 400: half, and one and a half, within half a step.
        let weights = weights.unwrap();
        assert_eq!(weights, [505, 1477]);
        assert_eq!(dynamic.current(&members[1].0, 1), 1477);
    }

    #[test]
    fn static_weights_multiply_and_the_unknown_are_at_the_mean() {
        let (mut dynamic, members) = (Dynamic::new(), members(&[10, 1, 7]));

        let loads = [load(100.0, 0.5), load(100.0, 0.5)];
        assert_eq!(run(&mut dynamic, &members, &loads, 0..20), Some(vec![10_000, 1_000, 7_000]));
    }

    #[test]
    fn weights_are_static_until_two_have_reported_for_ten_seconds() {
        let (mut dynamic, members) = (Dynamic::new(), members(&[1, 2, 3]));
        let fast = load(100.0, 0.1);

        assert_eq!(run(&mut dynamic, &members, &[fast], 0..30), None);
        assert_eq!(run(&mut dynamic, &members, &[fast, load(100.0, 0.5)], 30..40), None);
        assert_eq!(dynamic.current(&members[2].0, 3), 3);
        assert!(run(&mut dynamic, &members, &[fast, load(100.0, 0.5)], 40..41).is_some());
    }

    #[test]
    fn when_reports_end_static_weights_return() {
        let (mut dynamic, members) = (Dynamic::new(), members(&[1, 2]));
        run(&mut dynamic, &members, &[load(100.0, 0.5), load(300.0, 0.5)], 0..60);

        assert_eq!(dynamic.update(&members, TTL, Millis(148_000)), None);
        assert_eq!(dynamic.update(&members, TTL, Millis(150_000)), Some(vec![1, 2]));
    }

    #[test]
    fn who_was_silent_for_long_reports_for_ten_seconds_again() {
        let (mut dynamic, members) = (Dynamic::new(), members(&[1, 1]));
        let loads = [load(100.0, 0.5), load(300.0, 0.5)];
        run(&mut dynamic, &members, &loads, 0..60);
        dynamic.update(&members, TTL, Millis(155_000));

        assert_eq!(run(&mut dynamic, &members, &loads, 200..210), None);
        assert!(run(&mut dynamic, &members, &loads, 210..211).is_some());
    }

    #[test]
    fn what_wavers_by_less_than_a_step_is_not_published() {
        let (mut dynamic, members) = (Dynamic::new(), members(&[1; 10]));
        let mut rng = rng(2);
        // Not over 5 % off in one second, and so never when damped.
        let mut waver = |seconds: std::ops::Range<u64>| {
            let published = seconds.filter(|second| {
                let loads: Vec<Load> =
                    (0..10).map(|_| load(100.0, rng.random_range(0.475..0.525))).collect();
                run(&mut dynamic, &members, &loads, *second..*second + 1).is_some()
            });
            published.count()
        };
        waver(0..60);

        assert_eq!(waver(60..660), 0);
    }

    #[test]
    fn weights_are_published_at_most_every_five_seconds_and_by_less_than_a_quarter() {
        let (mut dynamic, members) = (Dynamic::new(), members(&[1, 1]));
        let mut published: Vec<(u64, Vec<u32>)> = Vec::new();
        for second in 0..60 {
            let loads = [load(100.0, 0.1), load(100.0, 0.9)];
            let weights = run(&mut dynamic, &members, &loads, second..second + 1);
            published.extend(weights.map(|weights| (second, weights)));
        }

        assert!(published.len() > 3);
        for pair in published.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= 5, "{published:?}");
            for (old, new) in pair[0].1.iter().zip(&pair[1].1) {
                let ratio = f64::from(*new) / f64::from(*old);
                assert!((0.8..=1.25).contains(&ratio), "{published:?}");
            }
        }
    }

    #[test]
    fn idle_instances_failures_and_outliers_do_not_mislead() {
        let (mut dynamic, members) = (Dynamic::new(), members(&[1; 5]));
        let failing = Load { eps: Some(50.0), ..load(100.0, 0.5) };
        let loads = [
            load(100.0, 0.5),
            load(1.0, 0.000_01),
            failing,
            load(100_000.0, 0.1),
            load(100.0, 0.5),
        ];

        let weights = run(&mut dynamic, &members, &loads, 0..200).unwrap();

        // Speeds 200, noise, 100, a million (counts as 2000), 200: the mean is 625.
        let expected = [200.0 / 625.0, 1.0, 100.0 / 625.0, 2000.0 / 625.0, 200.0 / 625.0];
        for (weight, expected) in weights.iter().zip(expected) {
            let ratio = f64::from(*weight) / 1000.0 / expected;
            assert!((0.95..1.06).contains(&ratio), "{weights:?}");
        }
    }

    #[test]
    fn absurd_reports_move_nobody_else() {
        for absurd in [
            load(1e300, 0.05),
            load(f64::MAX, 1e300),
            load(f64::MIN_POSITIVE, f64::MAX),
            Load { eps: Some(f64::MAX), ..load(f64::MIN_POSITIVE, 1.0) },
            load(0.0, 0.0),
        ] {
            let (mut dynamic, members) = (Dynamic::new(), members(&[1; 6]));
            let honest = load(100.0, 0.5);

            // Two of them: they may not make the mean absurd either.
            let loads = [absurd, absurd, honest, honest, honest, honest];
            let weights = run(&mut dynamic, &members, &loads, 0..300).unwrap();

            let ratio = |i: usize| f64::from(weights[i]) / f64::from(weights[2]);
            assert_eq!(weights[2..], [weights[2]; 4], "{absurd:?}");
            assert!((0.08..12.0).contains(&ratio(0)), "{absurd:?}: {weights:?}");
        }
        // Nobody says anything of sense.
        let (mut dynamic, members) = (Dynamic::new(), members(&[1, 1]));
        let loads = [load(f64::MAX, 0.05), load(f64::MAX, 0.05)];
        let weights = run(&mut dynamic, &members, &loads, 0..300).unwrap();
        assert_eq!(weights, [1_000, 1_000]);
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing() {
        let (mut dynamic, members) = (Dynamic::new(), members(&[1, 1]));
        let loads = [load(100.0, 0.5), load(300.0, 0.5)];
        run(&mut dynamic, &members, &loads, 0..60);
        let before = members.iter().map(|(id, w, _)| dynamic.current(id, *w)).collect::<Vec<_>>();

        assert_eq!(run(&mut dynamic, &members, &loads, 30..31), None);
        let after = members.iter().map(|(id, w, _)| dynamic.current(id, *w)).collect::<Vec<_>>();
        assert_eq!(before, after);
    }

    /// A fleet of `speeds` under `rate` requests per second for `seconds`, whose reports come every
    /// `every` seconds, but one in ten gets lost; clients follow the weights of `ttl` seconds ago;
    /// cpu is read with 10 % noise in a second. `slow` halves the speed of the first at that second. Returns the
    /// weights in force at each second.
    fn fleet(
        speeds: &[f64],
        rate: f64,
        (ttl, every): (usize, usize),
        seconds: usize,
        slow: usize,
    ) -> Vec<Vec<f64>> {
        let (mut dynamic, members) = (Dynamic::new(), members(&vec![1; speeds.len()]));
        let (mut rng, mut history) = (rng(1), Vec::<Vec<f64>>::new());
        let mut weights = vec![1.0; speeds.len()];
        for second in 0..seconds {
            let now = Millis(second as u64 * 1000);
            let seen = history.get(second.saturating_sub(ttl)).unwrap_or(&weights).clone();
            let total: f64 = seen.iter().sum();
            for (i, (.., meter)) in members.iter().enumerate() {
                let speed = if i == 0 && second >= slow { speeds[i] / 2.0 } else { speeds[i] };
                let qps = (rate * seen[i] / total).min(speed);
                let noise = 0.1 / (every as f64).sqrt();
                let cpu = qps / speed * rng.random_range(1.0 - noise..1.0 + noise);
                if (second + i) % every == 0 && !rng.random_bool(0.1) {
                    meter.report(load(qps, cpu), now);
                }
            }
            let record_ttl = Duration::from_secs(ttl as u64);
            if let Some(new) = dynamic.update(&members, record_ttl, now) {
                weights = new.into_iter().map(f64::from).collect();
            }
            history.push(weights.clone());
        }
        history
    }

    #[test]
    fn a_mixed_fleet_settles_and_does_not_swing() {
        let mut speeds = vec![100.0; 10];
        speeds.extend([300.0; 10]);
        for (ttl, every) in [(0, 1), (5, 1), (30, 1), (0, 10), (5, 10), (30, 10)] {
            for load in [0.6, 0.8, 0.95] {
                let history = fleet(&speeds, load * 4000.0, (ttl, every), 900, usize::MAX);

                for weights in &history[300..] {
                    for (slow, fast) in weights[..10].iter().zip(&weights[10..]) {
                        let ratio = slow / fast;
                        assert!((0.30..0.37).contains(&ratio), "ttl {ttl} {load}: {ratio}");
                    }
                }
                for i in 0..20 {
                    let series = || history[300..].iter().map(|weights| weights[i]);
                    let (low, high) =
                        (series().fold(f64::MAX, f64::min), series().fold(0.0, f64::max));
                    assert!(high / low <= 1.2, "ttl {ttl} {load}: {low}-{high}");
                }
            }
        }
    }

    #[test]
    fn a_host_that_slows_down_has_its_new_share_in_time() {
        for ttl in [0, 5, 30] {
            let history = fleet(&[100.0; 10], 600.0, (ttl, 1), 600, 300);
            let share = |weights: &Vec<f64>| weights[0] / weights.iter().sum::<f64>();

            // 3 (smoothing + ttl) after the change.
            let due = 300 + 3 * (10_usize.max(2 * ttl) + ttl);
            let target = 0.5 / 9.5;
            for weights in &history[due..] {
                let off = share(weights) / target - 1.0;
                assert!(off.abs() <= 0.1, "ttl {ttl}: {off}");
            }
        }
    }
}
