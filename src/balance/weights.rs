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
/// Scaled so that the largest is 65535; 0 means full. `out` is cleared first.
pub fn idle_capacity(bases: &[u16], meters: &[&Meter], now: Millis, out: &mut Vec<u32>) {
    out.clear();
    let used = |meter: &Meter| meter.connections(now).map(|open| open + in_flight(meter, now));
    let all = || bases.iter().zip(meters);
    let (load, room) = all().fold((0.0, 0.0), |(load, room), (&base, meter)| match used(meter) {
        Some(used) => (load + used, room + meter.capacity(base)),
        None => (load, room),
    });
    // Without reports mean is NaN or 0 and every instance idle in proportion to its weight.
    let mean = if room > 0.0 { load / room } else { 0.0 };
    let idle = |(&base, meter): (&u16, &&Meter)| {
        let capacity = meter.capacity(base);
        (capacity - used(meter).unwrap_or(mean * capacity)).max(0.0)
    };
    let most = all().map(idle).fold(0.0, f64::max);
    if room > 0.0 && most > 0.0 {
        // Rounded up, so that only a full instance gets 0.
        out.extend(
            all()
                .map(idle)
                .map(|idle| cast::unit(cast::index(cast::whole((idle / most * 65535.0).ceil())))),
        );
    } else {
        out.extend(bases.iter().map(|&base| u32::from(base.max(1))));
    }
}

/// What was handed out since the report and is still open. Where the instance says how long a
/// request takes, most of it is over (Little's law); else it counts as connections that stay.
fn in_flight(meter: &Meter, now: Millis) -> f64 {
    let handed = meter.handed_out(now);
    let Some(report) = meter.reported() else { return handed };
    let Some(latency) = report.load.latency_ms else { return handed };
    let age = now.since(report.at).as_secs_f64() * 1000.0;
    if age > latency { handed * latency / age } else { handed }
}
