//! Records beyond addresses, SRV and TXT of a service: bindings (RFC 9460), browsing (RFC 6763), the
//! same names under an alias.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use serde_json::json;

use support::dig::dig;
use support::dns::Query;
use support::message::Message;
use support::needs;
use support::server::Server;

const SERVICES: &str = r#"
[services.web]
[[services.web.instances]]
id = "web-1"
addresses = ["10.0.0.11", "2001:db8::11"]
ports = [{ name = "http", port = 80 }, { name = "https", port = 443 }, { name = "grpc", port = 9000 }]
tags = ["canary"]
metadata = { alpn = "h2,http/1.1" }
locality = { zone = "eu-1a" }
[[services.web.instances]]
id = "web-2"
addresses = ["10.0.0.12"]
ports = [{ name = "https", port = 8443 }]
tier = 1
[[services.web.instances]]
id = "web-3"
addresses = ["10.0.0.13"]
ports = [{ name = "grpc", port = 9000, protocol = "udp" }, { name = "dns", port = 53, protocol = "udp" }]

[services.plain]
[[services.plain.instances]]
id = "plain-1"
addresses = ["10.0.0.21"]
ports = [{ name = "http", port = 80 }, { name = "https", port = 443, protocol = "udp" }]
"#;

fn told(reply: &Message) -> (&str, &str, Vec<&str>) {
    reply.told_sorted()
}

#[test]
fn https_binds_to_the_port_of_that_name() {
    let server = Server::start(SERVICES);

    let reply = server.dns.ask("web.service.local", "HTTPS");

    // web-3 has no such port; port 443 goes without saying.
    let bound = "web.service.local. 5 HTTPS 1 web-1.web.service.local. alpn=h2,http/1\\.1 \
                 ipv4hint=10.0.0.11 ipv6hint=2001:db8::11";
    assert_eq!(told(&reply), ("NOERROR", "qr aa", vec![bound]));
    let glue =
        ["web-1.web.service.local. 5 A 10.0.0.11", "web-1.web.service.local. 5 AAAA 2001:db8::11"];
    assert_eq!(reply.additional, glue);
}

#[test]
fn without_such_a_port_browsers_are_not_sent_to_tls() {
    let server = Server::start(SERVICES);

    // Over UDP it would be HTTP/3, which a record without alpn does not say.
    for name in ["plain.service.local", "web-1.web.service.local", "_grpc.web.service.local"] {
        let reply = server.dns.ask(name, "HTTPS");

        assert_eq!(told(&reply), ("NOERROR", "qr aa", vec![]), "{name}");
        assert_eq!(reply.authority.len(), 1, "{name}");
    }
}

#[test]
fn bindings_are_selected_as_addresses_are() {
    let server = Server::start(SERVICES);

    for name in ["canary.tag.web", "eu-1a.zone.web", "user-1.key.web"] {
        let reply = server.dns.ask(&format!("{name}.service.local"), "HTTPS");

        let line = format!(
            "{name}.service.local. 5 HTTPS 1 web-1.web.service.local. alpn=h2,http/1\\.1 \
             ipv4hint=10.0.0.11 ipv6hint=2001:db8::11"
        );
        assert_eq!(told(&reply), ("NOERROR", "qr aa", vec![line.as_str()]));
    }
}

#[test]
fn the_next_tier_takes_over_in_a_binding_too() {
    let server = Server::start(SERVICES);
    for id in ["web-1", "web-3"] {
        let critical = json!({ "status": "critical" });
        let path = format!("/v1/services/web/instances/{id}");
        assert_eq!(server.http.patch(&path, &critical).status, 200);
    }

    let reply = server.dns.ask("web.service.local", "HTTPS");

    // Priority 0 would be an alias: tier 1 is 2.
    let line = "2 web-2.web.service.local. port=8443 ipv4hint=10.0.0.12";
    assert_eq!(reply.only(), line);
}

#[test]
fn ranks_of_a_hash_are_priorities_from_one() {
    let server = Server::start(&SERVICES.replace(
        "[services.web]\n",
        "[services.web]\nbalance = \"consistent_hash\"\nsrv_tiers = \"all\"\n",
    ));

    let reply = server.dns.ask("web.service.local", "HTTPS");

    let priorities: Vec<&str> = reply.data().iter().map(|data| &data[..27]).collect();
    assert_eq!(priorities, ["1 web-1.web.service.local. ", "2 web-2.web.service.local. "]);
}

#[test]
fn a_named_port_has_a_binding_of_one_transport() {
    let server = Server::start(SERVICES);

    let grpc = server.dns.ask("_grpc.web.service.local", "SVCB");
    let dns = server.dns.ask("_dns.web.service.local", "SVCB");

    // web-3 has it over UDP, where nobody who asks for grpc would find TCP.
    let line = "1 web-1.web.service.local. alpn=h2,http/1\\.1 port=9000 ipv4hint=10.0.0.11 \
                ipv6hint=2001:db8::11";
    assert_eq!(grpc.only(), line);
    assert_eq!(dns.only(), "1 web-3.web.service.local. port=53 ipv4hint=10.0.0.13");
}

#[test]
fn a_binding_exists_while_an_instance_has_the_port() {
    let server = Server::start("");
    let ports = json!([{ "name": "grpc", "port": 9000 }]);
    let instance = json!({ "addresses": ["10.0.0.1"], "ports": ports, "status": "critical" });
    server.http.register("api", "a", &instance);

    let ask = |name: &str, rtype| server.dns.ask(&format!("{name}.service.local"), rtype).rcode;

    assert_eq!(ask("_grpc.api", "SVCB"), "NOERROR");
    assert_eq!(ask("_grpc.api", "A"), "NOERROR");
    assert_eq!(ask("_http.api", "SVCB"), "NXDOMAIN");
    assert_eq!(ask("_grpc.nope", "SVCB"), "NXDOMAIN");
    assert_eq!(server.http.delete("/v1/services/api/instances/a").status, 204);
    assert_eq!(ask("_grpc.api", "SVCB"), "NXDOMAIN");
}

#[test]
fn a_set_of_bindings_is_whole_or_says_that_it_is_not() {
    let server = Server::start("");
    let instances: Vec<_> = (0..60)
        .map(|i| {
            json!({ "service": "api", "id": format!("i-{i}"), "addresses": [format!("10.0.0.{i}")],
                "ports": [{ "name": "https", "port": 8443 }] })
        })
        .collect();
    server.http.batch(&instances);
    let query = Query::new("api.service.local", "HTTPS");

    let (udp, tcp) = (server.dns.query(&query), server.dns.tcp(&query));

    assert!(udp.truncated() && udp.size <= 1232 && udp.answers.len() > 10, "{udp:?}");
    assert_eq!(udp.answers, server.dns.query(&query).answers, "the part is the same");
    assert_eq!((tcp.truncated(), tcp.answers.len(), tcp.additional.len()), (false, 60, 60));
}

#[test]
fn a_binding_is_explained_as_srv_is() {
    let server = Server::start(SERVICES);

    let reply = server.http.get("/v1/resolve?name=web.service.local&type=HTTPS").body;

    let reasons = |i: usize| reply["instances"][i]["reasons"].clone();
    assert_eq!(reply["answers"].as_array().unwrap().len(), 1, "{reply}");
    assert_eq!(reasons(0), json!([]), "{reply}");
    assert_eq!(reasons(1), json!(["not in the active tier"]));
    assert_eq!(reasons(2), json!(["no such port"]));
}

const BROWSED: &str = r#"
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
        told(&reply),
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
        assert_eq!(told(&reply), (rcode, "qr aa", vec![]), "{name}");
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

#[test]
fn an_alias_is_a_zone_of_its_own() {
    let builder = Server::builder(&format!(
        "[server]\naliases = [\"svc.internal\", \"x.example\"]\n\
         ns = [\"ns1\", \"ns2.example.net\"]\naddresses = [\"192.0.2.1\"]\n{BROWSED}"
    ));
    let zone = "$ORIGIN service.local.\n$TTL 60\n@ SOA a b 1 2 3 4 5\nstatic A 10.0.0.9\n\
                web-1.web A 10.9.9.9\n";
    let server = builder.file("zones/own.zone", zone).start();
    let serial = server.http.revision();

    let soa = server.dns.ask("svc.internal", "SOA");
    let line = format!("ns1.svc.internal. hostmaster.svc.internal. {serial} 3600 600 86400 1");
    assert_eq!(soa.only(), line);
    let ns = server.dns.ask("svc.internal", "NS");
    assert_eq!(ns.data(), ["ns1.svc.internal.", "ns2.example.net."]);
    assert_eq!(ns.additional, ["ns1.svc.internal. 300 A 192.0.2.1"]);
    assert_eq!(server.dns.ask("ns1.svc.internal", "A").only(), "192.0.2.1");

    let srv = server.dns.ask("_http._tcp.web.Svc.internal", "SRV");
    assert_eq!(srv.only(), "0 256 80 web-1.web.svc.internal.");
    assert_eq!(srv.additional, ["web-1.web.svc.internal. 5 A 10.0.0.11"]);
    let types = server.dns.ask("_services._dns-sd._udp.x.example", "PTR");
    assert_eq!(types.data(), ["_web._tcp.x.example.", "_web._udp.x.example."]);
    let nothing = server.dns.ask("nope.svc.internal", "A");
    assert_eq!(nothing.rcode, "NXDOMAIN");
    assert!(nothing.authority[0].starts_with("svc.internal. 1 SOA "), "{nothing:?}");

    // Static records are the zone's alone, and hide nothing elsewhere.
    assert_eq!(server.dns.ask("static.service.local", "A").only(), "10.0.0.9");
    assert_eq!(server.dns.ask("static.svc.internal", "A").rcode, "NXDOMAIN");
    assert_eq!(server.dns.ask("web-1.web.service.local", "A").only(), "10.9.9.9");
    assert_eq!(server.dns.ask("web-1.web.svc.internal", "A").only(), "10.0.0.11");
    assert_eq!(server.dns.ask("internal", "SOA").rcode, "REFUSED");
    let explained = server.http.get("/v1/resolve?name=_http._tcp.web.svc.internal&type=SRV").body;
    assert_eq!(explained["answers"][0]["data"], "0 256 80 web-1.web.svc.internal.");
    assert_eq!(explained["service"], "web");
}

#[test]
fn a_zone_file_must_keep_clear_of_aliases() {
    for origin in ["svc.internal.", "internal.", "a.svc.internal."] {
        let builder = Server::builder("[server]\naliases = [\"svc.internal\"]\n");
        let zone = format!("$ORIGIN {origin}\n@ 5 SOA a b 1 2 3 4 5\n");

        let (code, log) = builder.file("zones/x.zone", &zone).fail();

        assert_eq!(code, Some(1));
        let reason = format!("svc.internal. and {origin}, which a zone file is for, overlap");
        assert!(log.contains(&reason), "{log}");
    }
}

#[test]
fn names_must_fit_under_the_longest_alias() {
    let alias = ["a".repeat(60), "b".repeat(60), "c".repeat(58)].join(".");
    let server = Server::start(&format!("[server]\naliases = [\"{alias}\"]\n"));

    let body = json!({ "addresses": ["10.0.0.1"] });
    let long = format!("/v1/services/web/instances/{}", "i".repeat(63));
    let reply = server.http.put(&long, &body);

    assert_eq!(reply.problem(), (400, "invalid", Some("id")), "{reply:?}");
    server.http.register("web", &"i".repeat(60), &body);
    let name = format!("{}.web.{alias}", "i".repeat(60));
    assert_eq!(server.dns.ask(&name, "A").only(), "10.0.0.1");
}

#[test]
fn other_programs_read_the_bindings() {
    let server = Server::start(SERVICES);
    if !needs::works(needs::DIG) || !needs::works(needs::DNSPYTHON) {
        return;
    }

    let lines = dig(server.dns.address, "+noall +answer web.service.local HTTPS");
    let script = "import sys, dns.resolver\nr = dns.resolver.Resolver(configure=False)\n\
        r.nameservers, r.port = [sys.argv[1]], int(sys.argv[2])\n\
        b = r.resolve('_grpc.web.service.local.', 'SVCB')[0]\n\
        print(b.priority, b.target, b.params[3].port, b.params[4].addresses)";
    let address = server.dns.address;
    let python = std::process::Command::new("/usr/bin/python3")
        .args(["-c", script, &address.ip().to_string(), &address.port().to_string()])
        .output()
        .unwrap();

    let line = "web.service.local. 5 IN HTTPS 1 web-1.web.service.local. alpn=\"h2,http/1.1\" \
                ipv4hint=10.0.0.11 ipv6hint=2001:db8::11";
    assert_eq!(lines, [line]);
    let python = String::from_utf8(python.stdout).unwrap();
    assert_eq!(python, "1 web-1.web.service.local. 9000 ('10.0.0.11',)\n");
}
