//! Shares by SRV, read by a client that does what RFC 2782 says to the letter.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::lookups::look_up;
use crate::stand::{LOOKUPS, Stand, VIAS, Via, WEIGHTS, assert_shares};
use crate::support::message::Message;
use crate::support::{SOON, eventually};

pub(crate) const SRV_NAME: &str = "_web._tcp.service.local";

/// An SRV record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Srv {
    priority: u16,
    weight: u16,
    /// The number of its target.
    pub(crate) instance: usize,
}

impl Srv {
    /// The records of an answer, in its order.
    pub(crate) fn all(reply: &Message) -> Vec<Self> {
        let record = |data: &str| {
            let fields: Vec<&str> = data.split([' ', '.']).collect();
            Self {
                priority: fields[0].parse().unwrap(),
                weight: fields[1].parse().unwrap(),
                instance: fields[3].strip_prefix("i-").unwrap().parse().unwrap(),
            }
        };
        reply.data().into_iter().map(record).collect()
    }
}

/// Those of the lowest priority, which a client must try first.
pub(crate) fn lowest(records: &[Srv]) -> Vec<Srv> {
    let lowest = records.iter().map(|srv| srv.priority).min();
    records.iter().filter(|srv| Some(srv.priority) == lowest).copied().collect()
}

/// RFC 2782, "Weight": records of weight 0 first, a uniform number from 0 to the sum *inclusive*,
/// and the first record whose running sum is at least that.
fn choose(records: &[Srv], rng: &mut SmallRng) -> usize {
    let mut records = lowest(records);
    records.sort_by_key(|srv| srv.weight > 0);
    let sum: u32 = records.iter().map(|srv| u32::from(srv.weight)).sum();
    let number = rng.random_range(0..=sum);
    let mut running = 0;
    let chosen = records.iter().find(|srv| {
        running += u32::from(srv.weight);
        running >= number
    });
    chosen.unwrap().instance
}

/// Waits until the reports of all instances are in the weights.
pub(crate) fn wait_for_weights(stand: &Stand) {
    eventually(SOON, "weights follow the reports", || {
        let records = Srv::all(&stand.server.dns.ask(SRV_NAME, "SRV"));
        let follows = |srv: &Srv| {
            (f64::from(srv.weight) / 65_535.0 - f64::from(WEIGHTS[srv.instance]) / 3.0).abs() < 0.01
        };
        records.iter().all(follows).then_some(())
    });
}

fn choices(stand: &Stand, via: Via) -> [usize; 6] {
    let (mut rng, mut seen) = (SmallRng::seed_from_u64(61), [0; 6]);
    look_up(stand, via, (SRV_NAME, "SRV"), |_, reply| {
        let records = Srv::all(reply);
        assert_eq!(records.len(), 6, "SRV is whole");
        seen[choose(&records, &mut rng)] += 1;
    });
    assert_eq!(seen.iter().sum::<usize>(), LOOKUPS);
    seen
}

fn shares_hold(settings: &Value, weights: [u32; 6]) {
    let Some(stand) = Stand::start(settings, &weights) else { return };
    for via in VIAS {
        let what = format!("{} SRV {via:?}", settings["balance"]);
        assert_shares(&what, choices(&stand, via), weights);
    }
}

#[test]
fn of_round_robin() {
    shares_hold(&json!({ "balance": "round_robin" }), [1; 6]);
}

#[test]
fn of_random() {
    shares_hold(&json!({ "balance": "random" }), WEIGHTS);
}

#[test]
fn of_weighted_round_robin() {
    shares_hold(&json!({ "balance": "weighted_round_robin" }), WEIGHTS);
}

#[test]
fn of_least_connections() {
    let Some(stand) = Stand::start(&json!({ "balance": "least_connections" }), &[1; 6]) else {
        return;
    };
    stand.report_loads();
    wait_for_weights(&stand);

    for via in VIAS {
        stand.report_loads();
        assert_shares(&format!("least_connections SRV {via:?}"), choices(&stand, via), WEIGHTS);
    }
}

/// What scaling weights up is for: drawn to the letter, 1 and 1 are 2 to 1 in the order of the list.
#[test]
fn small_weights_would_not_do() {
    let record = |instance| Srv { priority: 0, weight: 1, instance };
    let mut rng = SmallRng::seed_from_u64(62);

    let first = (0..30_000).filter(|_| choose(&[record(0), record(1)], &mut rng) == 0).count();

    assert!((19_500..20_500).contains(&first), "{first}");
}
