//! The encrypted pieces: each finds what the plain one does, and only of the server it trusts.

use crate::languages::SERVERS;
use crate::needs;
use crate::resolvers::{
    EXPECTED, failure, failure_of, prepare_for_resolved, resolved, start_resolved, through,
    through_port_5300, unbound_around,
};
use crate::setup::{piece, served_encrypted, write};

#[test]
fn kdig_and_dig_ask_over_tls() {
    if !needs::works(needs::DIG) {
        return;
    }
    let Some((_folder, mut shell)) = served_encrypted(needs::KDIG) else { return };

    for line in piece("kdig and dig").lines() {
        assert_eq!(shell.run(line), ["10.0.0.12"], "{line}");
        let other = line.replace("=ns1.service.local", "=other.example");
        assert_ne!(shell.run(&format!("{other} 2>said")), ["10.0.0.12"], "{other}");
    }
}

#[test]
fn unbound_forwards_the_zone_over_tls() {
    let Some((folder, mut shell)) = served_encrypted(&["unbound", "-V"]) else { return };
    let piece = piece("unbound over TLS");

    write(&folder, "unbound.conf", &format!("{piece}{}", unbound_around(5300)));
    shell.run("unbound -d -c unbound.conf >unbound.log 2>&1 &");
    assert_eq!(through_port_5300(&mut shell), EXPECTED);

    let other = piece.replace("#ns1.service.local", "#other.example");
    write(&folder, "other.conf", &format!("{other}{}", unbound_around(5301)));
    shell.run("unbound -d -c other.conf >other.log 2>&1 &");
    assert_eq!(failure(&mut shell), ["SERVFAIL", "0"]);
}

#[test]
fn systemd_resolved_routes_the_zone_over_tls() {
    let Some((folder, mut shell)) = served_encrypted(&[&resolved(), "--version"]) else { return };
    if !prepare_for_resolved(&mut shell) {
        return;
    }
    let piece = piece("systemd-resolved over TLS");

    // What the system trusts; in a place where its user may read.
    shell.run("cp data/dev-tls.pem /run/trusted.pem; export SSL_CERT_FILE=/run/trusted.pem");
    write(&folder, "signpost.conf", &piece);
    shell.run(&start_resolved());
    assert_eq!(through(&mut shell, "@127.0.0.53"), EXPECTED);

    shell.run("kill $resolved; wait $resolved");
    write(&folder, "signpost.conf", &piece.replace("#ns1.service.local", "#other.example"));
    shell.run(&start_resolved());
    assert_eq!(failure_of(&mut shell, "@127.0.0.53"), ["SERVFAIL", "0"]);
}

#[test]
fn dnspython_finds_servers_and_weights_over_tls() {
    let needed = &["python3", "-c", "import dns.nameserver"];
    let Some((folder, mut shell)) = served_encrypted(needed) else { return };
    write(&folder, "web.py", &piece("Python over TLS"));

    let found = shell.run("python3 web.py | sort");

    assert_eq!(found, SERVERS.map(|server| server.replacen(' ', ". ", 1)));
}
