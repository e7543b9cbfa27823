//! Shares by the first address of an answer.

use serde_json::{Value, json};

use crate::lookups::look_up;
use crate::stand::{LOOKUPS, Stand, VIAS, Via, WEIGHTS, assert_shares};
use crate::support::message::Message;
use crate::support::spread::NAME;
use crate::support::{SOON, eventually};

/// The number of the instance whose address comes first.
pub(crate) fn first(reply: &Message) -> usize {
    let (_, number) = reply.data()[0].rsplit_once('.').unwrap();
    number.parse().unwrap()
}

/// How often each is first in what clients get this way.
fn firsts(stand: &Stand, via: Via) -> [usize; 6] {
    let mut seen = [0; 6];
    look_up(stand, via, (NAME, "A"), |_, reply| seen[first(reply)] += 1);
    assert_eq!(seen.iter().sum::<usize>(), LOOKUPS);
    seen
}

fn shares_hold(settings: &Value, weights: [u32; 6], k: usize) {
    let Some(stand) = Stand::start(settings, &weights) else { return };
    let reply = stand.server.dns.ask(NAME, "A");
    assert_eq!((reply.ttl(), reply.answers.len()), (5, k));
    for via in VIAS {
        assert_shares(&format!("{} {via:?}", settings["balance"]), firsts(&stand, via), weights);
    }
}

#[test]
fn of_round_robin() {
    // Samples of four of six, so that membership counts too.
    shares_hold(&json!({ "balance": "round_robin", "max_answers": 4 }), [1; 6], 4);
}

#[test]
fn of_random() {
    shares_hold(&json!({ "balance": "random" }), WEIGHTS, 4);
}

#[test]
fn of_weighted_round_robin() {
    shares_hold(&json!({ "balance": "weighted_round_robin" }), WEIGHTS, 4);
}

#[test]
fn of_least_connections() {
    let Some(stand) = Stand::start(&json!({ "balance": "least_connections" }), &[1; 6]) else {
        return;
    };
    stand.report_loads();
    eventually(SOON, "weights follow the reports", || {
        (stand.server.dns.ask(NAME, "A").answers.len() == 4).then_some(())
    });

    for via in VIAS {
        stand.report_loads();
        assert_shares(&format!("least_connections {via:?}"), firsts(&stand, via), WEIGHTS);
    }
}

/// Why `auto` does not order what may be kept: whoever rotates gives all of them the same.
#[test]
fn an_order_by_weight_is_lost_behind_unbound() {
    let settings = json!({ "balance": "random", "answer": "ordered" });
    let Some(stand) = Stand::start(&settings, &WEIGHTS) else { return };

    assert_shares("ordered Direct", firsts(&stand, Via::Direct), WEIGHTS);
    assert_shares("ordered Unbound", firsts(&stand, Via::Unbound), [1; 6]);
}
