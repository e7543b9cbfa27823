//! Browsing (RFC 6763): types of service, their instances, and what is asked next.

use serde_json::json;

use crate::support::dns::Query;
use crate::support::server::Server;

pub(crate) const BROWSED: &str = r#"
[services.web]
txt = "all"
[[services.web.instances]]
id = "web-1"
addresses = ["10.0.0.11"]
ports = [{ name = "http", port = 80 }]
metadata = { path = "/" }
[[services.web.instances]]
id = "web-2"
addresses = ["10.0.0.12"]
ports = [{ name = "quic", port = 443, protocol = "udp" }]
[[services.web.instances]]
id = "web-3"
addresses = ["10.0.0.13"]
ports = [{ name = "http", port = 80 }]
status = "critical"
[services.bare]
[[services.bare.instances]]
id = "bare-1"
addresses = ["10.0.0.21"]
[services.sig]
[[services.sig.instances]]
id = "sig-1"
addresses = ["10.0.0.31"]
ports = [{ port = 3868, protocol = "sctp" }]
[services.api]
"#;

#[test]
fn browsing_begins_with_the_types_of_service() {
    let server = Server::start(BROWSED);

    let types = server.dns.ask("_services._dns-sd._udp.service.local", "PTR");

    // Without a port there is nothing to connect to; DNS-SD knows no SCTP.
    let owner = "_services._dns-sd._udp.service.local. 5 PTR";
    let lines =
        [format!("{owner} _web._tcp.service.local."), format!("{owner} _web._udp.service.local.")];
    assert_eq!(types.answers, lines);
    assert_eq!(types.told().1, "qr aa");
    for name in ["b", "db", "lb"] {
        let name = format!("{name}._dns-sd._udp.service.local");
        assert_eq!(server.dns.ask(&name, "PTR").only(), "service.local.", "{name}");
    }
}

#[test]
fn the_types_of_service_follow_the_registry() {
    let server = Server::start("");
    let types = || -> Vec<String> {
        let reply = server.dns.ask("_services._dns-sd._udp.service.local", "PTR");
        reply.data().iter().map(|data| data.trim_end_matches(".service.local.").into()).collect()
    };
    let port = |protocol: &str| json!([{ "port": 1, "protocol": protocol }]);
    let instance = |protocol: &str| json!({ "addresses": ["10.0.0.1"], "ports": port(protocol) });
    assert_eq!(types(), Vec::<String>::new());

    server.http.register("b", "1", &instance("tcp"));
    server.http.register("a", "1", &instance("tcp"));
    server.http.register("a", "2", &instance("udp"));
    // Its name is taken.
    server.http.register("dns-sd", "1", &instance("udp"));
    assert_eq!(types(), ["_a._tcp", "_a._udp", "_b._tcp"]);

    server.http.register("a", "1", &instance("udp"));
    assert_eq!(server.http.delete("/v1/services/b/instances/1").status, 204);
    assert_eq!(types(), ["_a._udp"]);
}

#[test]
fn a_type_lists_its_instances_and_all_that_is_asked_next() {
    let server = Server::start(BROWSED);

    let reply = server.dns.ask("_web._tcp.service.local", "PTR");

    assert_eq!(
        reply.told_sorted(),
        ("NOERROR", "qr aa", vec!["_web._tcp.service.local. 5 PTR web-1._web._tcp.service.local."])
    );
    let additional = [
        "web-1._web._tcp.service.local. 5 SRV 0 256 80 web-1.web.service.local.",
        "web-1._web._tcp.service.local. 5 TXT \"path=/\"",
        "web-1.web.service.local. 5 A 10.0.0.11",
    ];
    assert_eq!(reply.additional, additional);
}

#[test]
fn a_browsed_instance_has_srv_and_txt_while_it_is_registered() {
    let server = Server::start(BROWSED);
    let ask = |name: &str, rtype| server.dns.ask(&format!("{name}.service.local"), rtype);

    let srv = ask("web-3._web._tcp", "SRV");
    assert_eq!(srv.only(), "0 256 80 web-3.web.service.local.");
    assert_eq!(srv.additional, ["web-3.web.service.local. 5 A 10.0.0.13"]);
    assert_eq!(ask("web-3._web._tcp", "TXT").only(), "\"\"");
    assert_eq!(ask("sig-1._sig._sctp", "SRV").only(), "0 256 3868 sig-1.sig.service.local.");
    assert_eq!(ask("_sig._sctp", "PTR").only(), "sig-1._sig._sctp.service.local.");
    for (name, rtype, rcode) in [
        ("web-1._web._tcp", "A", "NOERROR"),
        ("web-2._web._tcp", "SRV", "NXDOMAIN"),
        ("web-9._web._tcp", "SRV", "NXDOMAIN"),
        ("_dns-sd._udp", "PTR", "NOERROR"),
        ("_udp", "PTR", "NOERROR"),
        ("_services._dns-sd._tcp", "PTR", "NXDOMAIN"),
        ("x._services._dns-sd._udp", "PTR", "NXDOMAIN"),
        ("r._dns-sd._udp", "PTR", "NXDOMAIN"),
        ("_bare._tcp", "PTR", "NOERROR"),
        ("_nope._tcp", "PTR", "NXDOMAIN"),
    ] {
        let reply = ask(name, rtype);
        assert_eq!(reply.told_sorted(), (rcode, "qr aa", vec![]), "{name}");
        assert_eq!(reply.authority.len(), 1, "{name}");
    }
}

#[test]
fn of_very_many_types_those_that_fit_are_listed_first_and_in_order() {
    let server = Server::start("");
    let instances: Vec<_> = (0..6_000)
        .map(|i| {
            json!({ "service": format!("s{i:04}"), "id": "a", "addresses": ["10.0.0.1"],
            "port": 80 })
        })
        .collect();
    server.http.batch(&instances);
    let query = Query::new("_services._dns-sd._udp.service.local", "PTR");

    let (udp, tcp) = (server.dns.query(&query), server.dns.tcp(&query));

    assert!(udp.truncated() && tcp.truncated());
    assert!(udp.answers.len() > 20 && tcp.answers.len() > 1_000, "{}", tcp.answers.len());
    for reply in [udp, tcp] {
        let expected: Vec<String> =
            (0..reply.answers.len()).map(|i| format!("_s{i:04}._tcp.service.local.")).collect();
        assert_eq!(reply.data(), expected);
    }
}
