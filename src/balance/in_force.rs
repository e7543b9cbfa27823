//! The weights in force: what an algorithm makes of static weights and of the load reported, and
//! when to look whether they have moved.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::dynamic::Dynamic;
use crate::balance::meter::{LazyMeter, Meter, REPORT_TTL};
use crate::balance::weights::idle_capacity;
use crate::model::{Balance, InstanceId, Millis, RecordTtl};

/// An instance as it is weighed.
#[derive(Debug, Clone, Copy)]
pub struct Seat<'s> {
    /// Its id.
    pub id: &'s InstanceId,
    /// Its static weight.
    pub base: u16,
    /// What is known of its load.
    pub meter: &'s LazyMeter,
}

/// The weights that the algorithm goes by, in the order of `seats`.
#[must_use]
pub fn in_force(
    balance: Balance,
    ttl: RecordTtl,
    seats: &[Seat<'_>],
    dynamic: Option<&Dynamic>,
    now: Millis,
) -> Vec<u32> {
    let bases = seats.iter().map(|seat| seat.base);
    match balance {
        // Each in turn, whatever its weight.
        Balance::RoundRobin => vec![1; seats.len()],
        Balance::Random | Balance::ConsistentHash => bases.map(u32::from).collect(),
        Balance::WeightedRoundRobin => match dynamic {
            None => bases.map(u32::from).collect(),
            Some(dynamic) => seats.iter().map(|seat| dynamic.current(seat.id, seat.base)).collect(),
        },
        // Where nothing is cached, two choices look at the load itself.
        Balance::LeastConnections if ttl == RecordTtl::ZERO => bases.map(u32::from).collect(),
        Balance::LeastConnections => {
            let bases: Vec<u16> = bases.collect();
            let meters: Vec<&Meter> = seats.iter().map(|seat| &**seat.meter.meter()).collect();
            let mut weights = Vec::with_capacity(bases.len());
            idle_capacity(&bases, &meters, now, &mut weights);
            weights
        }
    }
}

/// Whether load has moved the weights so much that those of `published` are to be replaced. What
/// was heard goes into `dynamic`.
pub fn moved(
    balance: Balance,
    ttl: RecordTtl,
    seats: &[Seat<'_>],
    dynamic: &mut Option<Box<Dynamic>>,
    published: Option<&[u32]>,
    now: Millis,
) -> bool {
    match balance {
        Balance::WeightedRoundRobin => {
            let member =
                |seat: &Seat<'_>| (seat.id.clone(), seat.base, Arc::clone(seat.meter.meter()));
            let members: Vec<_> = seats.iter().map(member).collect();
            dynamic.get_or_insert_default().update(&members, ttl.get(), now).is_some()
        }
        Balance::LeastConnections => {
            let weights = in_force(balance, ttl, seats, None, now);
            published.is_none_or(|published| differ(published, &weights))
        }
        Balance::RoundRobin | Balance::Random | Balance::ConsistentHash => false,
    }
}

/// Whether weights moved enough to build a service anew: by over 5 %, or from or to nothing.
fn differ(old: &[u32], new: &[u32]) -> bool {
    let moved = |(old, new): (&u32, &u32)| {
        let (low, high) = (u64::from(*old.min(new)), u64::from(*old.max(new)));
        (low == 0 && high > 0) || high * 100 > low * 105
    };
    old.len() != new.len() || old.iter().zip(new).any(moved)
}

/// When the load reports of a service came and were looked at.
#[derive(Debug, Clone, Copy)]
pub struct Reports {
    last: Millis,
    looked: Millis,
}

impl Reports {
    /// The first one came.
    #[must_use]
    pub fn since(now: Millis) -> Self {
        Self { last: now, looked: Millis(0) }
    }

    /// Another one came.
    pub fn note(&mut self, now: Millis) {
        self.last = now;
    }

    /// Whether to look at those of so many instances now. Without news, weights still move as reports
    /// fade and go stale; where instances are very many, their weights follow more slowly.
    pub fn look(&mut self, instances: usize, now: Millis) -> bool {
        let since = now.since(self.looked);
        let work = EACH.saturating_mul(u32::try_from(instances).unwrap_or(u32::MAX));
        let look = (self.last >= self.looked && since >= work) || since >= LOOK_AGAIN.max(work);
        if look {
            self.looked = now;
        }
        look
    }

    /// Whether there is nothing more to see: one more look is due after the reports have gone
    /// stale, so that weights go back.
    #[must_use]
    pub fn over(&self, now: Millis) -> bool {
        now.since(self.last) > REPORT_TTL + LOOK_AGAIN
    }
}

/// How often weights are computed anew although no report came.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The time between two looks for each instance: many times what building one takes.
const EACH: Duration = Duration::from_micros(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// How often reports are looked at in ten seconds of looks every 200 ms, when one comes as often.
    fn looks(instances: usize) -> usize {
        let mut reports = Reports::since(Millis(0));
        let look = |tick: &u64| {
            let now = Millis(tick * 200);
            reports.note(now);
            reports.look(instances, Millis(now.0 + 100))
        };
        (1..=50).filter(look).count()
    }

    #[test]
    fn very_many_instances_are_looked_at_more_seldom() {
        assert_eq!([1, 1_000, 4_000, 10_000, 50_000].map(looks), [50, 50, 50, 17, 3]);
    }

    #[test]
    fn without_news_one_looks_again_until_reports_are_stale() {
        let mut reports = Reports::since(Millis(1_000));

        let mut looks = Vec::new();
        for now in (5..1_000).map(|tick| Millis(tick * 200)) {
            if reports.over(now) {
                break;
            }
            if reports.look(10, now) {
                looks.push(now);
            }
        }

        // Once more after the last, which may have come in the same millisecond.
        assert_eq!(looks[..3], [Millis(1_000), Millis(1_200), Millis(6_200)]);
        assert_eq!((looks.len(), looks[19]), (20, Millis(91_200)));
    }
}
