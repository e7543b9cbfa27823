//! Zone files: what names between, wildcards, aliases and delegations answer, and every type.

use crate::support::dig::dig;
use crate::support::dns::Query;
use crate::support::needs;
use crate::support::server::Server;

const ZONE: &str = "$ORIGIN example.org.\n$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n\
    *.w CNAME target\ntarget A 192.0.2.2\na.host.w A 192.0.2.3\nx.*.e A 192.0.2.4\n\
    c1 CNAME c2\nc2 CNAME target\nout CNAME www.example.net.\nl1 CNAME l2\nl2 CNAME l1\n\
    sub NS ns.sub\nns.sub A 192.0.2.5\nto-sub CNAME a.sub\n";

#[test]
fn wildcards_and_names_between_go_by_rfc_4592() {
    let server = Server::builder("").file("zones/example.zone", ZONE).start();

    for (name, rcode, answers) in [
        ("x.w", "NOERROR", &["x.w CNAME target", "target A 192.0.2.2"][..]),
        ("y.x.w", "NOERROR", &["y.x.w CNAME target", "target A 192.0.2.2"]),
        ("*.w", "NOERROR", &["*.w CNAME target", "target A 192.0.2.2"]),
        // The closest encloser is another: no wildcard there.
        ("host.w", "NOERROR", &[]),
        ("b.host.w", "NXDOMAIN", &[]),
        ("x.*.w", "NXDOMAIN", &[]),
        // A wildcard that is only between: it stands for names without data.
        ("y.e", "NOERROR", &[]),
        ("x.*.e", "NOERROR", &["x.*.e A 192.0.2.4"]),
        ("e", "NOERROR", &[]),
        ("x.target", "NXDOMAIN", &[]),
    ] {
        let reply = server.dns.ask(&format!("{name}.example.org"), "A");

        let short = |line: &String| line.replace(".example.org.", "").replace(" 60 ", " ");
        let lines: Vec<String> = reply.answers.iter().map(short).collect();
        assert_eq!((reply.rcode.as_str(), lines.join(", ")), (rcode, answers.join(", ")), "{name}");
        assert_eq!(reply.authority.len(), usize::from(answers.is_empty()), "{name}: {reply:?}");
    }
}

#[test]
fn aliases_are_followed_as_far_as_the_zone_goes() {
    let server = Server::builder("").file("zones/example.zone", ZONE).start();
    let ask = |name: &str| server.dns.ask(&format!("{name}.example.org"), "A");

    assert_eq!(ask("c1").answers.len(), 3);
    assert_eq!(ask("out").data(), ["www.example.net."]);
    assert_eq!(ask("l1").data(), ["l2.example.org.", "l1.example.org."]);
    let cut = ask("a.sub");
    assert_eq!(cut.told(), ("NOERROR", "qr", vec![]));
    assert_eq!(cut.authority, ["sub.example.org. 60 NS ns.sub.example.org."]);
    assert_eq!(cut.additional, ["ns.sub.example.org. 60 A 192.0.2.5"]);
    // AA speaks for the alias, which is ours.
    let through = ask("to-sub");
    let alias = "to-sub.example.org. 60 CNAME a.sub.example.org.";
    assert_eq!(through.told(), ("NOERROR", "qr aa", vec![alias]));
    assert_eq!(through.authority, cut.authority);
}

#[test]
fn text_of_many_strings_goes_over_tcp() {
    let strings = format!("\"{}\" ", "t".repeat(255)).repeat(250);
    let zone = format!("{ZONE}big TXT {strings}\n");
    let server = Server::builder("").file("zones/example.zone", &zone).start();
    let query = Query::new("big.example.org", "TXT");

    let (udp, tcp) = (server.dns.query(&query), server.dns.tcp(&query));

    assert_eq!((udp.truncated(), udp.answers.len()), (true, 0));
    assert_eq!((tcp.truncated(), tcp.only().len()), (false, 250 * 258 - 1));
}

#[test]
fn what_cannot_be_served_is_refused_with_its_line() {
    for (record, reason) in [
        ("d DNAME example.net.", "records of type DNAME cannot be served from a zone file"),
        ("d A 192.0.2.300", "\"192.0.2.300\" is not an address of the type's family"),
        ("c1 A 192.0.2.1", "c1.example.org. has a CNAME"),
    ] {
        let zone = format!("{ZONE}{record}\n");

        let (code, log) = Server::builder("").file("zones/example.zone", &zone).fail();

        assert_eq!(code, Some(1), "{record}");
        assert!(log.contains("example.zone:18: ") && log.contains(reason), "{log}");
    }
}

#[test]
fn every_type_comes_back_as_it_was_written() {
    let records = [
        "CAA 0 issue \"ca.example; a=b\"",
        "CDS 258 8 1 0A0B0C0D0E0F101112131415161718191A1B1C1D",
        "CSYNC 1 3 A NS",
        "DS 258 8 1 0A0B0C0D0E0F101112131415161718191A1B1C1D",
        "HINFO \"a b\" \"c\"",
        "HTTPS 1 . alpn=\"h2\" port=8443",
        "LOC 52 23 10.008 N 4 53 24.320 E -2.00m 1m 10000m 10m",
        "MX 10 mail.example.org.",
        "NAPTR 1 2 \"u\" \"E2U+sip\" \"!^.*$!sip:x@y!\" .",
        "OPENPGPKEY AQID",
        "SMIMEA 3 0 0 0AFF",
        "SRV 1 2 3 host.example.org.",
        "SSHFP 1 1 0A0B0C0D0E0F101112131415161718191A1B1C1D",
        "SVCB 2 svc.example.org. port=53",
        "TLSA 3 1 1 00FF",
        "TXT \"a\" \"b c\"",
        "TYPE65280 \\# 3 0A0BFF",
    ];
    // Not parsed: RFC 3597 has a way for any type.
    let loc = "TYPE29 \\# 16 00121613 8b3da7b8 810c9ee0 009895b8";
    let lines = records.iter().enumerate().map(|(i, record)| {
        let record = if record.starts_with("LOC") { loc } else { record };
        format!("r{i} {record}\n")
    });
    let zone = format!("{ZONE}{}", lines.collect::<String>());
    let server = Server::builder("").file("zones/example.zone", &zone).start();
    if !needs::works(needs::DIG) {
        return;
    }

    for (i, record) in records.iter().enumerate() {
        let (rtype, _) = record.split_once(' ').unwrap();
        let line = format!("+noall +answer r{i}.example.org {rtype}");
        let expected = format!("r{i}.example.org. 60 IN {record}");
        assert_eq!(dig(server.dns.address, &line), [expected]);
    }
}

#[test]
fn a_name_above_a_zone_exists_where_nothing_delegates_that() {
    let below = |parent: &str| {
        format!("$ORIGIN a.b.{parent}.\n@ 60 SOA ns h 1 2 3 4 5\n@ 60 A 192.0.2.9\n")
    };
    let server = Server::builder("")
        .file("zones/example.zone", ZONE)
        .file("zones/below.zone", &below("example.org"))
        .file("zones/ours.zone", &below("service.local"))
        .start();

    for parent in ["example.org", "service.local"] {
        assert_eq!(server.dns.ask(&format!("a.b.{parent}"), "A").data(), ["192.0.2.9"]);
        let between = server.dns.ask(&format!("b.{parent}"), "A");
        assert_eq!(between.told(), ("NOERROR", "qr aa", vec![]), "RFC 8020");
        assert_eq!(between.authority.len(), 1);
        assert_eq!(server.dns.ask(&format!("c.{parent}"), "A").rcode, "NXDOMAIN");
    }
}
