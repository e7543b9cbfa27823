//! Rows 24-46: what the data means.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::row::{rows, told};
use crate::served::{
    CORP_NODATA, CORP_NXDOMAIN, CORP_SOA, NODATA, NXDOMAIN, ONE, REFUSED, SOA, server,
};
use crate::support::dns::Query;
use crate::support::packet::{Packet, ask, raw};
use crate::support::server::Server;
use crate::via::Via;

rows! {
    row_24_a_name_without_the_type_is_no_data: [
        ask("one.service.local", "MX").gets(NODATA),
        ask("one-1.one.service.local", "SOA").gets(NODATA),
        ask("two.service.local", "AAAA").gets(NODATA),
        ask("gateway.service.local", "AAAA").gets(NODATA),
        ask("www.corp.example", "TXT").gets(CORP_NODATA),
    ];
    row_25_a_missing_name_is_a_name_error: [
        ask("nobody.service.local", "A").gets(NXDOMAIN),
        ask("nobody.service.local", "TYPE65280").gets(NXDOMAIN),
        ask("one-2.one.service.local", "A").gets(NXDOMAIN),
        ask("nobody.corp.example", "A").gets(CORP_NXDOMAIN),
    ];
    row_26_a_name_between_names_is_no_data: [
        ask("_tcp.one.service.local", "A").gets(NODATA),
        ask("tag.one.service.local", "A").gets(NODATA),
        ask("zone.one.service.local", "SRV").gets(NODATA),
        ask("key.one.service.local", "A").gets(NODATA),
        ask("deep.service.local", "A").gets(NODATA),
        ask("c.deep.service.local", "TXT").gets(NODATA),
        ask("deep.corp.example", "A").gets(CORP_NODATA),
        ask("c.deep.corp.example", "A").gets(CORP_NODATA),
        ask("_tcp.corp.example", "SRV").gets(CORP_NODATA),
    ];
    row_27_below_a_leaf_is_a_name_error: [
        ask("x.one-1.one.service.local", "A").gets(NXDOMAIN),
        ask("x.gateway.service.local", "A").gets(NXDOMAIN),
        ask("x.www.corp.example", "A").gets(CORP_NXDOMAIN),
        ask("x.y.z.www.corp.example", "A").gets(CORP_NXDOMAIN),
    ];
    row_28_unknown_types_are_no_data: [
        ask("one.service.local", "TYPE1000").gets(NODATA),
        ask("one.service.local", "TYPE65280").gets(NODATA),
        ask("one.service.local", "TYPE65535").gets(NODATA),
        ask("one.service.local", "RRSIG").gets(NODATA),
        ask("one.service.local", "NSEC").gets(NODATA),
        ask("one.service.local", "DS").gets(NODATA),
        ask("one.service.local", "DNSKEY").gets(NODATA),
        ask("one.service.local", "HTTPS").gets(NODATA),
        ask("one.service.local", "CAA").gets(NODATA),
        // Types that are no data of a zone.
        ask("one.service.local", "TYPE41").gets(NODATA),
        ask("one.service.local", "TYPE249").gets(NODATA),
        ask("one.service.local", "TYPE250").gets(NODATA),
        ask("www.corp.example", "TYPE65535").gets(CORP_NODATA),
        ask("www.corp.example", "RRSIG").gets(CORP_NODATA),
    ];
    row_29_type_0_is_no_data: [
        ask("one.service.local", "TYPE0").gets(NODATA),
        ask("www.corp.example", "TYPE0").gets(CORP_NODATA),
    ];
    row_30_a_service_without_usable_instances_is_no_data: [
        ask("empty.service.local", "A").gets(NODATA),
        ask("empty.service.local", "SRV").gets(NODATA),
        ask("ill.service.local", "A").gets(NODATA),
        // By its own name an instance is found whatever its status.
        ask("ill-1.ill.service.local", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an ill-1.ill.service.local. 5 A 10.0.0.31"]),
    ];
    row_31_the_apex_has_soa_and_ns_and_no_address: [
        ask("service.local", "SOA").gets(&[
            "NOERROR qr aa 1/1/0/0",
            "an service.local. 1 SOA ns1.service.local. hostmaster.service.local. \
             * 3600 600 86400 1",
        ]),
        ask("service.local", "NS").gets(&[
            "NOERROR qr aa 1/1/0/2",
            "an service.local. 300 NS ns1.service.local.",
            "ar ns1.service.local. 300 A 192.0.2.1",
            "ar ns1.service.local. 300 AAAA 2001:db8::53",
        ]),
        ask("service.local", "A").gets(NODATA),
        ask("corp.example", "SOA").gets(&[
            "NOERROR qr aa 1/1/0/0",
            "an corp.example. 120 SOA ns.corp.example. admin.corp.example. 77 1 2 3 30",
        ]),
        ask("corp.example", "NS").gets(&[
            "NOERROR qr aa 1/1/0/1",
            "an corp.example. 120 NS ns.corp.example.",
            "ar ns.corp.example. 120 A 192.0.2.53",
        ]),
        ask("corp.example", "A").gets(CORP_NODATA),
        // DS is the parent's, also of a zone that is served too (RFC 4035 section 3.1.4.1), but
        // there is nobody else to say it of a zone whose parent is not.
        ask("child.corp.example", "DS").gets(CORP_NODATA),
        ask("corp.example", "DS").gets(CORP_NODATA),
        ask("child.corp.example", "SOA").gets(&[
            "NOERROR qr aa 1/1/0/0",
            "an child.corp.example. 60 SOA a.child.corp.example. b.child.corp.example. 1 2 3 4 5",
        ]),
        ask("service.local", "DS").gets(NODATA),
        // The zone above knows nothing of this one: it must not deny its name.
        ask("inner.service.local", "DS").gets(&[
            "NOERROR qr aa 1/0/1/0",
            "ns inner.service.local. 5 SOA a.inner.service.local. b.inner.service.local. 1 2 3 4 5",
        ]),
    ];
    row_34_an_address_is_given_once: [
        ask("shared.service.local", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an shared.service.local. 5 A 10.0.0.21"]),
        ask("shared.service.local", "SRV").gets(&[
            "NOERROR qr aa 1/2/0/2",
            "an shared.service.local. 5 SRV 0 256 1 a.shared.service.local.",
            "an shared.service.local. 5 SRV 0 256 2 b.shared.service.local.",
            "ar a.shared.service.local. 5 A 10.0.0.21",
            "ar b.shared.service.local. 5 A 10.0.0.21",
        ]),
    ];
    row_35_wildcards_stand_for_what_is_not_there: [
        ask("any.w.corp.example", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an any.w.corp.example. 120 A 192.0.2.82"]),
        ask("a.b.c.w.corp.example", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an a.b.c.w.corp.example. 120 A 192.0.2.82"]),
        ask("*.w.corp.example", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an *.w.corp.example. 120 A 192.0.2.82"]),
        ask("x.*.w.corp.example", "A").gets(CORP_NXDOMAIN),
        ask("any.w.corp.example", "TXT").gets(CORP_NODATA),
        ask("w.corp.example", "A").gets(CORP_NODATA),
        // They exist, as names or between names, and so do not match.
        ask("host.w.corp.example", "A").gets(CORP_NODATA),
        ask("x.host.w.corp.example", "A").gets(CORP_NXDOMAIN),
        ask("ent.w.corp.example", "A").gets(CORP_NODATA),
        ask("y.ent.w.corp.example", "A").gets(CORP_NXDOMAIN),
        ask("x.alias.corp.example", "A").gets(&[
            "NOERROR qr aa 1/2/0/0",
            "an x.alias.corp.example. 120 CNAME www.corp.example.",
            "an www.corp.example. 120 A 192.0.2.80",
        ]),
        ask("any.wild.service.local", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an any.wild.service.local. 300 A 10.0.9.9"]),
        ask("x.host.wild.service.local", "A").gets(NXDOMAIN),
        ask("*.one.service.local", "A").gets(NXDOMAIN),
    ];
    row_36_aliases_are_followed_as_far_as_we_know: [
        ask("one.corp.example", "A").gets(&[
            "NOERROR qr aa 1/3/0/0",
            "an one.corp.example. 120 CNAME two.corp.example.",
            "an two.corp.example. 120 CNAME www.corp.example.",
            "an www.corp.example. 120 A 192.0.2.80",
        ]),
        ask("one.corp.example", "CNAME")
            .gets(&["NOERROR qr aa 1/1/0/0", "an one.corp.example. 120 CNAME two.corp.example."]),
        ask("one.corp.example", "TXT").gets(&[
            "NOERROR qr aa 1/2/1/0",
            "an one.corp.example. 120 CNAME two.corp.example.",
            "an two.corp.example. 120 CNAME www.corp.example.",
            CORP_SOA,
        ]),
        ask("gone.corp.example", "A").gets(&[
            "NXDOMAIN qr aa 1/1/1/0",
            "an gone.corp.example. 120 CNAME nowhere.corp.example.",
            CORP_SOA,
        ]),
        ask("loop1.corp.example", "A").gets(&[
            "NOERROR qr aa 1/2/0/0",
            "an loop1.corp.example. 120 CNAME loop2.corp.example.",
            "an loop2.corp.example. 120 CNAME loop1.corp.example.",
        ]),
        ask("into.corp.example", "A").gets(&[
            "NOERROR qr aa 1/1/2/1",
            "an into.corp.example. 120 CNAME host.sub.corp.example.",
            "ns sub.corp.example. 120 NS ns.else.example.",
            "ns sub.corp.example. 120 NS ns.sub.corp.example.",
            "ar ns.sub.corp.example. 120 A 192.0.2.90",
        ]),
        ask("out.service.local", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an out.service.local. 300 CNAME www.example.com."]),
        ask("service.service.local", "A").gets(&[
            "NOERROR qr aa 1/2/0/0",
            "an service.service.local. 300 CNAME one.service.local.",
            "an one.service.local. 5 A 10.0.0.1",
        ]),
        ask("service.service.local", "MX").gets(&[
            "NOERROR qr aa 1/1/1/0",
            "an service.service.local. 300 CNAME one.service.local.",
            SOA,
        ]),
    ];
    row_37_srv_names_hosts_and_gives_their_addresses: [
        ask("_http._tcp.one.service.local", "SRV").gets(&SRV_OF_ONE),
        ask("_one._tcp.service.local", "SRV").gets(&[
            "NOERROR qr aa 1/1/0/2",
            "an _one._tcp.service.local. 5 SRV 0 256 80 one-1.one.service.local.",
            "ar one-1.one.service.local. 5 A 10.0.0.1",
            "ar one-1.one.service.local. 5 AAAA 2001:db8::1",
        ]),
        ask("_svc._tcp.corp.example", "SRV").gets(&[
            "NOERROR qr aa 1/1/0/2",
            "an _svc._tcp.corp.example. 120 SRV 1 2 3 www.corp.example.",
            "ar www.corp.example. 120 A 192.0.2.80",
            "ar www.corp.example. 120 AAAA 2001:db8::80",
        ]),
        ask("_none._tcp.one.service.local", "SRV").gets(NXDOMAIN),
        ask("_http._udp.one.service.local", "SRV").gets(NXDOMAIN),
    ];
    row_39_any_gets_one_set: [
        ask("one.service.local", "ANY").gets(ONE),
        ask("www.corp.example", "ANY")
            .gets(&["NOERROR qr aa 1/1/0/0", "an www.corp.example. 120 A 192.0.2.80"]),
        ask("nobody.service.local", "ANY").gets(NXDOMAIN),
        ask("empty.service.local", "ANY").gets(NODATA),
    ];
    row_40_https_and_svcb: [
        ask("one.service.local", "HTTPS").gets(NODATA),
        ask("one.service.local", "SVCB").gets(NODATA),
        ask("www.corp.example", "HTTPS").gets(CORP_NODATA),
        ask("secure.service.local", "HTTPS").gets(&[
            "NOERROR qr aa 1/1/0/2",
            "an secure.service.local. 5 HTTPS 1 s-1.secure.service.local. port=8443 \
             ipv4hint=10.0.0.61 ipv6hint=2001:db8::61",
            "ar s-1.secure.service.local. 5 A 10.0.0.61",
            "ar s-1.secure.service.local. 5 AAAA 2001:db8::61",
        ]),
        ask("_http.one.service.local", "SVCB").gets(&[
            "NOERROR qr aa 1/1/0/2",
            "an _http.one.service.local. 5 SVCB 1 one-1.one.service.local. port=80 \
             ipv4hint=10.0.0.1 ipv6hint=2001:db8::1",
            "ar one-1.one.service.local. 5 A 10.0.0.1",
            "ar one-1.one.service.local. 5 AAAA 2001:db8::1",
        ]),
        ask("svcb.corp.example", "SVCB").gets(&[
            "NOERROR qr aa 1/1/0/2",
            "an svcb.corp.example. 120 SVCB 1 www.corp.example. port=53",
            "ar www.corp.example. 120 A 192.0.2.80",
            "ar www.corp.example. 120 AAAA 2001:db8::80",
        ]),
    ];
    row_41_services_can_be_browsed: [
        // With all that is asked next (RFC 6763 section 12.1).
        ask("_one._tcp.service.local", "PTR").gets(&[
            "NOERROR qr aa 1/1/0/4",
            "an _one._tcp.service.local. 5 PTR one-1._one._tcp.service.local.",
            "ar one-1._one._tcp.service.local. 5 SRV 0 256 80 one-1.one.service.local.",
            "ar one-1._one._tcp.service.local. 5 TXT \"\"",
            "ar one-1.one.service.local. 5 A 10.0.0.1",
            "ar one-1.one.service.local. 5 AAAA 2001:db8::1",
        ]),
        ask("one-1._one._tcp.service.local", "SRV").gets(&[
            "NOERROR qr aa 1/1/0/2",
            "an one-1._one._tcp.service.local. 5 SRV 0 256 80 one-1.one.service.local.",
            "ar one-1.one.service.local. 5 A 10.0.0.1",
            "ar one-1.one.service.local. 5 AAAA 2001:db8::1",
        ]),
        ask("one-1._one._tcp.service.local", "TXT").gets(&[
            "NOERROR qr aa 1/1/0/0",
            "an one-1._one._tcp.service.local. 5 TXT \"\"",
        ]),
        ask("one-2._one._tcp.service.local", "SRV").gets(NXDOMAIN),
    ];
    row_42_reverse_names_are_ours_only_where_we_are_told: [
        ask("1.0.0.10.in-addr.arpa", "PTR").gets(&[
            "NOERROR qr aa 1/1/0/0",
            "an 1.0.0.10.in-addr.arpa. 5 PTR one-1.one.service.local.",
        ]),
        ask("99.0.0.10.in-addr.arpa", "PTR").gets(&[
            "NXDOMAIN qr aa 1/0/1/0",
            "ns 0.0.10.in-addr.arpa. 1 SOA ns1.service.local. hostmaster.service.local. \
             * 3600 600 86400 1",
        ]),
        ask("1.1.0.10.in-addr.arpa", "PTR").gets(REFUSED),
        ask("1.0.0.127.in-addr.arpa", "PTR").gets(REFUSED),
        ask("ip6.arpa", "SOA").gets(REFUSED),
    ];
    row_43_names_may_hold_underscores: [
        ask("my_app.service.local", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an my_app.service.local. 5 A 10.0.0.41"]),
        ask("a_1.my_app.service.local", "A")
            .gets(&["NOERROR qr aa 1/1/0/0", "an a_1.my_app.service.local. 5 A 10.0.0.41"]),
    ];
    row_44_names_that_are_not_ascii_are_bytes: [
        raw(b"\x05caf\xc3\xa9\x07service\x05local\0", 1).gets(NXDOMAIN),
        ask("xn--caf-nobody.service.local", "A").gets(NXDOMAIN),
    ];
}

const SRV_OF_ONE: [&str; 4] = [
    "NOERROR qr aa 1/1/0/2",
    "an _http._tcp.one.service.local. 5 SRV 0 256 80 one-1.one.service.local.",
    "ar one-1.one.service.local. 5 A 10.0.0.1",
    "ar one-1.one.service.local. 5 AAAA 2001:db8::1",
];

/// The status that a registration gets.
fn registers(server: &Server, service: &str, id: &str, body: &Value) -> u16 {
    server.http.put(&format!("/v1/services/{service}/instances/{id}"), body).status
}

#[test]
fn row_32_the_records_of_a_set_have_one_ttl() {
    let server = server();
    server.http.set("leases", &json!({ "ttl": "1h" }));
    for (i, lease) in ["20s", "40s", "24h"].into_iter().enumerate() {
        let body = json!({ "addresses": [format!("10.3.0.{i}")], "ttl": lease });
        server.http.register("leases", &format!("i-{i}"), &body);
    }

    let reply = server.dns.ask("leases.service.local", "A");

    // `ttl` fails where they differ.
    assert_eq!((reply.answers.len(), reply.ttl() <= 20), (3, true), "{reply:?}");
}

#[test]
fn row_33_no_ttl_outlasts_its_lease() {
    let server = server();
    server.http.set("leased", &json!({ "ttl": "1h" }));
    for (lease, most) in [(json!("10s"), 10), (json!("100s"), 100), (json!(null), 3600)] {
        let body = json!({ "addresses": ["10.3.1.1"], "ttl": lease });
        server.http.register("leased", "i", &body);

        for rtype in ["A", "SRV", "TXT"] {
            let name = if rtype == "A" { "leased" } else { "i.leased" };
            let reply = server.dns.ask(&format!("{name}.service.local"), rtype);
            let ttls = reply.answers.iter().map(|line| line.split(' ').nth(1).unwrap());
            let ttls: Vec<u64> = ttls.map(|ttl| ttl.parse().unwrap()).collect();
            assert!(ttls.iter().all(|ttl| (1..=most).contains(ttl)), "{lease}: {reply:?}");
        }
    }
}

#[test]
fn row_38_the_first_record_takes_turns() {
    let server = server();

    let firsts: BTreeSet<String> =
        (0..100).map(|_| server.dns.ask("glue.service.local", "A").answers[0].clone()).collect();

    assert_eq!(firsts.len(), 20, "each of the 20 comes first at times: {firsts:?}");
}

#[test]
fn row_41_service_types_are_listed() {
    let server = server();
    let types = server.dns.tcp(&Query::new("_services._dns-sd._udp.service.local", "PTR"));

    let data = types.data();
    for name in ["_one._tcp", "_two._tcp", "_big._tcp"] {
        let expected = format!("{name}.service.local.");
        assert_eq!(data.iter().filter(|data| **data == expected).count(), 1, "{name}: {types:?}");
    }
    assert!(!data.contains(&"_empty._tcp.service.local."), "it has no port: {types:?}");
}

#[test]
fn row_44_only_ascii_can_be_registered() {
    let body = json!({ "addresses": ["10.3.2.1"], "ttl": null });

    let server = server();
    assert_eq!(registers(&server, "caf%C3%A9", "i", &body), 400);
    assert_eq!(registers(&server, "xn--caf-dma", "i", &body), 201);
    let reply = server.dns.ask("XN--caf-dma.service.local", "A");
    assert_eq!(reply.answers, ["XN--caf-dma.service.local. 5 A 10.3.2.1"]);
}

#[test]
fn row_45_names_that_differ_in_case_are_one() {
    let server = server();
    let body = |address: &str| json!({ "addresses": [address], "ttl": null });

    server.http.register("Folded", "I", &body("10.3.3.1"));
    server.http.register("fOLDED", "i", &body("10.3.3.2"));

    for name in ["folded", "FOLDED", "i.folded", "I.Folded"] {
        let reply = server.dns.ask(&format!("{name}.service.local"), "A");
        assert_eq!(reply.data(), ["10.3.3.2"], "{name}");
    }
}

#[test]
fn row_46_what_would_be_too_long_a_name_is_refused_when_it_is_registered() {
    let (service, long) = ("s".repeat(62), "s".repeat(63));
    let (id, port) = ("i".repeat(63), "p".repeat(62));
    let body = |name: &str| {
        let ports = json!([{ "name": name, "port": 1 }]);
        json!({ "addresses": ["10.3.4.1"], "ports": ports, "ttl": null })
    };

    let server = server();
    assert_eq!(registers(&server, &long, "i", &body("p")), 400);
    assert_eq!(registers(&server, "s", &"i".repeat(64), &body("p")), 400);
    assert_eq!(registers(&server, "s", "i", &body(&"p".repeat(63))), 400);
    assert_eq!(registers(&server, &service, &id, &body(&port)), 201);
    for name in [format!("{id}.{service}"), format!("_{port}._tcp.{service}")] {
        let query = Query::new(&format!("{name}.service.local"), "SRV");
        assert_eq!(server.dns.query(&query).answers.len(), 1, "{name}");
    }
}

#[test]
fn row_38_no_order_is_lost_on_the_way() {
    // The text of a reply sorts each set, so the rows above say nothing of order: an alias stands
    // before what it leads to, whatever the transport.
    let server = server();
    for via in Via::ALL {
        let query: Packet = ask("one.corp.example", "A");
        let lines = told(&server, &query, *via);
        assert!(lines[1].contains(" CNAME two.") && lines[2].contains(" CNAME www."), "{lines:?}");
    }
}
