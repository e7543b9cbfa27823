//! Shares of consistent hashing: 20,000 keys, 20,000 clients by their subnet. What a cache is asked
//! it is asked by the same key, so that it changes nothing.

use serde_json::json;

use crate::addresses::first;
use crate::lookups::Client;
use crate::srv::{Srv, lowest};
use crate::stand::{LOOKUPS, Stand, Via, WEIGHTS, assert_shares};
use crate::support::dns::Query;
use crate::support::message::Message;
use crate::support::spread::{NAME, web};

/// Whom each of these queries leads to, by `read`.
fn owners(
    stand: &Stand,
    via: Via,
    query: impl Fn(usize) -> Query,
    read: impl Fn(&Message) -> usize,
) -> Vec<usize> {
    let mut owners = vec![usize::MAX; LOOKUPS];
    let mut client = Client::of(stand, via);
    let queries: Vec<Query> = (0..LOOKUPS).map(query).collect();
    for (burst, queries) in queries.chunks(10).enumerate() {
        let queries: Vec<&Query> = queries.iter().collect();
        client.ask(burst * 10, &queries, &mut |i, reply| owners[i] = read(reply));
    }
    owners
}

fn picks(owners: &[usize]) -> [usize; 6] {
    let mut picks = [0; 6];
    owners.iter().for_each(|owner| picks[*owner] += 1);
    picks
}

/// One of 20,000 /24 networks.
fn from_subnet(i: usize, rtype: &str) -> Query {
    Query::new(NAME, rtype).subnet(&format!("10.{}.{}.0", i / 200, i % 200), 24).recursive()
}

#[test]
fn of_consistent_hash_by_key() {
    let server = web(&json!({ "balance": "consistent_hash" }), &WEIGHTS);
    let Some(stand) = Stand::before(server, true) else { return };
    let query = |i| Query::new(&format!("user-{i}.key.{NAME}"), "A").recursive();

    let direct = owners(&stand, Via::Direct, query, first);
    let cached = owners(&stand, Via::Unbound, query, first);

    assert_shares("keys", picks(&direct), WEIGHTS);
    assert!(cached == direct, "a key has its owner behind a cache too");
}

#[test]
fn of_consistent_hash_by_client() {
    let server = web(&json!({ "balance": "consistent_hash" }), &WEIGHTS);
    let Some(stand) = Stand::before(server, true) else { return };

    let direct = owners(&stand, Via::Direct, |i| from_subnet(i, "A"), first);
    let cached = owners(&stand, Via::Unbound, |i| from_subnet(i, "A"), first);

    assert_shares("clients", picks(&direct), WEIGHTS);
    assert!(cached == direct, "a cache that says for whom it asks keeps clients apart");
}

/// The one record of lowest priority is the owner: whoever follows RFC 2782 tries it first.
#[test]
fn of_consistent_hash_by_srv() {
    let server = web(&json!({ "balance": "consistent_hash" }), &WEIGHTS);
    let Some(stand) = Stand::before(server, true) else { return };
    let owner = |reply: &Message| {
        let records = Srv::all(reply);
        let [owner] = lowest(&records)[..] else { panic!("one is first: {records:?}") };
        owner.instance
    };

    let by_address = owners(&stand, Via::Direct, |i| from_subnet(i, "A"), first);
    for via in [Via::Direct, Via::Unbound] {
        let by_srv = owners(&stand, via, |i| from_subnet(i, "SRV"), owner);
        assert!(by_srv == by_address, "{via:?}: both types agree on whom a client goes to");
    }
}
