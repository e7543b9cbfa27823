//! Who keeps going to the same instance: clients by consistent hash and sticky subsets, keys by name.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeSet;

use serde_json::json;

use support::dig::dig_comments;
use support::dns::Query;
use support::needs;
use support::server::Server;
use support::spread::{NAME, ask, assert_shares, count, plausible, register, web};

/// The instance of each of 300 clients, by their subnet.
fn owners(server: &Server) -> Vec<usize> {
    let owner = |i: u32| {
        let query = Query::new(NAME, "A").subnet(&format!("10.{}.{}.0", i / 200, i % 200), 24);
        let answer = ask(&server.dns, &query);
        assert_eq!(answer.len(), 1, "{answer:?}");
        answer[0]
    };
    (0..300).map(owner).collect()
}

#[test]
fn consistent_hash_keeps_each_client_and_moves_only_those_of_the_one_that_leaves() {
    let weights = [1, 1, 2, 4];
    let server = web(&json!({ "balance": "consistent_hash" }), &weights);

    let before = owners(&server);

    assert_eq!(owners(&server), before);
    assert_shares("clients", &count(before.iter().copied()), 300, &weights);
    assert_eq!(server.http.delete("/v1/services/web/instances/i-2").status, 204);
    let without = owners(&server);
    for (was, is) in before.iter().zip(&without) {
        assert!(if *was == 2 { *is != 2 } else { was == is }, "{was} became {is}");
    }
    register(&server, &weights);
    assert_eq!(owners(&server), before, "back again");
}

#[test]
fn a_client_is_its_subnet_and_the_scope_says_so() {
    if !needs::works(needs::DIG) {
        return;
    }
    let server = web(&json!({ "balance": "consistent_hash" }), &[1; 8]);
    let owner = |address: &str, length: u8| {
        let reply = server.dns.query(&Query::new(NAME, "A").subnet(address, length));
        let option = reply.option(8).unwrap().to_vec();
        (reply.only().to_owned(), option[2], option[3])
    };

    let (first, length, scope) = owner("198.51.100.0", 24);
    assert_eq!((length, scope), (24, 24));
    for host in [1, 77, 255] {
        let host = owner(&format!("198.51.100.{host}"), 32);
        assert_eq!(host, (first.clone(), 32, 24), "what is beyond /24 does not matter");
    }
    assert_eq!(owner("198.51.0.0", 16).2, 16, "less is used as it is");
    assert_eq!(owner("2001:db8:1:2::", 64).2, 56);
    let (own, _, scope) = owner("0.0.0.0", 0);
    assert_eq!((own.as_str(), scope), (server.dns.ask(NAME, "A").only(), 0), "the source itself");
    let dug = dig_comments(
        server.dns.address,
        &format!("{NAME} +subnet=198.51.100.7/32"),
        "CLIENT-SUBNET",
    );
    assert_eq!(dug, ["; CLIENT-SUBNET: 198.51.100.7/32/24"]);

    server.http.set("web", &json!({ "balance": "round_robin" }));
    assert_eq!(owner_scope(&server), 0, "an answer for everybody");
    server.http.set("web", &json!({ "answer": "sticky_subset", "max_answers": 2 }));
    assert_eq!(owner_scope(&server), 24);
}

fn owner_scope(server: &Server) -> u8 {
    let reply = server.dns.query(&Query::new(NAME, "A").subnet("198.51.100.0", 24));
    reply.option(8).unwrap()[3]
}

#[test]
fn keys_belong_to_instances_whatever_the_algorithm_is() {
    for balance in ["round_robin", "least_connections", "consistent_hash"] {
        let server = web(&json!({ "balance": balance }), &[1, 3, 1]);
        let owner = |i: u32| ask(&server.dns, &Query::new(&format!("user-{i}.key.{NAME}"), "A"));

        let before: Vec<Vec<usize>> = (0..300).map(owner).collect();

        let again: Vec<Vec<usize>> = (0..300).map(owner).collect();
        assert_eq!(before, again, "{balance}");
        // Round robin treats all alike, here too.
        let weights = if balance == "round_robin" { [1, 1, 1] } else { [1, 3, 1] };
        assert_shares(balance, &count(before.iter().flatten().copied()), 300, &weights);
        server.http.delete("/v1/services/web/instances/i-1");
        for (i, was) in before.iter().enumerate().filter(|(_, was)| **was != [1]) {
            assert_eq!(owner(u32::try_from(i).unwrap()), *was, "{balance}: user-{i} moved");
        }
        let srv = server.dns.ask(&format!("user-1.key.{NAME}"), "SRV");
        let priorities: Vec<&str> =
            srv.data().iter().map(|data| data.split(' ').next().unwrap()).collect();
        assert_eq!(priorities.iter().collect::<BTreeSet<_>>().len(), 2, "rank: {priorities:?}");
    }
}

#[test]
fn srv_of_consistent_hash_ranks_for_the_client() {
    let server = web(&json!({ "balance": "consistent_hash" }), &[1; 5]);

    for client in 0..20 {
        let subnet = format!("10.7.{client}.0");
        let srv = server.dns.query(&Query::new(NAME, "SRV").subnet(&subnet, 24));
        let mut ranked: Vec<(u16, String)> = srv
            .data()
            .iter()
            .map(|data| {
                let fields: Vec<&str> = data.split(' ').collect();
                (fields[0].parse().unwrap(), fields[3].to_owned())
            })
            .collect();
        ranked.sort_unstable();
        let owner = ask(&server.dns, &Query::new(NAME, "A").subnet(&subnet, 24));

        let priorities: Vec<u16> = ranked.iter().map(|(priority, _)| *priority).collect();
        assert_eq!(priorities, [0, 1, 2, 3, 4]);
        assert_eq!(ranked[0].1, format!("i-{}.{NAME}.", owner[0]), "rank 0 is who A says");
    }
}

#[test]
fn a_sticky_subset_is_the_clients_own() {
    let server = web(&json!({ "answer": "sticky_subset", "max_answers": 3 }), &[1; 12]);
    let of = |client: u32| {
        let query = Query::new(NAME, "A").subnet(&format!("10.3.{client}.0"), 24);
        let answer: BTreeSet<usize> = ask(&server.dns, &query).into_iter().collect();
        assert_eq!(answer.len(), 3);
        answer
    };

    let sets: Vec<BTreeSet<usize>> = (0..100).map(of).collect();

    for (client, set) in (0..).zip(&sets) {
        assert_eq!(of(client), *set);
    }
    let distinct: BTreeSet<_> = sets.iter().collect();
    assert!(distinct.len() > 50, "clients differ: {}", distinct.len());
    let included = count(sets.into_iter().flatten());
    for i in 0..12 {
        assert!(plausible(included[&i], 100, 0.25), "{included:?}");
    }
}
