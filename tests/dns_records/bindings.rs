//! Service bindings: HTTPS and SVCB (RFC 9460).

use serde_json::json;

use crate::support::dig::dig;
use crate::support::dns::Query;
use crate::support::needs;
use crate::support::server::Server;

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

#[test]
fn https_binds_to_the_port_of_that_name() {
    let server = Server::start(SERVICES);

    let reply = server.dns.ask("web.service.local", "HTTPS");

    // web-3 has no such port; port 443 goes without saying.
    let bound = "web.service.local. 5 HTTPS 1 web-1.web.service.local. alpn=h2,http/1\\.1 \
                 ipv4hint=10.0.0.11 ipv6hint=2001:db8::11";
    assert_eq!(reply.told_sorted(), ("NOERROR", "qr aa", vec![bound]));
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

        assert_eq!(reply.told_sorted(), ("NOERROR", "qr aa", vec![]), "{name}");
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
        assert_eq!(reply.told_sorted(), ("NOERROR", "qr aa", vec![line.as_str()]));
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
    let data =
        "1 web-1.web.service.local. alpn=h2,http/1.1 ipv4hint=10.0.0.11 ipv6hint=2001:db8::11";
    assert_eq!(reply["answers"][0]["data"], data);
    assert_eq!(reasons(0), json!([]), "{reply}");
    assert_eq!(reasons(1), json!(["not in the active tier"]));
    assert_eq!(reasons(2), json!(["no such port"]));
}

#[test]
fn parameters_are_explained_as_zone_files_write_them() {
    let params = "mandatory=alpn,port alpn=h2,h3 no-default-alpn port=53 \
                  ipv4hint=192.0.2.1,192.0.2.2 key667=\"ab\"";
    let zone = format!("$ORIGIN example.org.\n@ 5 SOA a b 1 2 3 4 5\n@ 5 SVCB 1 svc {params}\n");
    let server = Server::builder("").file("zones/x.zone", &zone).start();

    let reply = server.http.get("/v1/resolve?name=example.org&type=SVCB").body;

    assert_eq!(reply["answers"][0]["data"], format!("1 svc.example.org. {params}"), "{reply}");

    // A list within a character-string: what both would read otherwise is escaped twice.
    let port = json!([{ "name": "https", "port": 443 }]);
    let metadata = json!({ "alpn": r"h2,a\b" });
    let body = json!({ "addresses": ["10.0.0.1"], "ports": port, "metadata": metadata });
    server.http.register("web", "a", &body);
    let reply = server.http.get("/v1/resolve?name=web.service.local&type=HTTPS").body;
    let data = r#"1 a.web.service.local. alpn="h2,a\\\\b" ipv4hint=10.0.0.1"#;
    assert_eq!(reply["answers"][0]["data"], data);
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
