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
            let relative = speed.known(now).filter(|_| active).map(|known| typical.relative(known));
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
    (qps > 0.0 && cpu >= IDLE).then(|| qps / (cpu + failed))
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

/// Utilisation under which speed is noise.
const IDLE: f64 = 0.05;

/// Weights move in steps of 5 %, at most four at a time: less than x 1.25.
const STEP: f64 = 1.05;
const LEAP: f64 = 4.0;

/// What the mean speed weighs, times the static weight: steps stay apart in whole numbers.
const SCALE: f64 = 1000.0;
