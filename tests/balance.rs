//! How clients are spread, seen through DNS queries: exact where the algorithm is exact, within five
//! standard deviations where it draws lots.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use support::dns::Query;
use support::server::Server;
use support::spread::{NAME, ask, ask_a, ask_srv, assert_shares, count, plausible, register, web};
use support::{SOON, at, eventually, now};

#[test]
fn round_robin_rotates_exactly_and_each_type_by_itself() {
    // Weights mean nothing to it.
    let server = web(&json!({ "balance": "round_robin" }), &[1, 9, 1, 5, 1]);
    let mut firsts: [Vec<usize>; 3] = Default::default();

    for round in 0..60 {
        firsts[0].push(ask_a(&server.dns)[0]);
        // The usual pair of queries, and at times another, must not take turns away from A.
        firsts[1].push(ask(&server.dns, &Query::new(NAME, "AAAA"))[0]);
        if round % 3 == 0 {
            firsts[2].push(ask_srv(&server.dns, &Query::new(NAME, "SRV"))[0]);
        }
    }

    for (rtype, firsts) in ["A", "AAAA", "SRV"].iter().zip(&firsts) {
        for window in firsts.windows(5) {
            let distinct: BTreeSet<_> = window.iter().collect();
            assert_eq!(distinct.len(), 5, "{rtype}: {firsts:?}");
        }
    }
}

#[test]
fn round_robin_of_one_answer_is_exact_too() {
    let server = web(&json!({ "answer": "single" }), &[1; 7]);

    let picks: Vec<Vec<usize>> = (0..70).map(|_| ask_a(&server.dns)).collect();

    for window in picks.windows(7) {
        let distinct: BTreeSet<_> = window.iter().flatten().collect();
        assert_eq!(distinct.len(), 7, "{picks:?}");
    }
}

#[test]
fn round_robin_samples_each_instance_as_often() {
    let server = web(&json!({ "answer": "subset" }), &[1; 20]);
    let mut included = BTreeMap::new();
    let mut first = BTreeMap::new();

    for round in 1..=400 {
        let answer = ask_a(&server.dns);
        assert_eq!(answer.iter().collect::<BTreeSet<_>>().len(), 8, "{answer:?}");
        *first.entry(answer[0]).or_default() += 1;
        for i in answer {
            *included.entry(i).or_insert(0) += 1;
        }
        let of = |i| included.get(&i).copied().unwrap_or(0);
        let (least, most) = ((0..20).map(of).min(), (0..20).map(of).max());
        assert!(most.unwrap() - least.unwrap() <= 1, "round {round}: {included:?}");
    }
    assert_shares("first place", &first, 400, &[1; 20]);
}

#[test]
fn records_after_the_first_are_shuffled() {
    let server = web(&json!({}), &[1; 4]);
    let mut seconds = vec![BTreeMap::new(); 4];

    for _ in 0..1_200 {
        let answer = ask_a(&server.dns);
        *seconds[answer[0]].entry(answer[1]).or_insert(0_usize) += 1;
    }

    for (first, seconds) in seconds.iter().enumerate() {
        for second in (0..4).filter(|second| *second != first) {
            let found = seconds.get(&second).copied().unwrap_or(0);
            // A plain rotation would send all of a dead instance's clients to one other.
            assert!(plausible(found, 300, 1.0 / 3.0), "after {first}: {seconds:?}");
        }
    }
}

#[test]
fn random_keeps_to_the_weights() {
    let weights = [1, 2, 3, 4];
    let server = web(&json!({ "balance": "random", "answer": "single" }), &weights);

    for answer in ["single", "subset", "ordered"] {
        server.http.set("web", &json!({ "balance": "random", "answer": answer }));
        let picks = count((0..3_000).map(|_| ask_a(&server.dns)[0]));
        assert_shares(answer, &picks, 3_000, &weights);
    }
}

#[test]
fn weighted_round_robin_of_one_answer_is_exact_over_its_period() {
    for weights in [vec![5, 1, 1], vec![1, 2, 3, 4], vec![3, 3], vec![10, 1]] {
        let server =
            web(&json!({ "balance": "weighted_round_robin", "answer": "single" }), &weights);
        let divisor = if weights == [3, 3] { 3 } else { 1 };
        let period = weights.iter().sum::<u32>() as usize / divisor;

        let picks: Vec<usize> = (0..period * 6).map(|_| ask_a(&server.dns)[0]).collect();

        let expected: BTreeMap<usize, usize> =
            weights.iter().map(|weight| *weight as usize / divisor).enumerate().collect();
        for window in picks.windows(period) {
            assert_eq!(count(window.iter().copied()), expected, "{weights:?}: {picks:?}");
        }
        // Smooth: nobody who has half of the turns or less waits for another's turns in a row.
        if weights == [5, 1, 1] {
            let longest = picks.chunk_by(|a, b| a == b).map(<[usize]>::len).max();
            assert!(longest <= Some(4), "{picks:?}");
        }
    }
}

#[test]
fn weighted_samples_have_each_instance_first_and_included_by_weight() {
    let weights: Vec<u32> = (1..=10).collect();
    let server = web(&json!({ "balance": "weighted_round_robin" }), &weights);
    let (mut first, mut included) = (BTreeMap::new(), BTreeMap::new());

    for _ in 0..4_000 {
        let answer = ask_a(&server.dns);
        // W / w_max = 55 / 10.
        assert_eq!(answer.iter().collect::<BTreeSet<_>>().len(), 5, "{answer:?}");
        *first.entry(answer[0]).or_insert(0) += 1;
        for i in answer {
            *included.entry(i).or_insert(0) += 1;
        }
    }

    assert_shares("first place", &first, 4_000, &weights);
    for (i, weight) in weights.iter().enumerate() {
        let share = f64::from(*weight) * 5.0 / 55.0;
        assert!(plausible(included[&i], 4_000, share), "i-{i} is in {} of 4,000", included[&i]);
    }
}

#[test]
fn weights_follow_what_instances_can_do() {
    let server = web(&json!({ "balance": "weighted_round_robin" }), &[1, 1]);
    let revision = server.http.revision();
    let serial = server.dns.ask("service.local", "SOA");
    let start = now();
    let mut beats = 0;

    // As many requests a second, but with a third of the work: three times the speed. Weights
    // follow after ten seconds of reports, in small steps.
    eventually(Duration::from_secs(60), "the faster one has more weight", || {
        beats += 1;
        at(start + Duration::from_millis(500) * beats);
        let load = |cpu: f64| json!({ "load": { "qps": 100.0, "cpu": cpu } });
        for (i, cpu) in [(0, 0.9), (1, 0.3)] {
            let path = format!("/v1/services/web/instances/i-{i}/heartbeat");
            assert_eq!(server.http.put(&path, &load(cpu)).status, 200);
        }
        let srv = server.dns.ask(NAME, "SRV");
        let weight = |id: &str| -> u32 {
            let data = srv.data().into_iter().find(|data| data.contains(id)).unwrap();
            data.split(' ').nth(1).unwrap().parse().unwrap()
        };
        (weight("i-1.") == 65_535 && weight("i-0.") < 60_000).then_some(())
    });

    let picks = count((0..300).map(|_| ask_a(&server.dns)[0]));
    assert!(picks[&1] > picks[&0], "A follows too: {picks:?}");
    assert_eq!(server.http.revision(), revision, "dynamic weights are no revision");
    assert_eq!(server.dns.ask("service.local", "SOA"), serial);
}

fn report(server: &Server, i: usize, connections: f64) {
    let load = json!({ "load": { "connections": connections, "capacity": 100.0 } });
    let path = format!("/v1/services/web/instances/i-{i}/heartbeat");
    assert_eq!(server.http.put(&path, &load).status, 200);
}

#[test]
fn least_connections_goes_to_who_has_fewer() {
    let server =
        web(&json!({ "balance": "least_connections", "ttl": "0s", "answer": "single" }), &[1; 2]);
    report(&server, 0, 90.0);
    report(&server, 1, 0.0);

    let picks = count((0..50).map(|_| ask_a(&server.dns)[0]));
    assert_eq!(picks, BTreeMap::from([(1, 50)]), "0 + 50 handed out is less than 90");

    report(&server, 0, 0.0);
    report(&server, 1, 90.0);
    let picks = count((0..50).map(|_| ask_a(&server.dns)[0]));
    assert_eq!(picks, BTreeMap::from([(0, 50)]), "a report counts at once");
}

#[test]
fn least_connections_counts_what_it_hands_out() {
    let server =
        web(&json!({ "balance": "least_connections", "ttl": "0s", "answer": "single" }), &[1; 4]);
    (0..4).for_each(|i| report(&server, i, 10.0));

    let picks = count((0..200).map(|_| ask_a(&server.dns)[0]));

    // Reports alone would send all of them to one. Two choices differ by a few at most.
    assert!(picks.len() == 4 && picks.values().all(|n| (40..=60).contains(n)), "{picks:?}");
}

#[test]
fn least_connections_behind_caches_samples_by_idle_capacity() {
    let settings = json!({ "balance": "least_connections", "answer": "subset", "max_answers": 1 });
    let server = web(&settings, &[1; 3]);

    // What is handed out counts until the next report, and weights follow in less than a second:
    // each attempt begins with fresh reports.
    eventually(SOON, "the full one gets nothing, the idle one most", || {
        [100.0, 80.0, 0.0].into_iter().enumerate().for_each(|(i, n)| report(&server, i, n));
        at(now() + Duration::from_millis(700));
        let picks = count((0..60).map(|_| ask_a(&server.dns)[0]));
        let of = |i| picks.get(&i).copied().unwrap_or(0);
        // By 20 to 100: 10 of 60 are expected, and six deviations are 17.
        (of(0) == 0 && (1..=27).contains(&of(1))).then_some(())
    });
}

#[test]
fn the_lowest_tier_with_a_usable_instance_is_answered() {
    let server = Server::start("");
    for (id, tier) in [("i-1", 0), ("i-2", 0), ("i-3", 1), ("i-4", 7)] {
        let address = id.replace("i-", "10.0.0.");
        let body = json!({ "addresses": [address], "port": 80, "tier": tier, "ttl": null });
        server.http.register("web", id, &body);
    }
    let fail = |id: &str, status: &str| {
        let path = format!("/v1/services/web/instances/{id}");
        assert_eq!(server.http.patch(&path, &json!({ "status": status })).status, 200);
    };
    let set = || {
        (
            ask_a(&server.dns).into_iter().collect::<BTreeSet<_>>(),
            ask_srv(&server.dns, &Query::new(NAME, "SRV")).into_iter().collect::<BTreeSet<_>>(),
        )
    };

    assert_eq!(set(), ([1, 2].into(), [1, 2].into()));
    fail("i-1", "critical");
    assert_eq!(set(), ([2].into(), [2].into()));
    fail("i-2", "critical");
    assert_eq!(set(), ([3].into(), [3].into()));
    fail("i-3", "critical");
    assert_eq!(set(), ([4].into(), [4].into()));
    fail("i-2", "warning");
    assert_eq!(set(), ([2].into(), [2].into()));

    server.http.set("web", &json!({ "srv_tiers": "all" }));
    fail("i-3", "passing");
    let srv = server.dns.ask(NAME, "SRV");
    let mut data = srv.data();
    data.sort_unstable();
    assert_eq!(
        data,
        [
            "0 256 80 i-2.web.service.local.",
            "1 256 80 i-3.web.service.local.",
            "7 256 80 i-4.web.service.local.",
        ]
    );
}

#[test]
fn auto_chooses_by_algorithm_ttl_number_and_weights() {
    let server = Server::start("");
    for (settings, weights, mode, k) in [
        (json!({ "balance": "consistent_hash" }), vec![1; 3], "single", 1),
        (json!({ "balance": "round_robin", "ttl": "0s" }), vec![1; 3], "ordered", 3),
        (json!({ "balance": "round_robin", "ttl": "0s" }), vec![1; 12], "ordered", 8),
        (json!({ "balance": "round_robin" }), vec![1; 8], "all", 8),
        (json!({ "balance": "round_robin" }), vec![1, 9, 4], "all", 3),
        (json!({ "balance": "round_robin" }), vec![1; 9], "subset", 8),
        (json!({ "balance": "random" }), vec![10, 11], "all", 2),
        (json!({ "balance": "random" }), vec![10, 12], "subset", 1),
        (json!({ "balance": "weighted_round_robin" }), vec![1, 2, 3], "subset", 2),
        (json!({ "balance": "least_connections" }), vec![1; 3], "all", 3),
        (json!({ "balance": "random", "max_answers": 2 }), vec![1; 3], "subset", 2),
        (json!({ "balance": "random", "answer": "all", "max_answers": 2 }), vec![1; 3], "all", 3),
        (json!({ "balance": "random", "answer": "single" }), vec![1; 3], "single", 1),
    ] {
        server.http.set("web", &settings);
        register(&server, &weights);

        let explained = server.http.get(&format!("/v1/resolve?name={NAME}&type=A")).body;
        let told = (explained["answer"].as_str().unwrap(), explained["k"].as_u64().unwrap());
        assert_eq!(told, (mode, k), "{settings} {weights:?}");
        assert_eq!(ask_a(&server.dns).len() as u64, k, "{settings} {weights:?}");

        for i in 0..weights.len() {
            server.http.delete(&format!("/v1/services/web/instances/i-{i}"));
        }
    }
}

#[test]
fn each_instance_brings_all_its_addresses() {
    let server = Server::start("");
    for i in 0..3 {
        let addresses: Vec<String> = (0..4).map(|a| format!("10.0.{i}.{a}")).collect();
        server.http.register(
            "web",
            &format!("i-{i}"),
            &json!({ "addresses": addresses, "ttl": null }),
        );
    }

    for (max_answers, records) in [(12, 12), (11, 8), (8, 8), (7, 4), (2, 4), (1, 4)] {
        server.http.set("web", &json!({ "answer": "subset", "max_answers": max_answers }));
        let reply = server.dns.ask(NAME, "A");
        assert_eq!(reply.answers.len(), records, "max_answers {max_answers}");
        let instances: BTreeSet<&str> =
            reply.data().iter().map(|ip| ip.rsplit_once('.').unwrap().0).collect();
        assert_eq!(instances.len(), records / 4, "whole instances: {reply:?}");
    }
}

#[test]
fn srv_weights_are_256_or_scaled() {
    let server = Server::start("");
    for (settings, weights, expected) in [
        (json!({ "balance": "random" }), vec![7, 7], vec![256, 256]),
        (json!({ "balance": "random" }), vec![10, 11], vec![256, 256]),
        (json!({ "balance": "random" }), vec![1, 3], vec![21_845, 65_535]),
        (json!({ "balance": "random" }), vec![1, 2, 4], vec![16_384, 32_768, 65_535]),
        (json!({ "balance": "random" }), vec![1, 65_535], vec![1, 65_535]),
        (json!({ "balance": "random", "srv_weight_max": 1_000 }), vec![1, 2], vec![500, 1_000]),
        (json!({ "balance": "random", "srv_weight_max": 1_000 }), vec![1, 65_535], vec![1, 1_000]),
    ] {
        server.http.set("web", &settings);
        register(&server, &weights);

        let srv = server.dns.ask(NAME, "SRV");

        let mut found: Vec<(String, u32)> = srv
            .data()
            .iter()
            .map(|data| {
                let fields: Vec<&str> = data.split(' ').collect();
                (fields[3].to_owned(), fields[1].parse().unwrap())
            })
            .collect();
        found.sort_unstable();
        let found: Vec<u32> = found.into_iter().map(|(_, weight)| weight).collect();
        assert_eq!(found, expected, "{settings} {weights:?}");
        for i in 0..weights.len() {
            server.http.delete(&format!("/v1/services/web/instances/i-{i}"));
        }
    }
}

#[test]
fn asking_why_moves_no_counter() {
    let server = web(&json!({}), &[1; 3]);

    let firsts: Vec<usize> = (0..30)
        .map(|_| {
            for _ in 0..2 {
                server.http.get(&format!("/v1/resolve?name={NAME}&type=A&client=10.1.1.1"));
            }
            ask_a(&server.dns)[0]
        })
        .collect();

    for window in firsts.windows(3) {
        assert_eq!(window.iter().collect::<BTreeSet<_>>().len(), 3, "{firsts:?}");
    }
}
