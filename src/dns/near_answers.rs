//! What clients at different places are told of one service, in whole answers of the front.

use std::collections::BTreeMap;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::dns::fixture::{QueryBytes, Stand};
use crate::dns::front::Desk;
use crate::dns::rtype;
use crate::dns::transport::{Peer, Transport};
use crate::model::Locality;

/// Where the clients of these tests are.
const NETWORKS: &[(&str, &str, &str)] = &[
    ("10.1.0.0/16", "eu", "eu-1a"),
    ("10.2.0.0/16", "eu", "eu-1b"),
    ("10.3.0.0/16", "us", "us-1"),
    ("10.4.0.0/16", "eu", ""),
    ("10.4.7.64/26", "us", "us-1"),
    ("2001:db8:1::/48", "eu", "eu-1a"),
];

const EU_1A: &str = "10.1.0.1";
const EU_1B: &str = "10.2.0.1";
const US: &str = "10.3.0.1";
const EU: &str = "10.4.0.1";
const NOWHERE: &str = "192.0.2.1";

/// Instance `n` at 10.0.0.n, in a zone of which the first two letters are the region.
fn instance(n: usize, zone: &str, rest: &str) -> String {
    let locality = match zone {
        "" => "{}".to_owned(),
        zone => format!(r#"{{"region":"{}","zone":"{zone}"}}"#, &zone[..2]),
    };
    format!(r#"{{"id":"i-{n}","addresses":["10.0.0.{n}"],"port":80,"locality":{locality}{rest}}}"#)
}

fn stand(settings: &str, instances: &[String]) -> Stand {
    let instances: Vec<&str> = instances.iter().map(String::as_str).collect();
    Stand::new(&[("web", settings, &instances)], &[]).at(NETWORKS)
}

/// 1-4 in eu-1a, 5-6 in eu-1b, 7-8 in us-1, 9 nobody knows where; the first `critical` of them are.
fn fleet(critical: usize) -> Vec<String> {
    let zones = ["eu-1a", "eu-1a", "eu-1a", "eu-1a", "eu-1b", "eu-1b", "us-1", "us-1", ""];
    let status = |n| if n <= critical { r#","status":"critical""# } else { "" };
    (1..).zip(zones).map(|(n, zone)| instance(n, zone, status(n))).collect()
}

fn ask(stand: &Stand, name: &str, rtype: u16, client: &str) -> Message {
    stand.send(&QueryBytes::new(name, rtype).opt(1232, 0, &[]), client)
}

/// The last numbers of the addresses of the answer, sorted.
fn addresses(reply: &Message) -> Vec<u8> {
    let last = |data: &RData| match data {
        RData::A(a) => a.octets()[3],
        other => panic!("{other}"),
    };
    let mut all: Vec<u8> = reply.answers.iter().map(|record| last(&record.data)).collect();
    all.sort_unstable();
    all
}

fn a(stand: &Stand, client: &str) -> Vec<u8> {
    addresses(&ask(stand, "web.service.local.", rtype::A, client))
}

/// Priority and weight of each instance, by number.
fn srv(reply: &Message) -> BTreeMap<u8, (u16, u16)> {
    let record = |data: &RData| match data {
        RData::SRV(srv) => {
            let id = srv.target.to_string();
            let number = id.split(['-', '.']).nth(1).unwrap().parse().unwrap();
            (number, (srv.priority, srv.weight))
        }
        other => panic!("{other}"),
    };
    reply.answers.iter().map(|reply| record(&reply.data)).collect()
}

fn weights(stand: &Stand, client: &str) -> Vec<u16> {
    let reply = ask(stand, "web.service.local.", rtype::SRV, client);
    srv(&reply).into_values().map(|(_, weight)| weight).collect()
}

#[test]
fn clients_get_what_is_nearest() {
    let stand = stand("{}", &fleet(0));

    assert_eq!(a(&stand, EU_1A), [1, 2, 3, 4]);
    assert_eq!(a(&stand, "2001:db8:1::7"), [1, 2, 3, 4]);
    assert_eq!(a(&stand, EU_1B), [5, 6]);
    assert_eq!(a(&stand, US), [7, 8]);
    assert_eq!(a(&stand, EU), [1, 2, 3, 4, 5, 6], "no zone of its own");
    // Nine are more than an answer holds.
    assert_eq!(a(&stand, NOWHERE).len(), 8);
}

#[test]
fn srv_lists_all_and_what_is_far_weighs_next_to_nothing() {
    let stand = stand(r#"{"balance":"random"}"#, &fleet(0));

    assert_eq!(weights(&stand, NOWHERE), [256; 9]);
    assert_eq!(weights(&stand, US), [1, 1, 1, 1, 1, 1, 65_535, 65_535, 1]);
    let heavy = [instance(1, "eu-1a", r#","weight":3"#), instance(2, "eu-1a", "")];
    let stand = self::stand("{}", &[&heavy[..], &[instance(3, "us-1", "")]].concat());
    assert_eq!(weights(&stand, EU_1A), [65_535, 65_535, 1], "to turns all weigh the same");
}

#[test]
fn static_weights_stay_among_the_near() {
    let heavy = [instance(1, "eu-1a", r#","weight":3"#), instance(2, "eu-1a", "")];
    let far = [instance(3, "us-1", r#","weight":100"#)];
    let stand = stand(r#"{"balance":"weighted_round_robin"}"#, &[&heavy[..], &far].concat());

    assert_eq!(weights(&stand, EU_1A), [65_535, 21_845, 1]);
}

#[test]
fn who_wants_all_gets_all_that_are_near() {
    let stand = stand(r#"{"answer":"all"}"#, &fleet(0));

    assert_eq!(a(&stand, EU_1B), [5, 6]);
    assert_eq!(a(&stand, NOWHERE), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn it_can_be_switched_off_and_is_nothing_without_localities() {
    let off = stand(r#"{"locality":"off","answer":"all"}"#, &fleet(0));
    let nobody = stand(r#"{"answer":"all"}"#, &[instance(1, "", ""), instance(2, "", "")]);

    assert_eq!(a(&off, EU_1A).len(), 9);
    assert_eq!(a(&nobody, EU_1A), [1, 2]);
}

/// The share that each instance is first in, of 4,000 answers to clients in a network.
fn firsts(stand: &Stand, network: &str) -> BTreeMap<u8, f64> {
    let packet = QueryBytes::new("web.service.local.", rtype::A).opt(1232, 0, &[]).bytes();
    let (mut desk, mut reply) = (Desk::new(SmallRng::seed_from_u64(3)), Vec::new());
    let mut firsts = BTreeMap::new();
    for i in 0..4_000 {
        let source = format!("{network}.{}.{}:53", i % 250, i / 250 + 1);
        let peer = Peer { transport: Transport::Udp, source: source.parse().unwrap() };
        assert!(stand.front.handle_at(&mut desk, &packet, peer, &mut reply));
        let mut message = Message::from_vec(&reply).unwrap();
        message.answers.truncate(1);
        *firsts.entry(addresses(&message)[0]).or_default() += 1.0 / 4_000.0;
    }
    firsts
}

/// 1.4 of 2/4 stay in the zone, the rest of the region has more than enough for the rest.
const SPILL: [(u8, f64); 4] = [(3, 0.35), (4, 0.35), (5, 0.15), (6, 0.15)];

#[test]
fn what_is_short_spills_over_whatever_the_algorithm_and_the_answer_are() {
    for balance in
        ["round_robin", "random", "weighted_round_robin", "least_connections", "consistent_hash"]
    {
        for answer in ["auto", "subset", "ordered", "single", "sticky_subset"] {
            for ttl in ["0s", "5s"] {
                let settings = format!(
                    r#"{{"balance":"{balance}","answer":"{answer}","ttl":"{ttl}","max_answers":3}}"#
                );
                let stand = stand(&settings, &fleet(2));

                let firsts = firsts(&stand, "10.1");

                let what = format!("{settings} {firsts:?}");
                for (n, share) in SPILL {
                    // A client is a /24, so that there are but 250 of them.
                    let sticky = balance == "consistent_hash" || answer == "sticky_subset";
                    let least = balance == "least_connections" && ttl == "0s";
                    let bound = if sticky {
                        0.12
                    } else if least {
                        0.08
                    } else {
                        0.04
                    };
                    let found = firsts.get(&n).copied().unwrap_or(0.0);
                    assert!((found - share).abs() < bound, "{n}: {what}");
                }
                assert_eq!(firsts.len(), 4, "{what}");
            }
        }
    }
}

#[test]
fn srv_weights_say_what_spills_over() {
    let stand = stand(r#"{"balance":"random"}"#, &fleet(2));

    // 35 to 15.
    assert_eq!(weights(&stand, EU_1A), [65_535, 65_535, 28_086, 28_086, 1, 1, 1]);
    assert_eq!(weights(&stand, NOWHERE), [256; 7]);
}

#[test]
fn tiers_come_before_localities() {
    let near_spare = [instance(1, "eu-1a", r#","tier":1"#), instance(2, "us-1", "")];
    let settings = r#"{"srv_tiers":"all","balance":"random"}"#;
    let stand =
        stand(settings, &[&near_spare[..], &[instance(3, "us-1", r#","tier":1"#)]].concat());

    let reply = ask(&stand, "web.service.local.", rtype::SRV, EU_1A);

    assert_eq!(a(&stand, EU_1A), [2]);
    let expected = [(1, (1, 65_535)), (2, (0, 65_535)), (3, (1, 1))];
    assert_eq!(srv(&reply), expected.into_iter().collect());
}

#[test]
fn a_type_that_no_near_instance_has_is_that_of_the_others() {
    let v6 =
        r#"{"id":"i-1","addresses":["2001:db8::1"],"locality":{"region":"eu","zone":"eu-1a"}}"#;
    let stand = stand("{}", &[v6.to_owned(), instance(2, "us-1", "")]);

    assert_eq!(a(&stand, EU_1A), [2]);
    let aaaa = ask(&stand, "web.service.local.", rtype::AAAA, EU_1A);
    assert_eq!(aaaa.answers.len(), 1);
    let srv = srv(&ask(&stand, "web.service.local.", rtype::SRV, EU_1A));
    assert_eq!(srv.into_iter().collect::<Vec<_>>(), [(2, (0, 256))], "1 has no port");
}

#[test]
fn bindings_put_what_is_far_behind_since_they_tell_no_weights() {
    let ports = r#","ports":[{"name":"https","port":443}]"#;
    let named = |n, zone: &str| instance(n, zone, ports).replace(r#","port":80"#, "");
    let stand = stand("{}", &[named(1, "eu-1a"), named(2, "us-1")]);

    let priorities = |client: &str| {
        let reply = ask(&stand, "web.service.local.", rtype::HTTPS, client);
        let priority = |data: &RData| match data {
            RData::HTTPS(https) => https.0.svc_priority,
            other => panic!("{other}"),
        };
        let mut all: Vec<u16> = reply.answers.iter().map(|r| priority(&r.data)).collect();
        all.sort_unstable();
        all
    };

    assert_eq!(priorities(NOWHERE), [1, 1]);
    assert_eq!(priorities(EU_1A), [1, 2]);
}

#[test]
fn a_key_a_zone_and_texts_are_the_same_for_everybody() {
    let with = |n, zone| instance(n, zone, &format!(r#","metadata":{{"n":"{n}"}},"tags":["t"]"#));
    let zones = ["eu-1a", "eu-1b", "us-1"];
    let instances: Vec<String> = (1..).zip(zones).map(|(n, zone)| with(n, zone)).collect();
    let stand = stand(r#"{"txt":"all","balance":"random"}"#, &instances);
    let from = |name: &str, rtype, client: &str| {
        let reply = ask(&stand, &format!("{name}.web.service.local."), rtype, client);
        let mut data: Vec<String> = reply.answers.iter().map(|r| r.data.to_string()).collect();
        data.sort();
        data
    };

    for key in 0..20 {
        for rtype in [rtype::A, rtype::TXT, rtype::SRV] {
            let name = format!("k{key}.key");
            assert_eq!(from(&name, rtype, EU_1A), from(&name, rtype, US), "{name}");
        }
    }
    assert_eq!(from("us-1.zone", rtype::A, EU_1A), ["10.0.0.3"]);
    assert_eq!(ask(&stand, "web.service.local.", rtype::TXT, EU_1A).answers.len(), 3);
    assert_eq!(from("t.tag", rtype::A, EU_1A), ["10.0.0.1"]);
    assert_eq!(from("t.tag", rtype::A, US), ["10.0.0.3"]);
    let browsed = ask(&stand, "_web._tcp.service.local.", rtype::PTR, EU_1A);
    assert_eq!(browsed.answers.len(), 3);
}

/// The scope of a reply to a client subnet.
fn scope(stand: &Stand, name: &str, rtype: u16, address: [u8; 4], length: u8) -> u8 {
    let octets = &address[..usize::from(length.div_ceil(8))];
    let size = u8::try_from(4 + octets.len()).unwrap();
    let option = [&[0, 8, 0, size, 0, 1, length, 0][..], octets].concat();
    let packet = QueryBytes::new(name, rtype).opt(1232, 0, &option);
    let reply = stand.reply(&packet, NOWHERE, Transport::Udp);
    // OPT comes last, and nothing else is in it.
    reply[reply.len() - octets.len() - 1]
}

#[test]
fn the_scope_is_what_decided_where_the_client_is() {
    let near = stand("{}", &fleet(0));
    let off = stand(r#"{"locality":"off"}"#, &fleet(0));
    let nobody = stand("{}", &[instance(1, "", ""), instance(2, "", "")]);
    let hashed = stand(r#"{"balance":"consistent_hash"}"#, &fleet(0));
    let web = "web.service.local.";
    for (stand, name, rtype, address, length, expected) in [
        (&near, web, rtype::A, [10, 1, 7, 0], 24, 24),
        (&near, web, rtype::SRV, [10, 1, 7, 0], 24, 24),
        (&near, web, rtype::A, [10, 1, 7, 9], 32, 24),
        (&near, web, rtype::A, [10, 1, 0, 0], 16, 16),
        // All that is known of it is not enough to say where it is.
        (&near, web, rtype::A, [10, 0, 0, 0], 8, 8),
        // Not to be anywhere is a place too: others must not be told the same.
        (&near, web, rtype::A, [192, 0, 2, 0], 24, 24),
        // A part of this /24 is elsewhere.
        (&near, web, rtype::A, [10, 4, 7, 9], 32, 32),
        (&near, web, rtype::A, [10, 4, 7, 70], 32, 32),
        (&near, web, rtype::A, [10, 4, 7, 64], 26, 26),
        (&near, web, rtype::A, [10, 4, 8, 70], 32, 24),
        (&hashed, web, rtype::A, [10, 4, 7, 70], 32, 32),
        (&hashed, web, rtype::A, [10, 4, 8, 70], 32, 24),
        // What is the same for everybody.
        (&near, web, rtype::A, [0; 4], 0, 0),
        (&near, web, rtype::TXT, [10, 1, 7, 0], 24, 0),
        (&near, "a.key.web.service.local.", rtype::A, [10, 1, 7, 0], 24, 0),
        (&near, "eu-1a.zone.web.service.local.", rtype::A, [10, 1, 7, 0], 24, 0),
        (&near, "i-1.web.service.local.", rtype::A, [10, 1, 7, 0], 24, 0),
        (&off, web, rtype::A, [10, 1, 7, 0], 24, 0),
        (&nobody, web, rtype::A, [10, 1, 7, 0], 24, 0),
    ] {
        let found = scope(stand, name, rtype, address, length);

        assert_eq!(found, expected, "{name} {rtype} {address:?}/{length}");
    }
}

#[test]
fn a_client_subnet_says_where_a_client_is() {
    let stand = stand("{}", &fleet(0));
    let from = |option: &[u8]| {
        let packet = QueryBytes::new("web.service.local.", rtype::A).opt(1232, 0, option);
        addresses(&stand.send(&packet, EU_1A))
    };

    assert_eq!(from(&[0, 8, 0, 7, 0, 1, 24, 0, 10, 3, 0]), [7, 8]);
    assert_eq!(from(&[0, 8, 0, 8, 0, 1, 32, 0, 10, 4, 7, 70]), [7, 8], "by all that it says");
    assert_eq!(from(&[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]).len(), 8);
    assert_eq!(from(&[0, 8, 0, 4, 0, 1, 0, 0]), [1, 2, 3, 4], "who says nothing is the source");
}

#[test]
fn the_weights_for_a_client_are_explained() {
    let stand = stand(r#"{"balance":"random"}"#, &fleet(0));
    let explain = |client: &str| {
        let client = Some(client.parse().unwrap());
        let resolution = stand.front.explain("web.service.local", "A", client).unwrap();
        let instances = resolution.instances.into_iter();
        let told = instances.map(|i| (i.weight, i.included, i.reasons.first().copied()));
        (resolution.locality, told.collect::<Vec<_>>())
    };

    let (locality, told) = explain(US);

    let us: Locality = serde_json::from_str(r#"{"region":"us","zone":"us-1"}"#).unwrap();
    assert_eq!(locality, Some(us));
    let far = (0, false, Some("far, and nearer ones are enough"));
    let near = (1, true, None);
    assert_eq!(told, [far, far, far, far, far, far, near, near, far]);
    let (locality, told) = explain(NOWHERE);
    assert_eq!(locality, None);
    assert_eq!(told.iter().filter(|(weight, ..)| *weight == 1).count(), 9);
}
