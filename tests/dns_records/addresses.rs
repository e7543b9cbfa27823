//! Names of addresses: PTR in reverse zones.

use serde_json::json;

use crate::support::dns::Query;
use crate::support::server::Server;

const REVERSE: &str = r#"
[dns]
reverse = ["10.0.0.0/8", "172.16.0.0/12", "2001:db8::/32"]
[services.web]
ttl = "9s"
[[services.web.instances]]
id = "web-1"
addresses = ["10.0.0.11", "2001:db8::11", "192.0.2.1"]
[[services.web.instances]]
id = "web-2"
addresses = ["10.0.0.12", "10.0.0.99"]
status = "critical"
[services.api]
[[services.api.instances]]
id = "api-1"
addresses = ["10.0.0.12"]
"#;

#[test]
fn registered_addresses_have_names() {
    let server = Server::start(REVERSE);
    let v6 = format!("1.1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(22));

    let ask = |name: &str| server.dns.ask(&format!("{name}.in-addr.arpa"), "PTR");

    let line = "11.0.0.10.in-addr.arpa. 9 PTR web-1.web.service.local.";
    assert_eq!(ask("11.0.0.10").told(), ("NOERROR", "qr aa", vec![line]));
    assert_eq!(server.dns.ask(&v6, "PTR").only(), "web-1.web.service.local.");
    // Whatever its status, and with the shortest TTL of all.
    let two = ask("12.0.0.10");
    assert_eq!(two.data(), ["api-1.api.service.local.", "web-2.web.service.local."]);
    assert_eq!(two.ttl(), 5);
}

#[test]
fn reverse_zones_have_an_apex_and_nothing_else() {
    let server = Server::start(REVERSE);
    let serial = server.http.revision();
    let soa = format!("SOA ns1.service.local. hostmaster.service.local. {serial} 3600 600 86400 1");
    let v6 = "8.b.d.0.1.0.0.2.ip6.arpa";
    for (name, rtype, rcode, apex) in [
        ("13.0.0.10.in-addr.arpa", "PTR", "NXDOMAIN", "10.in-addr.arpa"),
        ("11.0.0.10.in-addr.arpa", "A", "NOERROR", "10.in-addr.arpa"),
        ("0.0.10.in-addr.arpa", "PTR", "NOERROR", "10.in-addr.arpa"),
        ("77.66.10.in-addr.arpa", "ANY", "NOERROR", "10.in-addr.arpa"),
        ("10.in-addr.arpa", "PTR", "NOERROR", "10.in-addr.arpa"),
        ("256.0.10.in-addr.arpa", "PTR", "NXDOMAIN", "10.in-addr.arpa"),
        ("011.0.0.10.in-addr.arpa", "PTR", "NXDOMAIN", "10.in-addr.arpa"),
        ("x.11.0.0.10.in-addr.arpa", "PTR", "NXDOMAIN", "10.in-addr.arpa"),
        ("1.1.31.172.in-addr.arpa", "PTR", "NXDOMAIN", "31.172.in-addr.arpa"),
        ("g.8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "NXDOMAIN", v6),
        ("0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "NOERROR", v6),
    ] {
        let reply = server.dns.ask(name, rtype);
        assert_eq!(reply.told(), (rcode, "qr aa", vec![]), "{name}");
        assert_eq!(reply.authority, [format!("{apex}. 1 {soa}")], "{name}");
    }
    let apex = server.dns.ask("16.172.in-addr.arpa", "SOA");
    assert_eq!(apex.answers, [format!("16.172.in-addr.arpa. 1 {soa}")]);
    assert_eq!(server.dns.ask(v6, "NS").only(), "ns1.service.local.");
    for outside in ["172.in-addr.arpa", "32.172.in-addr.arpa", "1.2.0.192.in-addr.arpa", "arpa"] {
        assert_eq!(server.dns.ask(outside, "PTR").told(), ("REFUSED", "qr", vec![]), "{outside}");
    }
}

#[test]
fn names_of_addresses_follow_the_registry_and_the_file() {
    let server = Server::start("[dns]\nreverse = [\"10.0.0.0/8\"]\n");
    let ask = |last: u8| -> Vec<String> {
        let reply = server.dns.ask(&format!("{last}.0.0.10.in-addr.arpa"), "PTR");
        reply.data().iter().map(|&data| data.to_owned()).collect()
    };
    let none: Vec<String> = Vec::new();

    server.http.register("web", "a", &json!({ "addresses": ["10.0.0.1", "10.0.0.2"] }));
    server.http.register("web", "b", &json!({ "addresses": ["10.0.0.2"] }));
    assert_eq!(ask(1), ["a.web.service.local."]);
    assert_eq!(ask(2), ["a.web.service.local.", "b.web.service.local."]);

    server.http.register("web", "a", &json!({ "addresses": ["10.0.0.3"] }));
    assert_eq!((ask(1), ask(2)), (none.clone(), vec!["b.web.service.local.".to_owned()]));
    assert_eq!(ask(3), ["a.web.service.local."]);
    assert_eq!(server.http.delete("/v1/services/web/instances/a").status, 204);
    assert_eq!(ask(3), none);

    server.write_config("");
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(server.dns.ask("2.0.0.10.in-addr.arpa", "PTR").rcode, "REFUSED");
    server.write_config("[dns]\nreverse = [\"10.0.0.0/31\", \"10.0.0.2/32\"]\n");
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(ask(2), ["b.web.service.local."]);
    let soa = server.dns.ask("2.0.0.10.in-addr.arpa", "SOA");
    assert_eq!(soa.answers.len(), 1, "each address is a zone here: {soa:?}");
    // An apex is there, whoever has the address.
    assert_eq!(server.dns.ask("1.0.0.10.in-addr.arpa", "PTR").rcode, "NOERROR");
}

#[test]
fn an_address_of_very_many_has_the_first_of_them_and_says_so() {
    let server = Server::start("[dns]\nreverse = [\"127.0.0.0/8\"]\n");
    let instances: Vec<_> = (0..5_000)
        .map(|i| json!({ "service": "web", "id": format!("i{i:04}"), "addresses": ["127.0.0.1"] }))
        .collect();
    server.http.batch(&instances);
    let query = Query::new("1.0.0.127.in-addr.arpa", "PTR");

    let before = server.dns.tcp(&query);
    assert_eq!(server.http.delete("/v1/services/web/instances/i0000").status, 204);
    let after = server.dns.tcp(&query);

    assert!(before.truncated() && after.truncated() && server.dns.query(&query).truncated());
    assert!(before.answers.len() > 1_500, "{}", before.answers.len());
    assert_eq!(before.data()[..2], ["i0000.web.service.local.", "i0001.web.service.local."]);
    assert_eq!(after.data()[..2], ["i0001.web.service.local.", "i0002.web.service.local."]);
    assert_eq!(before.answers.len(), after.answers.len());
}

#[test]
fn the_closest_zone_has_the_names_of_an_address() {
    let zone = "$ORIGIN 1.10.in-addr.arpa.\n@ 5 SOA a. b. 1 2 3 4 5\n9.9 5 PTR printer.example.\n";
    let server = Server::builder(REVERSE).file("zones/ptr.zone", zone).start();

    assert_eq!(server.dns.ask("9.9.1.10.in-addr.arpa", "PTR").only(), "printer.example.");
    assert_eq!(server.dns.ask("11.0.0.10.in-addr.arpa", "PTR").answers.len(), 1);

    let zone = zone.replace("1.10.in-addr", "10.in-addr");
    let (code, log) = Server::builder(REVERSE).file("zones/ptr.zone", &zone).fail();
    assert_eq!(code, Some(1));
    assert!(log.contains("dns.reverse: zone 10.in-addr.arpa. has these names already"), "{log}");
}

#[test]
fn a_zone_above_a_range_has_its_ds() {
    let zone = "$ORIGIN in-addr.arpa.\n@ 5 SOA a. b. 1 2 3 4 5\n10 5 NS ns1.service.local.\n\
                10 5 DS 1 8 2 00\n";
    let server = Server::builder(REVERSE).file("zones/above.zone", zone).start();

    assert_eq!(server.dns.ask("10.in-addr.arpa", "DS").only(), "\\# 5 0001080200");
    assert_eq!(server.dns.ask("10.in-addr.arpa", "SOA").answers.len(), 1);
    assert_eq!(server.dns.ask("11.0.0.10.in-addr.arpa", "PTR").answers.len(), 1);
}
