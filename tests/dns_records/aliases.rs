//! The same names under other apexes.

use serde_json::json;

use crate::browsing::BROWSED;
use crate::support::server::Server;

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
fn an_instance_from_before_a_longer_apex_spoils_no_answer() {
    let mut server = Server::start("");
    let (service, long) = ("s".repeat(60), "i".repeat(63));
    let port = json!([{ "name": "https", "port": 443 }]);
    let body = json!({ "addresses": ["10.0.0.1"], "ports": port, "ttl": null });
    server.http.register(&service, &long, &body);
    let alias = ["a".repeat(60), "b".repeat(60), "c".repeat(58)].join(".");
    server.write_config(&format!("[server]\naliases = [\"{alias}\"]\n"));
    server.restart();

    for (name, rtype) in [
        (service.clone(), "SRV"),
        (service.clone(), "HTTPS"),
        (format!("_https.{service}"), "SVCB"),
        (format!("_{service}._tcp"), "PTR"),
    ] {
        let reply = server.dns.ask(&format!("{name}.{alias}"), rtype);
        assert_eq!(reply.told(), ("NOERROR", "qr aa", vec![]), "{rtype}");
        assert_eq!(reply.authority.len(), 1, "{rtype}: {reply:?}");
        assert_eq!(server.dns.ask(&format!("{name}.service.local"), rtype).answers.len(), 1);
    }
    assert_eq!(server.dns.ask(&format!("{service}.{alias}"), "A").only(), "10.0.0.1");
    assert!(server.log().contains(&format!("names of {long} and 0 more instances are too long")));
    // Those that fit are listed.
    let body = json!({ "addresses": ["10.0.0.2"], "ports": port, "ttl": null });
    let short = server.http.put(&format!("/v1/services/{service}/instances/a"), &body);
    assert_eq!(short.status, 201, "{short:?}");
    let srv = server.dns.ask(&format!("{service}.{alias}"), "SRV");
    assert_eq!(srv.only(), format!("0 256 443 a.{service}.{alias}."));

    server.write_config(&format!(
        "[server]\nzone = \"{alias}\"\n[dns]\nreverse = [\"10.0.0.0/8\"]\n"
    ));
    server.restart();

    assert_eq!(server.dns.ask("1.0.0.10.in-addr.arpa", "PTR").told(), ("NOERROR", "qr aa", vec![]));
    let fits = server.dns.ask("2.0.0.10.in-addr.arpa", "PTR");
    assert_eq!(fits.only(), format!("a.{service}.{alias}."));
}
