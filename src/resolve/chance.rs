//! How likely each instance is the first of an answer, for people who want to know before it is.
//!
//! In the long run, by the law of the algorithm: where an answer goes by client, for this client.

use std::collections::{HashMap, HashSet};

use rand::Rng;

use crate::model::{AnswerMode, Balance, RecordTtl};
use crate::registry::{Addresses, ServiceView};
use crate::resolve::{Answer, Asker, Data, Outcome, Srv};

/// The chance of each instance of `addresses` to have the first record, by its index in the view.
///
/// | answered | chance |
/// |---|---|
/// | one by key or client, or by rank | 1 for the first of this answer |
/// | the same few for a client, shuffled | the same for each of this answer |
/// | by connections, not cached | counted in 2,000 tries that move nothing |
/// | else | weight over the sum of weights |
pub(super) fn of_addresses(
    view: &ServiceView,
    addresses: &Addresses,
    weight: impl Fn(u32) -> u32,
    asker: &Asker<'_>,
    outcome: &Outcome<Answer>,
    keyed: bool,
    rng: &mut impl Rng,
) -> HashMap<u32, f64> {
    let pool = &addresses.pool;
    let units = || (0_u32..).take(pool.len());
    let spread = |chances: Vec<(u32, f64)>| -> HashMap<u32, f64> {
        let of = |(unit, chance)| addresses.instances(unit).iter().map(move |i| (*i, chance));
        chances.into_iter().flat_map(of).collect()
    };
    let told = |outcome: &Outcome<Answer>| -> Vec<u32> {
        let Outcome::Answer(Answer { data: Data::Addresses(records), .. }) = outcome else {
            return Vec::new();
        };
        let places: HashMap<_, _> = records.iter().enumerate().map(|(i, ip)| (*ip, i)).collect();
        let place = |unit: u32| addresses.of(unit).filter_map(|ip| places.get(&ip)).min();
        let mut told: Vec<_> = units().filter_map(|unit| Some((*place(unit)?, unit))).collect();
        told.sort_unstable();
        told.into_iter().map(|(_, unit)| unit).collect()
    };
    let balance = view.settings.balance;
    if keyed || balance == Balance::ConsistentHash {
        return spread(told(outcome).first().map(|unit| (*unit, 1.0)).into_iter().collect());
    }
    if pool.mode() == AnswerMode::StickySubset {
        let told = told(outcome);
        let each = 1.0 / told.len() as f64;
        return spread(told.into_iter().map(|unit| (unit, each)).collect());
    }
    if balance == Balance::LeastConnections && view.settings.ttl == RecordTtl::ZERO {
        let ask = asker.look();
        let (mut counts, mut picked) = (vec![0_u32; pool.len()], Vec::new());
        for _ in 0..TRIES {
            pool.pick(&ask, rng, &mut picked);
            if let Some(first) = picked.first() {
                counts[*first as usize] += 1;
            }
        }
        let counted = units().zip(counts);
        return spread(counted.map(|(u, n)| (u, f64::from(n) / f64::from(TRIES))).collect());
    }
    let sum = |weight: &dyn Fn(u32) -> u64| -> Vec<u64> {
        units().map(|unit| addresses.instances(unit).iter().map(|i| weight(*i)).sum()).collect()
    };
    let mut weights = sum(&|i| u64::from(weight(i)));
    if weights.iter().all(|weight| *weight == 0) {
        // Where all are full, it is as if none were.
        weights = sum(&|i| u64::from(view.weighing(i).fixed));
    }
    let total = weights.iter().sum::<u64>().max(1) as f64;
    spread(units().zip(weights).map(|(unit, weight)| (unit, weight as f64 / total)).collect())
}

/// The chance of each target to be the first that a client tries which reads SRV as RFC 2782 has it:
/// by weight among those of the lowest priority.
pub(super) fn of_targets(records: &[Srv]) -> HashMap<u32, f64> {
    let lowest = records.iter().map(|srv| srv.priority).min();
    let first = || records.iter().filter(|srv| Some(srv.priority) == lowest);
    let total: f64 = first().map(|srv| f64::from(srv.weight)).sum();
    let n = first().map(|srv| srv.instance).collect::<HashSet<_>>().len() as f64;
    let chance = |srv: &Srv| if total > 0.0 { f64::from(srv.weight) / total } else { 1.0 / n };
    let mut chances: HashMap<u32, f64> = records.iter().map(|srv| (srv.instance, 0.0)).collect();
    chances.extend(first().map(|srv| (srv.instance, chance(srv))));
    chances
}

/// Looks at a pool whose law nobody writes down.
const TRIES: u32 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(instance: u32, priority: u16, weight: u16) -> Srv {
        Srv { instance, port: 80, priority, weight, far: false }
    }

    #[test]
    fn targets_of_the_lowest_priority_share_by_weight() {
        let chances = of_targets(&[srv(0, 1, 9), srv(1, 0, 1), srv(2, 0, 3)]);

        assert_eq!(chances, HashMap::from([(0, 0.0), (1, 0.25), (2, 0.75)]));
    }
}
