//! The encrypted pieces: each finds what the plain one does, and only of the server it trusts.

use serde_json::Value;

use crate::languages::SERVERS;
use crate::needs;
use crate::proxies::{BACKENDS, NGINX_AROUND, backends};
use crate::resolvers::{
    EXPECTED, failure, prepare_for_resolved, resolved, start_resolved, through, through_port_5300,
    unbound_around,
};
use crate::setup::{piece, served_encrypted, write};

#[test]
fn kdig_and_dig_ask_over_tls_and_https() {
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
    // It goes on trying for minutes; what it must not do is answer.
    let asked = "dig @127.0.0.53 +time=3 +tries=1 web-2.web.service.local | grep -c 10.0.0.12";
    assert_eq!(shell.run(asked), ["0"]);
}

#[test]
fn dnspython_finds_servers_and_weights_over_each_transport() {
    let needed = &["python3", "-c", "import dns.nameserver"];
    let Some((folder, mut shell)) = served_encrypted(needed) else { return };
    write(&folder, "web.py", &piece("Python, encrypted"));

    let found = shell.run("python3 web.py | sort | uniq -c | sed 's/^ *//'");

    assert_eq!(found, SERVERS.map(|server| format!("3 {}", server.replacen(' ', ". ", 1))));
}

#[test]
fn curl_finds_its_server_over_https() {
    let Some((folder, mut shell)) = served_encrypted(&["nginx", "-v"]) else { return };
    write(&folder, "nginx.conf", &format!("{NGINX_AROUND}{BACKENDS}}}\n"));
    backends(&mut shell);
    shell.run(
        "nginx -p . -e nginx.log -c nginx.conf &\n\
         until_it_works curl -s -o up http://10.0.0.11:8080",
    );
    let piece = piece("curl over HTTPS");
    let (through, json) = piece.split_once('\n').unwrap();

    let through = through.replace("curl", "curl -sS");
    let found = shell.run(&through);
    assert!(
        ["10.0.0.11", "10.0.0.12", "10.0.0.13"].contains(&found.concat().as_str()),
        "{found:?}"
    );
    let distrusted = shell.run(&format!("{}; echo $?", through.replace("--cacert", "--capath")));
    assert_eq!(distrusted.last().map(String::as_str), Some("6"), "{distrusted:?}");

    let json: Value = serde_json::from_str(&shell.run(&json.replace("curl", "curl -sS")).concat())
        .expect("it is JSON");
    assert_eq!(json["Answer"][0]["data"], "10.0.0.12", "{json:#}");
}
