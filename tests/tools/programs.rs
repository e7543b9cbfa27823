//! kdig, drill and delv, each with its own reading of DNS; and dnsperf, which counts what is lost.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::needs;
use crate::support::server::Server;

/// web with one instance, declared.
const CONFIG: &str = r#"
[services.web]
[[services.web.instances]]
id = "a"
addresses = ["10.0.0.1", "2001:db8::1"]
ports = [{ name = "http", port = 8080 }]
"#;

#[test]
fn kdig_reads_the_same_over_udp_and_tcp() {
    if !needs::works(needs::KDIG) {
        return;
    }
    let server = Server::start(CONFIG);

    for transport in ["+notcp", "+tcp"] {
        let line = format!("+json +nsid {transport} _http._tcp.web.service.local SRV");
        let said: Value = serde_json::from_str(&run(&server, "kdig", "-p", &line)).unwrap();

        let counts = ["QR", "AA", "TC", "RA", "RCODE", "QDCOUNT", "ANCOUNT", "NSCOUNT", "ARCOUNT"];
        let counts: Vec<&Value> = counts.iter().map(|name| &said[*name]).collect();
        // Two addresses of the target, and OPT.
        assert_eq!(json!(counts), json!([1, 1, 0, 0, 0, 1, 1, 0, 3]), "{line}: {said:#}");
        assert_eq!(said["answerRRs"][0]["rdataSRV"], "0 256 8080 a.web.service.local.");
        // NSID is option 3; what it says is "ns1".
        assert_eq!(said["additionalRRs"][2]["RDATAHEX"], "000300036E7331");
    }
}

#[test]
fn drill_reads_every_kind_of_reply() {
    if !needs::works(needs::DRILL) {
        return;
    }
    let server = Server::start(CONFIG);
    let soa = "service.local. 1 IN SOA ns1.service.local. hostmaster.service.local.";

    for transport in ["-u", "-t"] {
        let drill = |question: &str| {
            let text = run(&server, "drill", "-p", &format!("{transport} {question}"));
            let code = text.split_once("rcode: ").unwrap().1.split(',').next().unwrap().to_owned();
            (code, records(&text))
        };
        let (code, found) = drill("a.web.service.local AAAA");
        assert_eq!((&*code, found), ("NOERROR", vec![AAAA.to_owned()]));
        let (code, found) = drill("-D a.web.service.local AAAA");
        assert_eq!((&*code, found), ("NOERROR", vec![AAAA.to_owned()]), "with DO set");
        for (name, expected) in [("nobody", "NXDOMAIN"), ("_tcp.web", "NOERROR")] {
            let (code, found) = drill(&format!("{name}.service.local A"));
            assert!(found.len() == 1 && found[0].starts_with(soa), "{name}: {found:?}");
            assert_eq!(code, expected, "{name}");
        }
        assert_eq!(drill("example.com A"), ("REFUSED".to_owned(), vec![]));
    }
}

#[test]
fn delv_takes_every_answer_as_it_is() {
    if !needs::works(needs::DELV) {
        return;
    }
    let server = Server::start(CONFIG);

    // -i: without validation; nothing here is signed.
    let delv = |line: &str| run(&server, "delv", "-p", &format!("-i {line}"));

    assert_eq!(records(&delv("a.web.service.local AAAA")), [AAAA]);
    assert_eq!(
        records(&delv("_http._tcp.web.service.local SRV")),
        ["_http._tcp.web.service.local. 5 IN SRV 0 256 8080 a.web.service.local."]
    );
    assert!(delv("nobody.service.local A").contains("NXDOMAIN"));
    assert!(delv("a.web.service.local MX").contains("NXRRSET"));
}

#[test]
fn dnsperf_loses_nothing() {
    if !needs::works(needs::DNSPERF) {
        return;
    }
    let server = Server::start(CONFIG);
    let queries = "web.service.local A\nweb.service.local AAAA\n_http._tcp.web.service.local SRV\n\
                   a.web.service.local A\nuser-1.key.web.service.local A\nservice.local SOA\n\
                   web.service.local TXT\n_tcp.web.service.local A\n";
    let file = server.folder().join("queries");
    fs::write(&file, queries).unwrap();
    let queries = file.display();

    for transport in ["udp", "tcp"] {
        // Ten open queries of one client, with EDNS; a timeout that only a lost reply exceeds.
        let line = format!("-m {transport} -d {queries} -n 500 -q 10 -c 2 -e -t 20");
        let address = server.dns.address;
        let output = Command::new("dnsperf")
            .args([format!("-s{}", address.ip()), format!("-p{}", address.port())])
            .args(line.split(' '))
            .output()
            .unwrap();

        let text = String::from_utf8(output.stdout).unwrap();
        let figure = |name: &str| {
            let figure = text.split_once(name).unwrap_or_else(|| panic!("{name}: {text}")).1;
            figure.lines().next().unwrap().trim()
        };
        assert_eq!(figure("Queries sent:"), "4000");
        assert_eq!(figure("Queries lost:"), "0 (0.00%)");
        assert_eq!(figure("Response codes:"), "NOERROR 4000 (100.00%)");
    }
}

/// What `program` prints when it asks the server by `line`.
fn run(server: &Server, program: &str, port: &str, line: &str) -> String {
    let address = server.dns.address;
    let output = Command::new(program)
        .args([&format!("@{}", address.ip()), port, &address.port().to_string()])
        .args(line.split(' '))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success(), "{program} {line}: {text}");
    text
}

/// The lines that are no comment, with single spaces.
fn records(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

const AAAA: &str = "a.web.service.local. 5 IN AAAA 2001:db8::1";
