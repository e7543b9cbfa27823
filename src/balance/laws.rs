//! The laws that every pool keeps, whatever it is made of.

use proptest::prelude::*;

use crate::balance::cast;
use crate::balance::owners::Owners;
use crate::balance::pool::{Ask, Pool, PoolSpec};
use crate::balance::testing::{ANSWERS, BALANCES, members, rng};
use crate::model::{AnswerMode, Load, Millis};

/// Pools of all kinds: weights of 0, units of several instances and records, some that report.
fn any_spec() -> impl Strategy<Value = PoolSpec<'static>> {
    let weight = prop_oneof![Just(0_u32), Just(1), 1..10_u32, Just(60_000)];
    let unit = (proptest::collection::vec(weight, 1..4), 1..=8_u8);
    let units = proptest::collection::vec(unit, 1..40);
    let kind = (0..5_usize, 0..6_usize, any::<bool>(), 1..20_u16, any::<bool>());
    (units, kind).prop_map(|(units, (balance, answer, cached, max_answers, reports))| {
        let all: Vec<u32> = units.iter().flat_map(|(weights, _)| weights.clone()).collect();
        let mut members = members(&all);
        let of = units.iter().zip(0..).flat_map(|((w, _), unit)| vec![unit; w.len()]);
        for (i, (member, unit)) in members.iter_mut().zip(of).enumerate() {
            member.unit = unit;
            if reports && i % 3 > 0 {
                let connections = Some(i as f64 * 10.0);
                member.meter.meter().report(Load { connections, ..Load::default() }, Millis(0));
            }
        }
        PoolSpec {
            members,
            records: units.iter().map(|(_, records)| *records).collect(),
            balance: BALANCES[balance],
            answer: ANSWERS[answer],
            cached,
            max_answers,
        }
    })
}

proptest! {
    #[test]
    fn laws_of_every_pool(spec in any_spec(), seed: u64, client: u64, fit in 0..40_usize) {
        let mut rng = rng(seed);
        let pool = Pool::new(spec.clone(), &mut rng);
        let owners = Owners::new(&spec.members, spec.records.len(), spec.balance);
        let n = spec.records.len();
        let ask = Ask { client, now: Millis(7), fit, peek: false };
        let brought = |out: &[u32]| -> usize {
            out.iter().map(|unit| usize::from(spec.records[*unit as usize])).sum()
        };
        let live = |unit: u32| {
            spec.members.iter().any(|m| m.unit == unit && m.weight > 0)
                || spec.members.iter().all(|m| m.weight == 0)
        };
        let mut first = None;
        for _ in 0..3 {
            let mut out = vec![99];
            pool.pick(&ask, &mut rng, &mut out);

            let mut distinct = out.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), out.len());
            prop_assert!(!out.is_empty() && out.len() <= pool.k());
            match pool.mode() {
                AnswerMode::Auto => prop_assert!(false, "auto is resolved"),
                AnswerMode::All => prop_assert_eq!(out.len(), n),
                AnswerMode::Single => prop_assert_eq!(out.len(), 1),
                AnswerMode::Subset | AnswerMode::StickySubset | AnswerMode::Ordered => {
                    let room = fit.min(spec.max_answers.into());
                    prop_assert!(out.len() == 1 || brought(&out) <= room);
                }
            }
            let sampled = matches!(
                pool.mode(),
                AnswerMode::Single | AnswerMode::Subset | AnswerMode::StickySubset
            );
            prop_assert!(!sampled || out.iter().all(|unit| live(*unit)));
            if pool.mode() == AnswerMode::StickySubset {
                prop_assert_eq!(first.get_or_insert_with(|| distinct.clone()), &distinct);
            }

            let mut order = vec![99];
            pool.order(&ask, &mut rng, &mut order);
            let alive = order.iter().filter(|unit| live(**unit)).count();
            prop_assert!(order[..alive].iter().all(|unit| live(*unit)), "the rest is last");
            order.sort_unstable();
            prop_assert_eq!(&order, &(0..cast::unit(n)).collect::<Vec<_>>());
        }
        let mut ranked = Vec::new();
        owners.ranked(client, &ask, &mut ranked);
        let owner = owners.owner(client, &ask);
        prop_assert!(owner.is_some_and(live));
        if spec.members.iter().all(|m| m.meter.reported().is_none()) {
            prop_assert_eq!(owner, ranked.first().copied());
        }
        ranked.sort_unstable();
        prop_assert_eq!(ranked, (0..cast::unit(n)).collect::<Vec<_>>());
    }

    #[test]
    fn explaining_changes_nothing(spec in any_spec(), seed: u64) {
        let pool = Pool::new(spec, &mut rng(seed));
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (mut rng, mut out) = (rng(seed), Vec::new());
            let ask = Ask { client: seed, now: Millis(1), fit: 99, peek: true };
            pool.pick(&ask, &mut rng, &mut out);
            let picked = out.clone();
            pool.order(&ask, &mut rng, &mut out);
            seen.push((picked, out));
        }

        prop_assert_eq!(&seen[0], &seen[1]);
    }
}
