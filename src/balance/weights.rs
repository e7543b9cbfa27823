//! Weights in force as integers: when they count as equal, what SRV says of them, and what idle
//! capacity makes of them.

use crate::balance::cast;
use crate::balance::meter::Meter;
use crate::model::Millis;

/// Whether weights are as good as equal: the largest at most 1.1 times the smallest.
#[must_use]
pub fn equal(weights: &[u32]) -> bool {
    let max = weights.iter().copied().max().unwrap_or(0);
    let min = weights.iter().copied().min().unwrap_or(0);
    u64::from(max) * 10 <= u64::from(min) * 11
}

/// SRV weights: 256 each when `weights` are equal, else scaled so that the largest is `max`, at
/// least 1. `out` is cleared first.
///
/// Scaling up is what makes them work: HAProxy divides by 256, and RFC 2782 clients draw from
/// 0..=sum, which favours the first record by one part in the sum.
pub fn srv_weights(weights: &[u32], max: u16, out: &mut Vec<u16>) {
    out.clear();
    if equal(weights) {
        out.resize(weights.len(), 256);
        return;
    }
    let largest = u64::from(weights.iter().copied().max().unwrap_or(1).max(1));
    out.extend(weights.iter().map(|&weight| {
        let scaled = (u64::from(weight) * u64::from(max) + largest / 2) / largest;
        u16::try_from(scaled).unwrap_or(max).max(1)
    }));
}

/// Weights of `least_connections` behind caches: what each instance could still hold, its
/// capacity less its connections and what it was handed since it reported them.
///
/// | reports | weight |
/// |---|---|
/// | nobody does | the static weight |
/// | others do | as if at their mean utilisation |
/// | it does, full | 0 |
/// | all are full | the static weight |
///
/// What was reported stays until the next reports. Where more requests come until then than all of
/// the idle capacity holds, who looked idle would be the fullest: then weights go only part of the
/// way from an even utilisation to the one reported. What was handed out since is no
/// older than this moment, and always counts in full.
///
/// Scaled so that the largest is 65535. `out` is cleared first.
pub fn idle_capacity(bases: &[u16], meters: &[&Meter], now: Millis, out: &mut Vec<u32>) {
    out.clear();
    let all = || bases.iter().zip(meters);
    let reported = |base: u16, meter: &Meter| {
        let capacity = meter.capacity(base);
        meter.connections(now).map(|open| open.min(capacity))
    };
    let (mut open, mut since, mut room) = (0.0, 0.0, 0.0);
    for (&base, meter) in all() {
        if let Some(reported) = reported(base, meter) {
            open += reported;
            since += since_report(meter, now);
            room += meter.capacity(base);
        }
    }
    let pull = pull(room - open, meters, now);
    // Without reports nobody is known to have any.
    let share = |load: f64| if room > 0.0 { load / room } else { 0.0 };
    let idle = |(&base, meter): (&u16, &&Meter)| {
        let capacity = meter.capacity(base);
        let even = share(open) * capacity;
        let used = match reported(base, meter) {
            Some(reported) => even + (reported - even) * pull + since_report(meter, now),
            None => even + share(since) * capacity,
        };
        (capacity - used).max(0.0)
    };
    let most = all().map(idle).fold(0.0, f64::max);
    if room > 0.0 && most > 0.0 {
        // Rounded up, so that only a full instance may get 0.
        out.extend(
            all()
                .map(idle)
                .map(|idle| cast::unit(cast::index(cast::whole((idle / most * 65535.0).ceil())))),
        );
    } else {
        out.extend(bases.iter().map(|&base| u32::from(base.max(1))));
    }
}

/// How far weights go from an even utilisation to the one reported: all the way where `spare`, the idle
/// capacity of all, holds what comes between two reports, and less where more comes. Who does not say
/// how much it is sent is taken for somebody who reports often enough.
fn pull(spare: f64, meters: &[&Meter], now: Millis) -> f64 {
    let coming: f64 = meters.iter().filter_map(|meter| meter.between_reports(now)).sum();
    if coming > spare { spare / coming } else { 1.0 }
}

/// The connections of what was handed out since the report. Where the instance says how long a
/// request takes, most of them are closed; else each answer counts as one that stays.
fn since_report(meter: &Meter, now: Millis) -> f64 {
    meter.in_flight(now).unwrap_or_else(|| meter.handed_out(now))
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::balance::testing::rng;
    use crate::model::Load;

    fn srv(weights: &[u32], max: u16) -> Vec<u16> {
        let mut out = vec![9];
        srv_weights(weights, max, &mut out);
        out
    }

    #[test]
    fn weights_within_a_tenth_are_equal() {
        assert!(equal(&[]) && equal(&[5]) && equal(&[0, 0]) && equal(&[100, 110, 105]));
        assert!(!equal(&[100, 111]) && !equal(&[0, 1]) && !equal(&[1, 2]));
    }

    #[test]
    fn srv_weights_are_scaled_to_the_largest() {
        assert_eq!(srv(&[4, 4, 4], 65535), [256, 256, 256]);
        assert_eq!(srv(&[1, 2], 65535), [32768, 65535]);
        assert_eq!(srv(&[1, 65535, 0], 100), [1, 100, 1]);
        assert_eq!(srv(&[], 100), [0; 0]);
    }

    /// The shares of clients that read SRV weights in their own ways.
    #[test]
    fn every_client_that_reads_srv_weights_sees_the_shares() {
        let mut rng = rng(1);
        for _ in 0..200 {
            let n = rng.random_range(2..=16);
            let weights: Vec<u32> = (0..n).map(|_| rng.random_range(1..=100)).collect();
            if equal(&weights) {
                continue;
            }
            let seen = srv(&weights, 65535);
            let total: f64 = seen.iter().map(|w| f64::from(*w)).sum();
            let haproxy = |w: u16| f64::from(w.div_ceil(256));
            let haproxy_total: f64 = seen.iter().map(|w| haproxy(*w)).sum();
            let ideal_total = f64::from(weights.iter().sum::<u32>());

            for (i, (&said, &weight)) in seen.iter().zip(&weights).enumerate() {
                let ideal = f64::from(weight) / ideal_total;
                // RFC 2782 draws from 0 to the sum inclusive: the first gets one more.
                let strict = (f64::from(said) + f64::from(u8::from(i == 0))) / (total + 1.0);
                // Go draws below the sum; nginx takes weights as they are.
                let exact = f64::from(said) / total;
                for share in [strict, exact, haproxy(said) / haproxy_total] {
                    assert!((share - ideal).abs() <= 0.005, "{weights:?}: {share} for {ideal}");
                }
            }
        }
    }

    /// Meters that report these connections of a capacity of 100, or nothing.
    fn meters(connections: &[Option<f64>]) -> Vec<Meter> {
        let meter = |connections: &Option<f64>| {
            let meter = Meter::new();
            if connections.is_some() {
                let load = Load { connections: *connections, ..Load::default() };
                meter.report(load, Millis(0));
            }
            meter
        };
        connections.iter().map(meter).collect()
    }

    fn idle(bases: &[u16], meters: &[Meter], now: Millis) -> Vec<u32> {
        let mut out = vec![9];
        idle_capacity(bases, &meters.iter().collect::<Vec<_>>(), now, &mut out);
        out
    }

    #[test]
    fn weights_follow_idle_capacity() {
        let meters = meters(&[Some(80.0), Some(20.0), Some(100.0), Some(150.0)]);

        assert_eq!(idle(&[1, 1, 1, 2], &meters, Millis(0)), [16384, 65535, 0, 40960]);
    }

    #[test]
    fn weights_follow_less_the_more_comes_between_two_reports() {
        let weights = |rate: Load, seconds: u64| {
            let meters = [Meter::new(), Meter::new()];
            for now in [Millis(0), Millis(seconds * 1_000)] {
                for (meter, connections) in meters.iter().zip([100.0, 0.0]) {
                    meter.report(Load { connections: Some(connections), ..rate }, now);
                }
            }
            idle(&[1, 1], &meters, Millis(seconds * 1_000))
        };
        let (counted, silent) = (Load { qps: Some(50.0), ..Load::default() }, Load::default());

        // 100 are idle of 200; in a second come 100.
        assert_eq!(weights(counted, 1), [0, 65535]);
        assert_eq!(weights(counted, 2), [21845, 65535]);
        assert_eq!(weights(counted, 10), [53620, 65535]);
        assert_eq!(weights(silent, 10), [0, 65535]);
        // However full one is, the idle of the others is what counts.
        let meters = [Meter::new(), Meter::new()];
        for (meter, connections) in meters.iter().zip([900.0, 50.0]) {
            let load = Load { connections: Some(connections), ..counted };
            meter.report(load, Millis(0));
            meter.report(load, Millis(1_000));
        }
        assert_eq!(idle(&[1, 1], &meters, Millis(1_000)), [21845, 65535]);
        // By Little's law it is 100 of one and none of the other: as many.
        let timed = Load { latency_ms: Some(1_000.0), ..Load::default() };
        assert_eq!(weights(timed, 2), [21845, 65535]);
    }

    #[test]
    fn a_first_report_counts_in_full_until_it_is_old() {
        let meters = [Meter::new(), Meter::new()];
        for (meter, connections) in meters.iter().zip([100.0, 0.0]) {
            let load = Load { connections: Some(connections), qps: Some(50.0), ..Load::default() };
            meter.report(load, Millis(1));
        }

        assert_eq!(idle(&[1, 1], &meters, Millis(5_001)), [0, 65535]);
        assert_ne!(idle(&[1, 1], &meters, Millis(5_002))[0], 0);
    }

    #[test]
    fn who_does_not_report_is_at_the_mean() {
        let meters = meters(&[Some(80.0), Some(20.0), None]);

        // Half of 100 is idle where the others have 20 and 80.
        assert_eq!(idle(&[1, 1, 1], &meters, Millis(0)), [16384, 65535, 40960]);
    }

    #[test]
    fn static_weights_are_in_force_when_nobody_reports_or_all_are_full() {
        let silent = meters(&[None, None]);
        let full = meters(&[Some(100.0), Some(700.0)]);
        let old = meters(&[Some(80.0), Some(20.0)]);

        assert_eq!(idle(&[1, 3], &silent, Millis(0)), [1, 3]);
        assert_eq!(idle(&[1, 3], &full, Millis(0)), [1, 3]);
        assert_eq!(idle(&[1, 3], &old, Millis(90_000)), [1, 3]);
    }

    #[test]
    fn who_says_that_it_can_hold_everything_leaves_something_to_others() {
        let meters = meters(&[Some(10.0), Some(20.0), None]);
        let boast = Load { connections: Some(1.0), capacity: Some(1e300), ..Load::default() };
        meters[0].report(boast, Millis(0));

        let weights = idle(&[1, 1, 1], &meters, Millis(0));

        assert_eq!(weights[0], 65535, "{weights:?}");
        assert!(weights.iter().all(|weight| *weight > 0), "only who is full has none: {weights:?}");
    }

    #[test]
    fn what_was_handed_out_counts_as_long_as_it_lasts() {
        let meters = meters(&[Some(0.0), Some(0.0), Some(0.0)]);
        let brief = Load { connections: Some(0.0), latency_ms: Some(100.0), ..Load::default() };
        meters[1].report(brief, Millis(0));
        for meter in &meters[..2] {
            (0..50).for_each(|_| meter.hand_out(crate::balance::meter::ONE, Millis(1_000)));
        }

        // 50 connections that stay; 50 in a second that take 0.1 s each, so 5 at a time; none.
        assert_eq!(idle(&[1, 1, 1], &meters, Millis(1_000)), [32768, 62259, 65535]);
    }
}
