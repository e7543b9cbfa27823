//! How large replies may be, what is left out where they would be larger, and how that is told.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use support::dig::dig;
use support::dns::Query;
use support::message::Message;
use support::needs;
use support::server::Server;

/// What the server sends at most over UDP, and says that it takes.
const LARGEST: u16 = 1232;

/// `count` instances of `service`, each with an IPv4 and an IPv6 address and a port.
fn instances(service: &str, count: u32) -> Vec<Value> {
    let one = |i: u32| {
        let (high, low) = (i / 250, i % 250);
        json!({
            "service": service, "id": format!("i-{i:04}"), "ttl": null, "port": 8080,
            "addresses": [format!("10.1.{high}.{low}"), format!("2001:db8::{i:x}")],
        })
    };
    (0..count).map(one).collect()
}

fn set_of(reply: &Message) -> BTreeSet<&str> {
    let set: BTreeSet<&str> = reply.answers.iter().map(String::as_str).collect();
    assert_eq!(set.len(), reply.answers.len(), "no record is there twice");
    set
}

#[test]
fn a_reply_holds_what_the_client_takes_and_opt_stays() {
    let server = Server::start("");
    server.http.batch(&instances("web", 200));

    for (payload, limit) in [
        (None, 512),
        (Some(0), 512),
        (Some(511), 512),
        (Some(512), 512),
        (Some(777), 777),
        (Some(LARGEST), 1232),
        (Some(4096), 1232),
        (Some(65_535), 1232),
    ] {
        let query = Query::new("web.service.local", "SRV").payload(payload);
        let reply = server.dns.query(&query);

        assert_eq!((reply.rcode.as_str(), reply.flags.as_str()), ("NOERROR", "qr aa tc"));
        // A record that is left out has at most 50 bytes.
        assert!(reply.size <= limit && reply.size > limit - 50, "{payload:?}: {}", reply.size);
        assert_eq!(reply.additional, Vec::<String>::new(), "glue goes first");
        assert_eq!(reply.edns.map(|edns| edns.payload), payload.map(|_| LARGEST), "{payload:?}");
        set_of(&server.dns.query(&query));
    }
}

#[test]
fn opt_comes_exactly_once_when_it_was_sent_and_never_else() {
    let server = Server::start("[services.empty]\n[defaults]\nanswer = \"all\"");
    server.http.batch(&instances("web", 100));

    for (name, rtype) in [
        ("web.service.local", "A"),
        ("web.service.local", "SRV"),
        ("i-0001.web.service.local", "A"),
        ("empty.service.local", "A"),
        ("nobody.service.local", "A"),
        ("example.com", "A"),
        ("service.local", "SOA"),
        ("service.local", "NS"),
        ("service.local", "ANY"),
        ("service.local", "AXFR"),
    ] {
        let query = Query::new(name, rtype);
        let (with, without) =
            (server.dns.query(&query), server.dns.query(&query.clone().payload(None)));
        let tcp = (server.dns.tcp(&query), server.dns.tcp(&query.payload(None)));

        // That there are not two is a matter of parsing.
        for (reply, expected) in [(with, true), (without, false), (tcp.0, true), (tcp.1, false)] {
            assert_eq!(reply.edns.is_some(), expected, "{name} {rtype}: {reply:?}");
            assert!(reply.edns.is_none_or(|edns| edns.version == 0 && edns.payload == LARGEST));
        }
    }
}

#[test]
fn tc_says_exactly_that_srv_records_are_missing() {
    let server = Server::start("");

    for (count, instance) in (1..).zip(instances("web", 70)) {
        server.http.batch(&[instance]);
        for payload in [None, Some(700), Some(LARGEST)] {
            let query = Query::new("web.service.local", "SRV").payload(payload);
            let reply = server.dns.query(&query);

            let missing = set_of(&reply).len() < count;
            assert_eq!(reply.truncated(), missing, "{count} instances, {payload:?}");
            assert!(!missing || reply.additional.is_empty(), "glue only beside the whole set");
        }
    }
}

#[test]
fn glue_is_dropped_without_a_word() {
    let server = Server::start("");
    server.http.batch(&instances("web", 25));

    let reply = server.dns.ask("web.service.local", "SRV");

    assert_eq!((set_of(&reply).len(), reply.flags.as_str()), (25, "qr aa"));
    assert!(reply.additional.len() < 50 && reply.size <= LARGEST.into());
    let whole = server.dns.tcp(&Query::new("web.service.local", "SRV"));
    assert_eq!((whole.answers.len(), whole.additional.len()), (25, 50));
}

#[test]
fn all_is_whole_or_says_that_it_is_not() {
    let server = Server::start("[defaults]\nanswer = \"all\"");
    server.http.batch(&instances("few", 30));
    server.http.batch(&instances("many", 100));

    for (rtype, payload) in
        [("A", Some(LARGEST)), ("AAAA", Some(LARGEST)), ("A", None), ("AAAA", None)]
    {
        let ask = |service: &str| {
            server
                .dns
                .query(&Query::new(&format!("{service}.service.local"), rtype).payload(payload))
        };
        let (few, many) = (ask("few"), ask("many"));

        assert_eq!(few.truncated(), few.answers.len() < 30, "{rtype} {payload:?}");
        assert_eq!((many.flags.as_str(), many.answers.len() < 100), ("qr aa tc", true));
        // Not empty: a client that ignores TC still gets somewhere.
        assert!(many.answers.len() >= 15, "{rtype} {payload:?}: {}", many.answers.len());
    }
}

#[test]
fn samples_are_chosen_to_fit_without_tc() {
    let server = Server::start("[defaults]\nmax_answers = 4096");
    server.http.batch(&instances("web", 100));

    for answer in ["subset", "sticky_subset", "ordered"] {
        server.http.set("web", &json!({ "answer": answer }));
        for (payload, limit) in [(None, 512), (Some(900), 900), (Some(4096), 1232)] {
            for rtype in ["A", "AAAA"] {
                let query = Query::new("web.service.local", rtype).payload(payload);
                let reply = server.dns.query(&query);

                let told = (reply.rcode.as_str(), reply.flags.as_str());
                assert_eq!(told, ("NOERROR", "qr aa"), "{answer} {rtype} {payload:?}");
                assert!(reply.size <= limit && set_of(&reply).len() >= 15);
            }
        }
        let tcp = server.dns.tcp(&Query::new("web.service.local", "A"));
        assert_eq!((set_of(&tcp).len(), tcp.truncated()), (100, false), "{answer}");
    }
    server.http.set("web", &json!({ "answer": "subset", "max_answers": 5 }));
    assert_eq!(set_of(&server.dns.ask("web.service.local", "A")).len(), 5);
}

#[test]
fn tcp_gives_the_whole_set_and_dig_goes_there_by_itself() {
    if !needs::works(needs::DIG) {
        return;
    }
    let server = Server::start("[defaults]\nanswer = \"all\"");
    server.http.batch(&instances("web", 200));

    for rtype in ["A", "AAAA", "SRV"] {
        let reply = server.dns.tcp(&Query::new("web.service.local", rtype));

        let told = (reply.rcode.as_str(), reply.flags.as_str(), set_of(&reply).len());
        assert_eq!(told, ("NOERROR", "qr aa", 200), "{rtype}");
        let dug = dig(server.dns.address, &format!("+noall +answer web.service.local {rtype}"));
        assert_eq!(dug.len(), 200, "{rtype}");
    }
    let glue: BTreeSet<String> =
        server.dns.tcp(&Query::new("web.service.local", "SRV")).additional.into_iter().collect();
    assert_eq!(glue.len(), 400);
}

#[test]
fn at_64_kib_the_same_client_gets_the_same_part() {
    let server = Server::start("[defaults]\nanswer = \"all\"");
    server.http.batch(&instances("web", 5_000));

    for rtype in ["A", "AAAA", "SRV"] {
        let query = Query::new("web.service.local", rtype).subnet("198.51.100.0", 24);
        let first = server.dns.tcp(&query);

        assert_eq!((first.rcode.as_str(), first.flags.as_str()), ("NOERROR", "qr aa tc"));
        assert!(first.size > 65_000 && first.answers.len() < 5_000, "{rtype}: {}", first.size);
        assert!(first.edns.is_some());
        for _ in 0..4 {
            let again = server.dns.tcp(&query);
            assert_eq!(set_of(&again), set_of(&first), "{rtype}: the same part each time");
        }
    }
}

#[test]
fn a_truncated_part_over_udp_is_the_same_for_the_same_client_too() {
    let server = Server::start("[defaults]\nanswer = \"all\"");
    server.http.batch(&instances("web", 300));

    for rtype in ["A", "SRV"] {
        let query = Query::new("web.service.local", rtype).subnet("198.51.100.0", 24);
        let first = server.dns.query(&query);
        assert!(first.truncated());
        for _ in 0..20 {
            assert_eq!(set_of(&server.dns.query(&query)), set_of(&first), "{rtype}");
        }
    }
}
