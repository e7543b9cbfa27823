//! ISC's compliance tests of DNS and EDNS (RFC 8906 section 8), as its author writes them for dig.
//!
//! Each line is a query that some server or middlebox was found to answer wrongly, or not at all.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::needs;
use crate::support::server::Server;

/// The name of the test, the query, and what dig shows of the reply: opcode and status, flags,
/// records in answer/authority/additional, and the EDNS line with its options.
const TESTS: &[(&str, &str, &str)] = &[
    ("dns", "+noedns +noad +norec SOA", "QUERY NOERROR: qr aa 1/0/0"),
    ("aa", "+noedns +noad +norec +aaflag SOA", "QUERY NOERROR: qr aa 1/0/0"),
    ("ad", "+noedns +ad +norec SOA", "QUERY NOERROR: qr aa 1/0/0"),
    ("cd", "+noedns +noad +norec +cd SOA", "QUERY NOERROR: qr aa 1/0/0"),
    ("ra", "+noedns +noad +norec +raflag SOA", "QUERY NOERROR: qr aa 1/0/0"),
    ("rd", "+noedns +noad +rec SOA", "QUERY NOERROR: qr aa rd 1/0/0"),
    ("tc", "+noedns +noad +norec +tcflag SOA", "QUERY NOERROR: qr aa 1/0/0"),
    ("zflag", "+noedns +noad +norec +zflag SOA", "QUERY NOERROR: qr aa 1/0/0"),
    ("opcode", "+noedns +noad +norec +header-only +opcode=15", "RESERVED15 NOTIMP: qr 0/0/0"),
    (
        "opcodeflg",
        "+noedns +header-only +opcode=15 +tcflag +rec +raflag +cd +ad +aaflag +zflag",
        "RESERVED15 NOTIMP: qr rd 0/0/0",
    ),
    ("type666", "+noedns +noad +norec TYPE666", "QUERY NOERROR: qr aa 0/1/0"),
    ("tcp", "+noedns +noad +norec +tcp SOA", "QUERY NOERROR: qr aa 1/0/0"),
    ("edns", "+edns=0 +nocookie +noad +norec SOA", "QUERY NOERROR: qr aa 1/0/1 0"),
    ("edns1", "+edns=1 +noednsneg +nocookie +noad +norec SOA", "QUERY BADVERS: qr 0/0/1 0"),
    (
        "edns@512",
        "+edns=0 +nocookie +noad +norec +dnssec +ignore +bufsize=512 DNSKEY",
        "QUERY NOERROR: qr aa 0/1/1 0 do",
    ),
    ("ednsopt", "+edns=0 +nocookie +noad +norec +ednsopt=100 SOA", "QUERY NOERROR: qr aa 1/0/1 0"),
    (
        "edns1opt",
        "+edns=1 +noednsneg +nocookie +noad +norec +ednsopt=100 SOA",
        "QUERY BADVERS: qr 0/0/1 0",
    ),
    ("do", "+edns=0 +nocookie +noad +norec +dnssec SOA", "QUERY NOERROR: qr aa 1/0/1 0 do"),
    ("docd", "+edns=0 +nocookie +noad +norec +dnssec +cd SOA", "QUERY NOERROR: qr aa 1/0/1 0 do"),
    (
        "edns1do",
        "+edns=1 +noednsneg +nocookie +noad +norec +dnssec SOA",
        "QUERY BADVERS: qr 0/0/1 0 do",
    ),
    (
        "ednsflags",
        "+edns=0 +nocookie +noad +norec +ednsflags=0x0080 SOA",
        "QUERY NOERROR: qr aa 1/0/1 0",
    ),
    (
        "optlist",
        "+edns=0 +noad +norec +nsid +subnet=0.0.0.0/0 +expire +cookie=0102030405060708 SOA",
        "QUERY NOERROR: qr aa 1/0/1 0 CLIENT-SUBNET COOKIE(good) NSID",
    ),
    ("ednsnsid", "+edns=0 +nocookie +noad +norec +nsid SOA", "QUERY NOERROR: qr aa 1/0/1 0 NSID"),
    (
        "ednscookie",
        "+edns=0 +noad +norec +cookie=0102030405060708 SOA",
        "QUERY NOERROR: qr aa 1/0/1 0 COOKIE(good)",
    ),
    ("ednsexpire", "+edns=0 +nocookie +noad +norec +expire SOA", "QUERY NOERROR: qr aa 1/0/1 0"),
    (
        "ednssubnet",
        "+edns=0 +nocookie +noad +norec +subnet=0.0.0.0/0 SOA",
        "QUERY NOERROR: qr aa 1/0/1 0 CLIENT-SUBNET",
    ),
    (
        "edns1nsid",
        "+edns=1 +noednsneg +nocookie +noad +norec +nsid SOA",
        "QUERY BADVERS: qr 0/0/1 0",
    ),
    (
        "edns1cookie",
        "+edns=1 +noednsneg +noad +norec +cookie=0102030405060708 SOA",
        "QUERY BADVERS: qr 0/0/1 0",
    ),
    (
        "edns1expire",
        "+edns=1 +noednsneg +nocookie +noad +norec +expire SOA",
        "QUERY BADVERS: qr 0/0/1 0",
    ),
    (
        "edns1subnet",
        "+edns=1 +noednsneg +nocookie +noad +norec +subnet=0.0.0.0/0 SOA",
        "QUERY BADVERS: qr 0/0/1 0",
    ),
    (
        "ednstcp",
        "+edns=0 +nocookie +noad +norec +dnssec +bufsize=512 +tcp DNSKEY",
        "QUERY NOERROR: qr aa 0/1/1 0 do",
    ),
    (
        "bind11",
        "+edns=0 +cookie=0102030405060708 +noad +norec +dnssec SOA",
        "QUERY NOERROR: qr aa 1/0/1 0 do COOKIE(good)",
    ),
    (
        "dig11",
        "+edns=0 +cookie=0102030405060708 +ad +rec SOA",
        "QUERY NOERROR: qr aa rd 1/0/1 0 COOKIE(good)",
    ),
];

#[test]
fn every_compliance_test_of_isc_is_passed() {
    if !needs::works(needs::DIG) {
        return;
    }
    let server = Server::start("");

    for (name, line, expected) in TESTS {
        assert_eq!(reply(&server, line), *expected, "{name}: dig {line}");
    }
}

/// What dig shows of the reply to a query for the zone, as in [`TESTS`].
fn reply(server: &Server, line: &str) -> String {
    // A query of nothing but a header has no name.
    let zone = if line.contains("+header-only") { "" } else { "service.local" };
    let address = server.dns.address;
    let output = Command::new("dig")
        .args([format!("@{}", address.ip()), format!("-p{}", address.port())])
        .args(line.split(' '))
        .args(zone.split_terminator(' '))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    outcome(&text).unwrap_or(text)
}

fn outcome(text: &str) -> Option<String> {
    let between = |from: &str, to: &str| Some(text.split_once(from)?.1.split_once(to)?.0);
    let (opcode, status) = (between("opcode: ", ",")?, between("status: ", ",")?);
    let (flags, answer) = (between(";; flags: ", ";")?, between("ANSWER: ", ",")?);
    let (authority, additional) = (between("AUTHORITY: ", ",")?, between("ADDITIONAL: ", "\n")?);
    let mut said = format!("{opcode} {status}: {flags} {answer}/{authority}/{additional}");
    if text.contains("MBZ") {
        said += " MBZ";
    }
    let Some(version) = between("; EDNS: version: ", ",") else { return Some(said) };
    let options = between("; EDNS", ";; QUESTION")?.lines().skip(1);
    // A cookie is good when it begins with the client's own.
    let options = options.map(|line| {
        let name = line.trim_start_matches("; ").split(':').next().unwrap();
        if line.ends_with("(good)") { "COOKIE(good)" } else { name }
    });
    // In whatever order.
    let options: BTreeSet<&str> = options.collect();
    let flags = between("EDNS: version: 0, flags:", ";")?.trim();
    for word in [version, flags].into_iter().filter(|word| !word.is_empty()).chain(options) {
        said += " ";
        said += word;
    }
    Some(said)
}
