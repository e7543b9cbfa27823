//! Every name that is served, and what is said of those that are not (design: "Names served").

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use serde_json::json;

use support::dig::{dig, dig_comments};
use support::dns::Query;
use support::message::Message;
use support::needs;
use support::server::Server;

const CONFIG: &str = r#"
[services.web]
balance = "weighted_round_robin"
answer = "all"
txt = ["version"]
[[services.web.instances]]
id = "web-1"
addresses = ["10.0.0.11", "2001:db8::11"]
ports = [{ name = "http", port = 8080 }, { name = "metrics", port = 9100 }]
weight = 3
tags = ["blue", "canary"]
metadata = { version = "1.4", secret = "x" }
locality = { region = "eu", zone = "eu-1a" }
[[services.web.instances]]
id = "web-2"
addresses = ["10.0.0.12", "2001:db8::12"]
ports = [{ name = "http", port = 8081 }, { name = "quic", port = 443, protocol = "udp" }]
tags = ["blue"]
metadata = { version = "1.4" }
locality = { region = "eu", zone = "eu-1b" }
[[services.web.instances]]
id = "web-3"
addresses = ["10.0.0.13"]
ports = [{ name = "http", port = 8082 }]
tags = ["canary"]
metadata = { version = "1.5" }
locality = { region = "eu", zone = "eu-1b" }

[services.empty]
"#;

/// Code, flags and sorted answers as text, and that nothing else came.
fn told(reply: &Message) -> (&str, &str, Vec<&str>) {
    assert_eq!(reply.authority, Vec::<String>::new(), "{reply:?}");
    reply.told_sorted()
}

fn sorted(lines: &[String]) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_service_has_addresses_of_both_families() {
    let server = Server::start(CONFIG);

    let (v4, v6) =
        (server.dns.ask("web.service.local", "A"), server.dns.ask("web.service.local", "AAAA"));

    let a = [
        "web.service.local. 5 A 10.0.0.11",
        "web.service.local. 5 A 10.0.0.12",
        "web.service.local. 5 A 10.0.0.13",
    ];
    let aaaa = ["web.service.local. 5 AAAA 2001:db8::11", "web.service.local. 5 AAAA 2001:db8::12"];
    assert_eq!(told(&v4), ("NOERROR", "qr aa", a.to_vec()));
    assert_eq!(told(&v6), ("NOERROR", "qr aa", aaaa.to_vec()));
    assert_eq!((v4.additional, v6.additional), (vec![], vec![]));
}

#[test]
fn srv_lists_every_instance_with_complete_glue() {
    let server = Server::start(CONFIG);

    let reply = server.dns.ask("web.service.local", "SRV");

    let srv = [
        "web.service.local. 5 SRV 0 21845 8081 web-2.web.service.local.",
        "web.service.local. 5 SRV 0 21845 8082 web-3.web.service.local.",
        "web.service.local. 5 SRV 0 65535 8080 web-1.web.service.local.",
    ];
    let glue = [
        "web-1.web.service.local. 5 A 10.0.0.11",
        "web-1.web.service.local. 5 AAAA 2001:db8::11",
        "web-2.web.service.local. 5 A 10.0.0.12",
        "web-2.web.service.local. 5 AAAA 2001:db8::12",
        "web-3.web.service.local. 5 A 10.0.0.13",
    ];
    assert_eq!(told(&reply), ("NOERROR", "qr aa", srv.to_vec()));
    assert_eq!(sorted(&reply.additional), glue);
}

#[test]
fn txt_publishes_the_metadata_that_the_service_says() {
    let server = Server::start(CONFIG);

    let reply = server.dns.ask("web.service.local", "TXT");

    let txt = [
        r#"web.service.local. 5 TXT "version=1\.4""#,
        r#"web.service.local. 5 TXT "version=1\.5""#,
    ];
    assert_eq!(told(&reply), ("NOERROR", "qr aa", txt.to_vec()));
}

#[test]
fn an_instance_has_a_name_of_its_own_whatever_its_status() {
    let server = Server::start(CONFIG);
    let critical = json!({ "status": "critical" });
    assert_eq!(server.http.patch("/v1/services/web/instances/web-1", &critical).status, 200);

    for (rtype, data) in [
        ("A", "10.0.0.11"),
        ("AAAA", "2001:db8::11"),
        ("SRV", "0 256 8080 web-1.web.service.local."),
        ("TXT", r#""version=1\.4""#),
    ] {
        let reply = server.dns.ask("web-1.web.service.local", rtype);

        let line = format!("web-1.web.service.local. 5 {rtype} {data}");
        assert_eq!(told(&reply), ("NOERROR", "qr aa", vec![line.as_str()]));
    }
    let pool = server.dns.ask("web.service.local", "A");
    let rest = ["web.service.local. 5 A 10.0.0.12", "web.service.local. 5 A 10.0.0.13"];
    assert_eq!(told(&pool), ("NOERROR", "qr aa", rest.to_vec()));
}

#[test]
fn an_instance_without_metadata_has_one_empty_string() {
    let server = Server::start("[defaults]\ntxt = \"all\"");
    let long = "v".repeat(300);
    let body = json!({ "addresses": ["10.0.0.1"], "metadata": { "long": long } });
    server.http.register("api", "a", &body);

    let reply = server.dns.ask("a.api.service.local", "TXT");

    assert_eq!(told(&reply), ("NOERROR", "qr aa", vec![r#"a.api.service.local. 5 TXT """#]));
}

#[test]
fn named_ports_have_their_own_srv() {
    let server = Server::start(CONFIG);

    for (name, srv) in [
        ("_metrics._tcp.web", vec!["0 256 9100 web-1.web.service.local."]),
        ("_quic._udp.web", vec!["0 256 443 web-2.web.service.local."]),
        (
            "_web._tcp",
            vec![
                "0 21845 8081 web-2.web.service.local.",
                "0 21845 8082 web-3.web.service.local.",
                "0 65535 8080 web-1.web.service.local.",
            ],
        ),
        (
            "_http._tcp.web",
            vec![
                "0 21845 8081 web-2.web.service.local.",
                "0 21845 8082 web-3.web.service.local.",
                "0 65535 8080 web-1.web.service.local.",
            ],
        ),
    ] {
        let reply = server.dns.ask(&format!("{name}.service.local"), "SRV");

        let lines: Vec<String> =
            srv.iter().map(|data| format!("{name}.service.local. 5 SRV {data}")).collect();
        assert_eq!(told(&reply), ("NOERROR", "qr aa", sorted(&lines)));
    }
}

#[test]
fn tags_and_zones_select() {
    let server = Server::start(CONFIG);

    for (name, rtype, data) in [
        ("canary.tag.web", "A", vec!["10.0.0.11", "10.0.0.13"]),
        ("blue.canary.tag.web", "A", vec!["10.0.0.11"]),
        ("canary.blue.tag.web", "AAAA", vec!["2001:db8::11"]),
        ("eu-1b.zone.web", "A", vec!["10.0.0.12", "10.0.0.13"]),
        ("eu-1a.zone.web", "SRV", vec!["0 256 8080 web-1.web.service.local."]),
        ("_metrics._tcp.blue.tag.web", "SRV", vec!["0 256 9100 web-1.web.service.local."]),
        (
            "_http._tcp.eu-1b.zone.web",
            "SRV",
            vec!["0 256 8081 web-2.web.service.local.", "0 256 8082 web-3.web.service.local."],
        ),
    ] {
        let reply = server.dns.ask(&format!("{name}.service.local"), rtype);

        let lines: Vec<String> =
            data.iter().map(|data| format!("{name}.service.local. 5 {rtype} {data}")).collect();
        assert_eq!(told(&reply), ("NOERROR", "qr aa", sorted(&lines)));
    }
}

#[test]
fn a_key_selects_one_instance_whoever_asks_and_however_it_is_written() {
    let server = Server::start(CONFIG);

    let first = server.dns.ask("user-42.key.web.service.local", "A");

    let address = first.only().to_owned();
    for length in 1..=24 {
        let other = Query::new("USER-42.key.Web.service.local", "A").subnet("10.9.8.7", length);
        assert_eq!(server.dns.query(&other).only(), address);
    }
    let srv = server.dns.ask("_http._tcp.user-42.key.web.service.local", "SRV");
    let mut priorities: Vec<_> =
        srv.data().iter().map(|data| data.split(' ').next().unwrap().to_owned()).collect();
    priorities.sort_unstable();
    assert_eq!(priorities, ["0", "1", "2"], "rank as priority: {srv:?}");
}

#[test]
fn what_does_not_exist_is_told_from_what_has_no_data() {
    let server = Server::start(CONFIG);
    server.http.register("gone", "g-1", &json!({ "addresses": ["10.0.0.1"], "port": 80 }));
    assert_eq!(server.http.delete("/v1/services/gone/instances/g-1").status, 204);
    let soa = server.dns.ask("service.local", "SOA").answers;

    for (name, rtype, rcode) in [
        ("web.service.local", "MX", "NOERROR"),
        ("web.service.local", "TYPE65280", "NOERROR"),
        ("web-3.web.service.local", "AAAA", "NOERROR"),
        ("empty.service.local", "A", "NOERROR"),
        ("empty.service.local", "SRV", "NOERROR"),
        ("gone.service.local", "A", "NOERROR"),
        ("x.tag.web.service.local", "A", "NOERROR"),
        ("x.zone.web.service.local", "A", "NOERROR"),
        ("tag.web.service.local", "A", "NOERROR"),
        ("zone.web.service.local", "A", "NOERROR"),
        ("key.web.service.local", "A", "NOERROR"),
        ("_tcp.web.service.local", "SRV", "NOERROR"),
        ("_tcp.service.local", "SRV", "NOERROR"),
        ("_http._tcp.web.service.local", "A", "NOERROR"),
        ("service.local", "A", "NOERROR"),
        ("nobody.service.local", "A", "NXDOMAIN"),
        ("x.tag.nobody.service.local", "A", "NXDOMAIN"),
        ("web-9.web.service.local", "A", "NXDOMAIN"),
        ("g-1.gone.service.local", "A", "NXDOMAIN"),
        ("_nope._tcp.web.service.local", "SRV", "NXDOMAIN"),
        ("_http._udp.web.service.local", "SRV", "NXDOMAIN"),
        ("x.web-1.web.service.local", "A", "NXDOMAIN"),
        ("web.local.service.local", "A", "NXDOMAIN"),
    ] {
        let reply = server.dns.ask(name, rtype);

        assert_eq!(reply.told(), (rcode, "qr aa", vec![]), "{name} {rtype}");
        assert_eq!(reply.authority, soa, "{name} {rtype}: the SOA says how long that holds");
        assert_eq!(reply.additional, Vec::<String>::new(), "{name} {rtype}");
    }
}

#[test]
fn what_is_outside_all_zones_is_refused() {
    let server = Server::start(CONFIG);

    for name in
        ["local", ".", "example.com", "xservice.local", "other.local", "service.local.example.com"]
    {
        for rtype in ["A", "SOA", "NS"] {
            let reply = server.dns.ask(name, rtype);

            assert_eq!(reply.told(), ("REFUSED", "qr", vec![]), "{name} {rtype}");
            assert_eq!((&reply.authority, &reply.additional), (&vec![], &vec![]));
            assert!(reply.edns.is_some(), "OPT is in every reply to a query that has it");
        }
    }
    let chaos = server.dns.query(&Query::new("web.service.local", "A").class(3));
    assert_eq!(chaos.told(), ("REFUSED", "qr", vec![]));
}

#[test]
fn the_apex_names_the_server_and_its_revision() {
    let server = Server::start("[dns]\nnegative_ttl = \"7s\"");
    let address = server.dns.address.ip();

    for _ in 0..3 {
        let revision =
            server.http.register("api", "a", &json!({ "addresses": ["10.0.0.1"], "weight": 1 }));
        let soa = server.dns.ask("service.local", "SOA");
        let fields: Vec<&str> = soa.only().split(' ').collect();
        assert_eq!((soa.ttl(), fields[0], fields[6]), (7, "ns1.service.local.", "7"));
        assert_eq!(fields[2], revision.to_string(), "the serial is the revision");
        assert_eq!(server.http.delete("/v1/services/api/instances/a").status, 204);
    }

    let ns = server.dns.ask("service.local", "NS");
    assert_eq!(ns.data(), ["ns1.service.local."]);
    let [glue] = &ns.additional[..] else { panic!("{ns:?}") };
    assert!(glue.ends_with(&format!(" A {address}")), "{glue}");
    assert_eq!(server.dns.ask("ns1.service.local", "A").data(), [address.to_string()]);
    let nobody = server.dns.ask("nobody.service.local", "A");
    assert!(nobody.authority[0].starts_with("service.local. 7 SOA "), "{nobody:?}");
}

#[test]
fn the_case_of_the_question_comes_back() {
    let server = Server::start(CONFIG);

    let reply = server.dns.ask("wEb-3.WeB.sErViCe.LoCaL", "A");

    let answer = vec!["wEb-3.WeB.sErViCe.LoCaL. 5 A 10.0.0.13"];
    assert_eq!(told(&reply), ("NOERROR", "qr aa", answer));
}

#[test]
fn the_apex_may_be_any_zone() {
    let server = Server::start(
        "[server]\nzone = \"svc.example.internal\"\nname = \"dns-a\"\nns = [\"dns-a\", \"dns-b\"]",
    );
    server.http.register("api", "a", &json!({ "addresses": ["10.0.0.1"], "port": 80 }));

    let a = server.dns.ask("api.svc.example.internal", "A");
    let ns = server.dns.ask("svc.example.internal", "NS");

    assert_eq!(told(&a), ("NOERROR", "qr aa", vec!["api.svc.example.internal. 5 A 10.0.0.1"]));
    assert_eq!(sorted(&ns.answers).len(), 2);
    assert!(ns.data().contains(&"dns-b.svc.example.internal."));
    assert_eq!(server.dns.ask("api.service.local", "A").told(), ("REFUSED", "qr", vec![]));
}

#[test]
fn instances_that_share_an_address_are_one_record_but_stay_apart_in_srv() {
    let server = Server::start("");
    for (id, port) in [("a", 81), ("b", 82)] {
        server.http.register("api", id, &json!({ "addresses": ["10.0.0.1"], "port": port }));
    }

    let (a, srv) =
        (server.dns.ask("api.service.local", "A"), server.dns.ask("api.service.local", "SRV"));

    assert_eq!(a.data(), ["10.0.0.1"]);
    let mut data = srv.data();
    data.sort_unstable();
    assert_eq!(data, ["0 256 81 a.api.service.local.", "0 256 82 b.api.service.local."]);
}

const OWN_ZONE: &str = "\
$ORIGIN service.local.
$TTL 300
@       IN SOA ns1 hostmaster 1 3600 600 86400 60
gateway IN A 10.0.0.1
        IN AAAA 2001:db8::1
docs    IN CNAME gateway
out     IN CNAME www.example.com.
*.wild  IN A 10.0.0.9
shadow  IN TXT \"static\"
";

const OTHER_ZONE: &str = "\
$ORIGIN corp.example.
$TTL 120
@    IN SOA ns.corp.example. admin.corp.example. 77 1 2 3 30
@    IN NS ns
ns   IN A 192.0.2.53
www  IN A 192.0.2.80
mail IN MX 10 www
";

fn with_zones() -> Server {
    let builder = Server::builder(
        "[services.web]\n[[services.web.instances]]\nid = \"w\"\naddresses = [\"10.0.0.11\"]",
    );
    builder.file("zones/own.zone", OWN_ZONE).file("zones/other.zone", OTHER_ZONE).start()
}

#[test]
fn zone_files_add_static_records_and_zones() {
    let server = with_zones();

    for (name, rtype, answers) in [
        ("gateway.service.local", "A", vec!["gateway.service.local. 300 A 10.0.0.1"]),
        ("gateway.service.local", "AAAA", vec!["gateway.service.local. 300 AAAA 2001:db8::1"]),
        (
            "docs.service.local",
            "A",
            vec![
                "docs.service.local. 300 CNAME gateway.service.local.",
                "gateway.service.local. 300 A 10.0.0.1",
            ],
        ),
        (
            "docs.service.local",
            "CNAME",
            vec!["docs.service.local. 300 CNAME gateway.service.local."],
        ),
        ("out.service.local", "A", vec!["out.service.local. 300 CNAME www.example.com."]),
        ("any.wild.service.local", "A", vec!["any.wild.service.local. 300 A 10.0.0.9"]),
        ("a.b.wild.service.local", "A", vec!["a.b.wild.service.local. 300 A 10.0.0.9"]),
        ("www.corp.example", "A", vec!["www.corp.example. 120 A 192.0.2.80"]),
        ("web.service.local", "A", vec!["web.service.local. 5 A 10.0.0.11"]),
    ] {
        let reply = server.dns.ask(name, rtype);
        assert_eq!(reply.told(), ("NOERROR", "qr aa", answers), "{name} {rtype}");
    }
    let soa = server.dns.ask("corp.example", "SOA");
    assert_eq!(soa.only(), "ns.corp.example. admin.corp.example. 77 1 2 3 30");
    let own = server.dns.ask("service.local", "SOA");
    let fields: Vec<&str> = own.only().split(' ').collect();
    let kept = ["ns1.service.local.", "hostmaster.service.local.", "3600", "600", "86400", "1"];
    assert_eq!([fields[0], fields[1], fields[3], fields[4], fields[5], fields[6]], kept);
}

#[test]
fn what_zone_files_lack_is_denied_with_the_soa_of_that_zone() {
    let server = with_zones();

    for (name, rtype, rcode, soa) in [
        ("gateway.service.local", "TXT", "NOERROR", "service.local. 1 SOA "),
        ("any.wild.service.local", "AAAA", "NOERROR", "service.local. 1 SOA "),
        ("wild.service.local", "A", "NOERROR", "service.local. 1 SOA "),
        ("none.corp.example", "A", "NXDOMAIN", "corp.example. 30 SOA "),
        ("www.corp.example", "AAAA", "NOERROR", "corp.example. 30 SOA "),
    ] {
        let reply = server.dns.ask(name, rtype);

        assert_eq!(reply.told(), (rcode, "qr aa", vec![]), "{name} {rtype}");
        assert!(reply.authority[0].starts_with(soa), "{name} {rtype}: {reply:?}");
    }
}

#[test]
fn a_static_record_shadows_a_service_for_all_types() {
    let server = with_zones();

    server.http.register("shadow", "s", &json!({ "addresses": ["10.0.0.5"], "port": 80 }));

    let (txt, a) = (
        server.dns.ask("shadow.service.local", "TXT"),
        server.dns.ask("shadow.service.local", "A"),
    );
    assert_eq!(txt.told(), ("NOERROR", "qr aa", vec![r#"shadow.service.local. 300 TXT "static""#]));
    assert_eq!(a.told(), ("NOERROR", "qr aa", vec![]));
}

#[test]
fn dig_shows_what_a_user_expects() {
    if !needs::works(needs::DIG) {
        return;
    }
    let server = Server::start(CONFIG);
    let at = server.dns.address;

    let srv = dig(at, "+noall +answer +additional _metrics._tcp.web.service.local SRV");
    let glue = [
        "web-1.web.service.local. 5 IN A 10.0.0.11",
        "web-1.web.service.local. 5 IN AAAA 2001:db8::11",
    ];
    let answer = "_metrics._tcp.web.service.local. 5 IN SRV 0 256 9100 web-1.web.service.local.";
    assert_eq!(srv, [&[answer], &glue[..]].concat());
    assert_eq!(dig(at, "+short web-2.web.service.local"), ["10.0.0.12"]);
    assert_eq!(dig(at, "+short +tcp web-2.web.service.local AAAA"), ["2001:db8::12"]);
    let nobody = dig_comments(at, "nobody.service.local", "status:");
    assert!(nobody[0].contains("status: NXDOMAIN"), "{nobody:?}");
    let edns = dig_comments(at, "web.service.local", "EDNS: version");
    assert!(edns[0].contains("udp: 1232"), "{edns:?}");
}

#[test]
fn the_server_says_who_it_is_when_it_is_asked() {
    if !needs::works(needs::DIG) {
        return;
    }
    let server = Server::start("[server]\nname = \"dns-a\"");

    let id = server.dns.query(&Query::new("id.server", "TXT").class(3));
    let nsid = dig_comments(server.dns.address, "+nsid service.local SOA", "NSID");
    let any = server.dns.ask("service.local", "ANY");
    let transfer = server.dns.tcp(&Query::new("service.local", "AXFR"));

    assert_eq!((id.rcode.as_str(), id.only()), ("NOERROR", "TXT \"dns-a\""));
    assert!(nsid[0].contains("(\"dns-a\")"), "{nsid:?}");
    assert_eq!(any.answers.len(), 1, "one record set is enough for ANY (RFC 8482): {any:?}");
    assert_eq!((transfer.rcode.as_str(), transfer.answers.len()), ("REFUSED", 0));
}
