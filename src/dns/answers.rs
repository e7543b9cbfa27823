//! Whole answers of the front to single questions, where parts that are right alone must agree.

use hickory_proto::op::Message;
use hickory_proto::rr::RData;

use crate::dns::fixture::{QueryBytes, Stand};
use crate::dns::rtype;
use crate::dns::transport::Transport;
use crate::model::Load;
use crate::resolve::Resolution;

/// The answers' data as text.
fn data(reply: &Message) -> Vec<String> {
    reply.answers.iter().map(|record| record.data.to_string()).collect()
}

/// What the reply says of a client subnet: its data.
fn subnet(reply: &Message) -> String {
    let edns = reply.edns.as_ref().unwrap();
    format!("{:?}", edns.option(hickory_proto::rr::rdata::opt::EdnsCode::Subnet))
}

fn instance(id: &str, rest: &str) -> String {
    let number = id.rsplit('-').next().unwrap();
    format!(r#"{{"id":"{id}","addresses":["10.0.0.{number}"],"port":80{rest}}}"#)
}

fn instances(count: usize, rest: impl Fn(usize) -> String) -> Vec<String> {
    (1..=count).map(|i| instance(&format!("i-{i}"), &rest(i))).collect()
}

fn stand(settings: &str, instances: &[String]) -> Stand {
    let instances: Vec<&str> = instances.iter().map(String::as_str).collect();
    Stand::new(&[("web", settings, &instances)], &[])
}

#[test]
fn the_scope_is_what_the_answer_depended_on() {
    let hashed = stand(r#"{"balance":"consistent_hash"}"#, &instances(3, |_| String::new()));
    let rotated = stand("{}", &instances(3, |_| String::new()));
    let long = format!(r#","metadata":{{"k":"{}"}}"#, "x".repeat(250));
    let many = instances(9, |i| long.replace("xxx", &format!("x{i}x")));
    let texts = stand(r#"{"balance":"consistent_hash","txt":"all"}"#, &many);
    for (stand, rtype, option, scope) in [
        (&hashed, rtype::A, &[0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100][..], 24),
        (&hashed, rtype::A, &[0, 8, 0, 8, 0, 1, 32, 0, 198, 51, 100, 7], 24),
        (&hashed, rtype::SRV, &[0, 8, 0, 6, 0, 1, 16, 0, 198, 51], 16),
        (&hashed, rtype::A, &[0, 8, 0, 11, 0, 2, 56, 0, 32, 1, 13, 184, 0, 0, 1], 56),
        // RFC 7871 section 7.1.2: nobody's address, so the answer holds for nobody else's either.
        (&hashed, rtype::A, &[0, 8, 0, 4, 0, 1, 0, 0], 0),
        (&hashed, rtype::A, &[0, 8, 0, 4, 0, 2, 0, 0], 0),
        (&hashed, rtype::TXT, &[0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100], 0),
        (&rotated, rtype::A, &[0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100], 0),
        (&texts, rtype::TXT, &[0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100], 0),
    ] {
        let packet = QueryBytes::new("web.service.local.", rtype).opt(1232, 0, option);
        let mut expected = option.to_vec();
        expected[7] = scope;

        let reply = stand.reply(&packet, "192.0.2.1", Transport::Udp);

        assert!(reply.ends_with(&expected), "{option:?}: {}", subnet(&stand.send(&packet, "::1")));
    }
}

#[test]
fn rank_never_puts_a_backup_first() {
    let settings = r#"{"balance":"consistent_hash","srv_tiers":"all"}"#;
    let tiers = |i| format!(r#","tier":{}"#, if i <= 3 { 0 } else { i });
    let stand = stand(settings, &instances(12, tiers));
    for client in 0..40 {
        let ask = |name: &str, rtype| {
            let packet = QueryBytes::new(name, rtype).opt(1232, 0, &[]);
            data(&stand.send(&packet, &format!("192.0.{client}.1")))
        };
        for name in ["web.service.local.".into(), format!("k{client}.key.web.service.local.")] {
            let mut ranked = ask(&name, rtype::SRV);
            ranked.sort_by_key(|srv| srv.split(' ').next().unwrap().parse::<u16>().unwrap());

            let last = |srv: &String| srv.split(['-', '.']).nth(1).unwrap().to_owned();
            let order: Vec<String> = ranked.iter().map(last).collect();
            assert_eq!(ask(&name, rtype::A), [format!("10.0.0.{}", order[0])]);
            assert_eq!(order[3..], ["4", "5", "6", "7", "8", "9", "10", "11", "12"]);
        }
    }
}

#[test]
fn all_types_agree_on_the_owner_of_a_key() {
    let settings = r#"{"balance":"consistent_hash","txt":"all"}"#;
    let rest = |i| format!(r#","metadata":{{"n":"{i}"}}"#);
    let with_ports = instances(5, rest);
    let without: Vec<String> = with_ports.iter().map(|i| i.replace(r#","port":80"#, "")).collect();
    for (instances, ports) in [(with_ports, true), (without, false)] {
        let stand = stand(settings, &instances);
        let view = stand.registry.views().service("web").unwrap();
        let overloaded = |at: usize, connections| {
            let load = Load { connections: Some(connections), ..Load::default() };
            view.instances[at].vitals.meter().report(load, stand.registry.clock().now());
        };
        for loaded in [false, true] {
            (0..5)
                .filter(|_| loaded)
                .for_each(|at| overloaded(at, if at < 2 { 90.0 } else { 10.0 }));
            for key in 0..30 {
                let name = format!("k{key}.key.web.service.local.");
                let a = data(&stand.ask(&name, rtype::A));
                let owner = a[0].rsplit('.').next().unwrap();

                assert_eq!(data(&stand.ask(&name, rtype::TXT)), [format!("n={owner}")]);
                let first = data(&stand.ask(&name, rtype::SRV)).into_iter().next();
                let expected = format!("0 256 80 i-{owner}.web.service.local.");
                assert_eq!(first, ports.then_some(expected), "{loaded}");
            }
        }
    }
}

#[test]
fn a_selection_of_two_tags_rotates_exactly() {
    let tags = |i| format!(r#","tags":["a","b","t{i}"]"#);
    let stand = stand("{}", &instances(4, tags));

    let names = ["a.b.tag.web.service.local.", "b.a.b.tag.web.service.local."];
    let first = |i: usize| data(&stand.ask(names[i % 2], rtype::A)).swap_remove(0);
    let firsts: Vec<String> = (0..40).map(first).collect();

    let mut round = firsts[..4].to_vec();
    round.sort();
    assert_eq!(round, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    assert!(firsts.iter().zip(&firsts[4..]).all(|(a, b)| a == b), "{firsts:?}");
}

#[test]
fn explaining_moves_no_counter() {
    let tags = |_| r#","tags":["a","b"]"#.to_owned();
    let stand = stand("{}", &instances(4, tags));
    for name in ["web.service.local.", "a.tag.web.service.local.", "a.b.tag.web.service.local."] {
        for (rtype, text) in [(rtype::A, "A"), (rtype::SRV, "SRV")] {
            let first = || data(&stand.ask(name, rtype)).swap_remove(0);
            let mut firsts = Vec::new();
            for i in 0..24 {
                firsts.push(first());
                (0..i % 3).for_each(|_| drop(stand.front.explain(name, text, None).unwrap()));
                (0..i % 2).for_each(|_| drop(stand.front.explain(name, "ANY", None).unwrap()));
            }

            assert!(firsts.iter().zip(&firsts[4..]).all(|(a, b)| a == b), "{name} {firsts:?}");
        }
    }
}

#[test]
fn one_instance_whose_addresses_do_not_fit_is_told_by_tc() {
    let addresses: Vec<String> = (1..=8).map(|i| format!(r#""2001:db8::{i}""#)).collect();
    let one = format!(r#"{{"id":"a","addresses":[{}]}}"#, addresses.join(","));
    let service = "s".repeat(60);
    let stand = Stand::new(&[(&service, r#"{"answer":"single"}"#, &[&one])], &[]);
    let long = format!("{0}.{0}.key.{service}.service.local.", "k".repeat(50));

    let reply = stand.send(&QueryBytes::new(&long, rtype::AAAA).opt(1232, 0, &[]), "::1");
    assert_eq!((reply.answers.len(), reply.metadata.truncation), (8, false));
    let reply = stand.send(&QueryBytes::new(&long, rtype::AAAA).opt(512, 0, &[]), "::1");
    assert_eq!((reply.answers.len(), reply.metadata.truncation), (8, false));

    let wide: Vec<String> = (1..=8)
        .map(|n| {
            let own: Vec<String> = (1..=7).map(|i| format!(r#""2001:db8:{n}::{i}""#)).collect();
            format!(r#"{{"id":"a{n}","addresses":["2001:db8::1",{}]}}"#, own.join(","))
        })
        .collect();
    let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    let stand = Stand::new(&[("web", r#"{"answer":"single"}"#, &wide)], &[]);
    // All share one address, and so are one unit of 57.
    let reply =
        stand.send(&QueryBytes::new("web.service.local.", rtype::AAAA).opt(1232, 0, &[]), "::1");
    assert!(reply.answers.len() < 57 && reply.metadata.truncation, "{}", reply.answers.len());
}

#[test]
fn glue_is_whole_sets() {
    let instances: Vec<String> = (1..=9)
        .map(|n| {
            let own: Vec<String> = (1..=8).map(|i| format!(r#""10.0.{n}.{i}""#)).collect();
            format!(r#"{{"id":"i-{n}","addresses":[{}],"port":80}}"#, own.join(","))
        })
        .collect();
    let stand = stand("{}", &instances);

    for size in (512..=1232).step_by(24) {
        let packet = QueryBytes::new("web.service.local.", rtype::SRV).opt(size, 0, &[]);
        let reply = stand.send(&packet, "::1");

        assert_eq!((reply.answers.len(), reply.metadata.truncation), (9, false));
        assert_eq!(reply.additionals.len() % 8, 0, "{size}: {:?}", reply.additionals);
    }
}

#[test]
fn addresses_of_what_is_browsed_come_with_its_srv() {
    let stand = stand("{}", &instances(9, |_| String::new()));

    for size in 512..=1232 {
        let packet = QueryBytes::new("_web._tcp.service.local.", rtype::PTR).opt(size, 0, &[]);
        let reply = stand.send(&packet, "::1");

        let targets = reply.additionals.iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv.target.to_string()),
            _ => None,
        });
        let targets: Vec<String> = targets.collect();
        let mut glue = reply.additionals.iter().filter(|r| matches!(r.data, RData::A(_)));
        assert!(glue.all(|a| targets.contains(&a.name.to_string())), "{size}: {reply:?}");
    }
}

#[test]
fn name_servers_bring_the_addresses_that_they_have() {
    let ns = "$ORIGIN service.local.\n$TTL 60\nns1 A 192.0.2.99\n";
    let set = "$ORIGIN service.local.\n$TTL 60\n@ NS ns1\n@ NS other\nother A 192.0.2.7\n";
    for (files, expected) in [
        (vec![], vec!["ns1.service.local. 192.0.2.53"]),
        (vec![ns], vec!["ns1.service.local. 192.0.2.99"]),
        (vec![set], vec!["ns1.service.local. 192.0.2.53", "other.service.local. 192.0.2.7"]),
    ] {
        let stand = Stand::new(&[], &files);

        let reply = stand.ask("service.local.", rtype::NS);

        let mut glue: Vec<String> =
            reply.additionals.iter().map(|r| format!("{} {}", r.name, r.data)).collect();
        glue.sort();
        assert_eq!(glue, expected);
    }
}

#[test]
fn what_has_names_below_it_exists() {
    let stand = stand("{}", &instances(1, |_| r#","tags":["a"]"#.to_owned()));
    for (below, above) in [
        ("x._nope._tcp.a.tag.web", "_nope._tcp.a.tag.web"),
        ("x._nope._tcp.a.key.web", "_nope._tcp.a.key.web"),
    ] {
        let code = |name: &str| {
            stand.ask(&format!("{name}.service.local."), rtype::SRV).metadata.response_code
        };
        assert_eq!(code(below).to_str(), "No Error", "{below}");
        assert_eq!(code(above), code(below), "{above}");
    }
}

#[test]
fn an_alias_leads_into_a_zone_below() {
    let own = "$ORIGIN service.local.\n$TTL 60\nd CNAME www.db\nn CNAME none.db\n";
    let below = "$ORIGIN db.service.local.\n$TTL 60\n@ SOA ns h 1 2 3 4 5\nwww A 10.0.0.9\n";
    let stand = Stand::new(&[], &[own, below]);

    let there = stand.ask("d.service.local.", rtype::A);
    let none = stand.ask("n.service.local.", rtype::A);

    assert_eq!(data(&there), ["www.db.service.local.", "10.0.0.9"]);
    assert_eq!(data(&none), ["none.db.service.local."]);
    assert_eq!(none.authorities[0].name.to_string(), "db.service.local.");
}

#[test]
fn aliases_in_a_circle_are_told_once() {
    let own = "$ORIGIN service.local.\n$TTL 60\n*.a CNAME x.b\n*.b CNAME x.a\n";
    let stand = Stand::new(&[], &[own]);

    let reply = stand.ask("y.a.service.local.", rtype::A);

    assert_eq!(data(&reply), ["x.b.service.local.", "x.a.service.local.", "x.b.service.local."]);
}

#[test]
fn a_negative_answer_without_room_for_its_soa_is_told_by_tc() {
    let apex = format!("{0}.{0}.{1}.", "z".repeat(60), "y".repeat(30));
    // A mailbox elsewhere, of which nothing can be left out.
    let mailbox = format!("{0}.{0}.{0}.{0}.", "r".repeat(60));
    let own = format!("$ORIGIN {apex}\n@ 60 SOA ns {mailbox} 1 2 3 4 5\n");
    let stand = Stand::of(&apex, &[], &[&own]);
    let name = format!("{}.{}.{apex}", "n".repeat(50), "m".repeat(40));

    let reply = stand.send(&QueryBytes::new(&name, rtype::A), "::1");

    assert_eq!((reply.authorities.len(), reply.metadata.truncation), (0, true));
}

fn explained(resolution: &Resolution) -> Vec<(&str, bool, &str)> {
    let instances = resolution.instances.iter();
    instances
        .map(|i| (i.id.as_str(), i.included, i.reasons.first().copied().unwrap_or("")))
        .collect()
}

#[test]
fn an_explanation_is_about_the_name_asked_for() {
    let stand = stand(
        "{}",
        &[
            instance("i-1", r#","admin":"draining","tags":["a"]"#),
            instance("i-2", r#","tags":["a"]"#),
            r#"{"id":"i-3","addresses":["10.0.0.2"],"port":80}"#.into(),
            r#"{"id":"i-4","addresses":["10.0.0.2"],"port":80,"tier":1,"tags":["a"]}"#.into(),
        ],
    );
    let explain = |name: &str, rtype: &str| {
        stand.front.explain(&format!("{name}.web.service.local"), rtype, None).unwrap()
    };
    let other = "another instance was asked for";

    // Its own name stands for it whatever its status.
    for rtype in ["A", "SRV", "TXT"] {
        let expected = [
            ("i-1", true, ""),
            ("i-2", false, other),
            ("i-3", false, other),
            ("i-4", false, other),
        ];
        assert_eq!(explained(&explain("i-1", rtype)), expected, "{rtype}");
    }
    assert_eq!(explained(&explain("i-1", "AAAA"))[0], ("i-1", false, "no IPv6 address"));
    // The address alone does not make an instance part of the answer.
    let expected = [
        ("i-1", false, "draining"),
        ("i-2", true, ""),
        ("i-3", false, "not selected by the name"),
        ("i-4", false, "not in the active tier"),
    ];
    assert_eq!(explained(&explain("a.tag", "A")), expected);
}

#[test]
fn an_explanation_says_what_found_no_room() {
    let stand = stand(r#"{"answer":"all"}"#, &instances(200, |_| String::new()));

    for rtype in ["A", "SRV"] {
        let resolution = stand.front.explain("web.service.local", rtype, None).unwrap();

        let count = resolution.instances.iter().filter(|i| i.included).count();
        assert_eq!((count, resolution.tc), (resolution.answers.len(), true), "{rtype}");
        let out = explained(&resolution).into_iter().find(|(_, included, _)| !included);
        assert_eq!(out.unwrap().2, "no room in the reply", "{rtype}");
    }
}

#[test]
fn explained_records_are_as_a_zone_file_writes_them() {
    let own = "$ORIGIN service.local.\n$TTL 60\nt\\255 TXT \"a b\" \"c\\\"d\"\n";
    let stand = Stand::new(&[], &[own]);

    let resolution = stand.front.explain("t\\255.service.local", "TXT", None).unwrap();

    let record = &resolution.answers[0];
    assert_eq!((&*record.name, &*record.data), ("t\\255.service.local.", "\"a b\" \"c\\\"d\""));
}

#[test]
fn the_part_of_a_set_that_fits_is_the_same_for_the_same_client() {
    let many: Vec<String> = (0..6000)
        .map(|i| {
            format!(r#"{{"id":"i-{i}","addresses":["10.1.{}.{}"],"port":80}}"#, i / 250, i % 250)
        })
        .collect();
    let stand = stand(r#"{"answer":"all"}"#, &many);
    for rtype in [rtype::A, rtype::SRV] {
        for (transport, at_least) in [(Transport::Udp, 20), (Transport::Tcp, 1400)] {
            let ask = |client: &str| {
                let packet = QueryBytes::new("web.service.local.", rtype).opt(1232, 0, &[]);
                let reply = Message::from_vec(&stand.reply(&packet, client, transport)).unwrap();
                assert!(reply.metadata.truncation && reply.answers.len() >= at_least);
                let mut data = data(&reply);
                data.sort();
                data.dedup();
                assert_eq!(data.len(), reply.answers.len());
                data
            };
            let first = ask("192.0.2.1");
            assert!((0..5).all(|i| ask(&format!("192.0.2.{i}")) == first));
            assert_ne!(ask("192.0.3.1"), first);
        }
    }
    let srv = stand.ask("web.service.local.", rtype::SRV);
    assert!(
        srv.additionals.is_empty() && srv.answers.iter().all(|r| matches!(r.data, RData::SRV(_)))
    );
}
