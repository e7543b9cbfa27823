//! The load of a pool's units, from the meters of their instances.
//!
//! An instance without a believed report counts as if at the mean of those that have one: never
//! as idle, which would draw everybody to an instance that has died.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::balance::meter::{Meter, ONE};
use crate::balance::pool::Member;
use crate::model::Millis;

/// The meters of a pool.
#[derive(Debug)]
pub(super) struct Gauges {
    /// Sorted by unit.
    seats: Box<[Seat]>,
    /// Where each unit's seats start, and where the last one's end.
    starts: Box<[u32]>,
    /// Of all seats in rendezvous hashing.
    weight: f64,
    utilisation: Census,
    density: Census,
    /// Handed out between two reports.
    batch: Census,
    /// The same per millisecond and capacity.
    pace: Census,
}

#[derive(Debug)]
struct Seat {
    meter: Arc<Meter>,
    base: u16,
    /// Weight in force over static weight: an instance that starts slowly is smaller for now.
    /// Only the ratios between instances matter.
    scale: f32,
    /// The weight in rendezvous hashing.
    weight: f32,
}

impl Seat {
    fn capacity(&self) -> f64 {
        self.meter.capacity(self.base) * f64::from(self.scale)
    }

    /// Connections of a believed report, and those opened since as far as one can tell.
    fn load(&self, now: Millis) -> Option<f64> {
        self.meter.connections(now).map(|open| open + self.in_flight(now))
    }

    fn in_flight(&self, now: Millis) -> f64 {
        self.meter.in_flight(now).unwrap_or(0.0)
    }
}

impl Gauges {
    /// `weight` is what a member counts in [`Gauges::fits`].
    pub(super) fn new(
        members: &[Member<'_>],
        units: usize,
        weight: impl Fn(&Member<'_>) -> u32,
    ) -> Self {
        let mut starts = vec![0; units + 1];
        for member in members {
            starts[member.unit as usize + 1] += 1;
        }
        for unit in 0..units {
            starts[unit + 1] += starts[unit];
        }
        let mut sorted: Vec<&Member<'_>> = members.iter().collect();
        sorted.sort_by_key(|member| member.unit);
        let resting = members.iter().all(|member| member.weight == 0);
        let seats = sorted.into_iter().map(|member| Seat {
            meter: Arc::clone(member.meter.meter()),
            base: member.base,
            scale: if resting { 1.0 } else { member.weight as f32 / f32::from(member.base.max(1)) },
            weight: weight(member) as f32,
        });
        Self {
            weight: members.iter().map(|member| f64::from(weight(member))).sum(),
            seats: seats.collect(),
            starts: starts.into(),
            utilisation: Census::default(),
            density: Census::default(),
            batch: Census::default(),
            pace: Census::default(),
        }
    }

    fn seats(&self, unit: u32) -> &[Seat] {
        let unit = unit as usize;
        &self.seats[self.starts[unit] as usize..self.starts[unit + 1] as usize]
    }

    /// How many connections a unit can hold.
    pub(super) fn capacity(&self, unit: u32) -> f64 {
        self.seats(unit).iter().map(Seat::capacity).sum()
    }

    /// The score of `least_connections`: (connections + handed out since the report + 1) over
    /// capacity, lower is better. When nobody reports, what was handed out is all there is.
    ///
    /// Of what was handed out since a report the more has ended the older it is: as much, it is
    /// taken, as the pool hands out on average. Without that, who has just reported would seem to
    /// have nothing to do, and get all there is until it has as much as those that reported earlier.
    pub(super) fn score(&self, unit: u32, now: Millis) -> f64 {
        let (mut used, mut room) = (1.0, 0.0);
        for seat in self.seats(unit) {
            let capacity = seat.capacity();
            room += capacity;
            used += seat.meter.connections(now).map_or_else(
                || match self.utilisation(now) {
                    Some(mean) => mean * capacity,
                    None => seat.meter.handed_out(now),
                },
                |open| match self.pace(now) {
                    Some(pace) => (open + seat.meter.ahead_of(pace * capacity, now)).max(0.0),
                    None => open + seat.meter.handed_out(now),
                },
            );
        }
        used / room
    }

    /// Whether a unit reports as many connections as it can hold.
    pub(super) fn full(&self, unit: u32, now: Millis) -> bool {
        let full = |seat: &Seat| {
            let capacity = seat.meter.capacity(seat.base);
            seat.meter.connections(now).is_some_and(|open| open >= capacity)
        };
        self.seats(unit).iter().all(full)
    }

    /// Counts a share of an answer (of [`ONE`]) as handed out to a unit.
    pub(super) fn hand_out(&self, unit: u32, share: u32, now: Millis) {
        let seats = self.seats(unit);
        let share = share / u32::try_from(seats.len()).unwrap_or(ONE).max(1);
        for seat in seats {
            seat.meter.hand_out(share, now);
        }
    }

    /// Counts what a cache will make of an answer: a share (of [`ONE`]) of its requests, over the
    /// milliseconds that it keeps it.
    pub(super) fn promise(&self, unit: u32, share: u64, kept: u32, now: Millis) {
        let seats = self.seats(unit);
        let share = share / (seats.len() as u64).max(1);
        seats.iter().for_each(|seat| seat.meter.promise(share, kept, now));
    }

    /// Whether a unit may get one more under bounded load: load + 1 <= ceil(c (sum + 1) w / W), where
    /// (sum + 1) / W is the [`Gauges::density`]. One that does not report is at the mean of the others.
    ///
    /// | it had too much | c |
    /// |---|---|
    /// | no | 1.25: over that its keys go elsewhere |
    /// | yes | 1.15: under that they come back |
    ///
    /// Without the distance they would go to and fro, since DNS acts a TTL late. What it decides is
    /// remembered for all pools unless `peek`.
    pub(super) fn fits(&self, unit: u32, density: f64, now: Millis, peek: bool) -> bool {
        let seats = self.seats(unit);
        let (mut load, mut weight) = (None, 0.0);
        for seat in seats {
            if let Some(own) = seat.load(now) {
                load = Some(load.unwrap_or(0.0) + own);
                weight += f64::from(seat.weight);
            }
        }
        let Some((load, meter)) = load.zip(seats.first().map(|seat| &seat.meter)) else {
            return true;
        };
        let spilling = meter.spilling();
        let bound = if spilling { RETURN } else { BOUND };
        let fits = load + 1.0 <= (bound * density * weight).ceil();
        if !peek && fits == spilling {
            meter.set_spilling(!fits);
        }
        fits
    }

    /// How many connections there would be if all reported, and how many of them a unit may hold.
    pub(super) fn allowance(&self, unit: u32, density: f64) -> (f64, f64) {
        (density * self.weight - 1.0, (BOUND * density * self.weight(unit)).ceil())
    }

    /// The weight of a unit in rendezvous hashing.
    pub(super) fn weight(&self, unit: u32) -> f64 {
        self.seats(unit).iter().map(|seat| f64::from(seat.weight)).sum()
    }

    /// Connections and what was handed out over capacity, of all that report.
    fn utilisation(&self, now: Millis) -> Option<f64> {
        self.utilisation.read(&self.seats, now, 0.0, |seat, open| {
            (open + seat.meter.handed_out(now), seat.capacity())
        })
    }

    /// What was handed out per millisecond and capacity between the last two reports of each. `None`
    /// when they report each change or nearly: then who does not report has none.
    fn pace(&self, now: Millis) -> Option<f64> {
        let period = |seat: &Seat| seat.meter.period();
        let batch = self.batch.read(&self.seats, now, 0.0, |seat, _| {
            period(seat).map_or((0.0, 0.0), |(handed, _)| (handed, 1.0))
        })?;
        if batch <= 1.0 {
            return None;
        }
        self.pace.read(&self.seats, now, 0.0, |seat, _| {
            period(seat).map_or((0.0, 0.0), |(handed, time)| (handed, time * seat.capacity()))
        })
    }

    /// Connections, and one more, per weight, of all that report. `None` when nobody does.
    pub(super) fn density(&self, now: Millis) -> Option<f64> {
        self.density.read(&self.seats, now, 1.0, |seat, open| {
            (open + seat.in_flight(now), f64::from(seat.weight))
        })
    }
}

/// How far over its share the load of an owner may be, and how far when it had more than that.
const BOUND: f64 = 1.25;
const RETURN: f64 = BOUND - 0.1;

/// A ratio over all seats that report, kept for n/16 ms: what it costs is a small, constant part
/// of the time whatever n is, and small pools always see the present.
#[derive(Debug)]
struct Census {
    at: AtomicU64,
    /// NaN: nobody reports.
    ratio: AtomicU64,
}

impl Default for Census {
    fn default() -> Self {
        Self { at: AtomicU64::new(u64::MAX), ratio: AtomicU64::new(f64::NAN.to_bits()) }
    }
}

impl Census {
    /// Sums what `part` returns for each seat with its connections, the first on top of `start`,
    /// and divides.
    fn read(
        &self,
        seats: &[Seat],
        now: Millis,
        start: f64,
        part: impl Fn(&Seat, f64) -> (f64, f64),
    ) -> Option<f64> {
        let at = self.at.load(Ordering::Acquire);
        let fresh = at <= now.0 && now.0 - at < seats.len() as u64 / 16;
        if !fresh {
            let (mut top, mut bottom) = (start, 0.0);
            for seat in seats {
                if let Some(open) = seat.meter.connections(now) {
                    let (over, under) = part(seat, open);
                    top += over;
                    bottom += under;
                }
            }
            let ratio = if bottom > 0.0 { top / bottom } else { f64::NAN };
            self.ratio.store(ratio.to_bits(), Ordering::Relaxed);
            self.at.store(now.0, Ordering::Release);
            return (bottom > 0.0).then_some(ratio);
        }
        let ratio = f64::from_bits(self.ratio.load(Ordering::Relaxed));
        (!ratio.is_nan()).then_some(ratio)
    }
}
