//! Resolvers that send the zone here. Each line of a piece is needed: without it the resolver fails.

use std::fs;

use crate::needs;
use crate::pages::shell::Shell;
use crate::setup::{piece, served, write};

#[test]
fn dnsmasq_forwards_the_zone() {
    let Some((folder, mut shell)) = served(&["dnsmasq", "--version"]) else { return };
    let piece = piece("dnsmasq");
    write(&folder, "dnsmasq.conf", &piece);
    assert_eq!(shell.run("dnsmasq --test -C dnsmasq.conf"), ["dnsmasq: syntax check OK."]);

    // Rebinding protection is what one line of the piece is against.
    let start = |shell: &mut Shell, config: &str, port: u16| {
        shell.run(&format!(
            "dnsmasq -C {config} --keep-in-foreground --no-resolv --no-hosts --port={port} \
             --listen-address=127.0.0.1 --bind-interfaces --pid-file --user= --group= \
             --stop-dns-rebind >{config}.log 2>&1 &"
        ));
    };
    start(&mut shell, "dnsmasq.conf", 5300);
    assert_eq!(through_port_5300(&mut shell), EXPECTED);

    write(&folder, "bare.conf", &without(&piece, "rebind-domain-ok"));
    start(&mut shell, "bare.conf", 5301);
    assert_eq!(failure(&mut shell), ["NOERROR", "0"]);
}

#[test]
fn unbound_forwards_the_zone() {
    let Some((folder, mut shell)) = served(&["unbound", "-V"]) else { return };
    let piece = piece("unbound");
    write(&folder, "unbound.conf", &format!("{piece}{}", unbound_around(5300)));
    let checked = shell.run("unbound-checkconf unbound.conf");
    assert_eq!(checked, ["unbound-checkconf: no errors in unbound.conf"]);

    shell.run("unbound -d -c unbound.conf >unbound.log 2>&1 &");
    assert_eq!(through_port_5300(&mut shell), EXPECTED);

    let cases = [("domain-insecure", "SERVFAIL"), ("private-domain", "NOERROR")];
    for (line, status) in cases.into_iter().chain([("do-not-query-localhost", "SERVFAIL")]) {
        write(&folder, "bare.conf", &format!("{}{}", without(&piece, line), unbound_around(5301)));
        shell.run("unbound -d -c bare.conf >bare.log 2>&1 & bare=$!");
        assert_eq!(failure(&mut shell), [status, "0"], "without {line}");
        shell.run("kill $bare; wait $bare");
    }
}

#[test]
fn bind_forwards_the_zone() {
    let Some((folder, mut shell)) = served(&["named", "-V"]) else { return };
    let piece = piece("BIND");
    // It validates: what one line of the piece is against.
    let around = |piece: &str, port: u16| {
        let options = format!(
            "options {{\n    directory \".\"; pid-file none; dnssec-validation auto;\n    \
             session-keyfile none; listen-on port {port} {{ 127.0.0.1; }}; \
             listen-on-v6 {{ none; }};"
        );
        piece.replacen("options {", &options, 1) + "controls { };\n"
    };
    write(&folder, "named.conf", &around(&piece, 5300));
    assert_eq!(shell.run("named-checkconf named.conf"), Vec::<String>::new());

    shell.run("named -g -c named.conf >named.log 2>&1 &");
    assert_eq!(through_port_5300(&mut shell), EXPECTED);

    fs::create_dir(folder.path().join("bare")).unwrap();
    write(&folder, "bare/named.conf", &around(&without(&piece, "validate-except"), 5301));
    shell.run("cd bare; named -g -c named.conf >named.log 2>&1 &");
    assert_eq!(failure(&mut shell), ["SERVFAIL", "0"]);
}

#[test]
fn systemd_resolved_routes_the_zone() {
    let Some((folder, mut shell)) = served(&[&resolved(), "--version"]) else { return };
    if !prepare_for_resolved(&mut shell) {
        return;
    }
    let piece = piece("systemd-resolved");

    write(&folder, "signpost.conf", &piece);
    shell.run(&start_resolved());
    assert_eq!(through(&mut shell, "@127.0.0.53"), EXPECTED);

    shell.run("kill $resolved; wait $resolved");
    write(&folder, "signpost.conf", &without(&piece, "Domains"));
    shell.run(&start_resolved());
    assert_eq!(failure_of(&mut shell, "@127.0.0.53"), ["REFUSED", "0"]);
}

/// systemd-resolved: not of its installed package, which makes itself the resolver of the machine.
pub(crate) fn resolved() -> String {
    needs::tools().join("systemd-resolved/lib/systemd/systemd-resolved").display().to_string()
}

/// What systemd-resolved wants: its user, a folder in /run, and a link that is up. It does without
/// systemd and D-Bus. `false`, and said, where this may not be.
pub(crate) fn prepare_for_resolved(shell: &mut Shell) -> bool {
    if shell.run("awk '{ print $3 }' /proc/self/uid_map") == ["1"] {
        needs::skipped("systemd-resolved changes its user, which takes root");
        return false;
    }
    let said = shell.run(
        "mount -t tmpfs none /run; mkdir -p /run/dbus /run/systemd/resolved.conf.d\n\
         cp /etc/passwd passwd; cp /etc/group group\n\
         echo systemd-resolve:x:995:995::/:/usr/sbin/nologin >>passwd\n\
         echo systemd-resolve:x:995: >>group\n\
         mount --bind passwd /etc/passwd; mount --bind group /etc/group\n\
         ip link add up0 type veth peer name up1\n\
         ip address add 192.0.2.1/24 dev up0; ip link set up0 up; ip link set up1 up",
    );
    assert_eq!(said, Vec::<String>::new());
    true
}

/// Starts it with `signpost.conf` of this folder; it answers on 127.0.0.53.
pub(crate) fn start_resolved() -> String {
    let program = resolved();
    format!(
        "cp signpost.conf /run/systemd/resolved.conf.d; {program} >resolved.log 2>&1 & resolved=$!"
    )
}

/// The configuration without the line that has `key`.
fn without(piece: &str, key: &str) -> String {
    let lines: Vec<&str> = piece.lines().filter(|line| !line.contains(key)).collect();
    assert_eq!(lines.len() + 1, piece.lines().count(), "lines with {key}");
    lines.join("\n") + "\n"
}

/// What the resolver on port 5300 says of a key, of a port, of what is not there.
pub(crate) fn through_port_5300(shell: &mut Shell) -> Vec<String> {
    through(shell, "@127.0.0.1 -p 5300")
}

pub(crate) fn through(shell: &mut Shell, resolver: &str) -> Vec<String> {
    shell.run(&format!(
        "ask() {{ dig {resolver} +time=2 +tries=3 \"$@\"; }}\n\
         until_it_works sh -c 'dig {resolver} +time=2 +tries=1 +short \
         user-42.key.cache.service.local | grep -q ^10'\n\
         ask +short user-42.key.cache.service.local\n\
         ask +short _http._tcp.web.service.local SRV | sort\n\
         ask nothing.service.local | grep -o 'status: NXDOMAIN'"
    ))
}

/// The status and the number of answers of the resolver on port 5301.
pub(crate) fn failure(shell: &mut Shell) -> Vec<String> {
    failure_of(shell, "@127.0.0.1 -p 5301")
}

fn failure_of(shell: &mut Shell, resolver: &str) -> Vec<String> {
    shell.run(&format!(
        "asked() {{ dig {resolver} +time=20 +tries=1 web-2.web.service.local >reply; }}\n\
         until_it_works asked; sed -En 's/.*status: ([A-Z]+).*/\\1/p; s/.*ANSWER: ([0-9]+).*/\\1/p' \
         reply"
    ))
}

/// What is around a piece of unbound: it validates, and takes private addresses out of answers,
/// which two lines of the piece are against.
pub(crate) fn unbound_around(port: u16) -> String {
    format!(
        "server:\n    interface: 127.0.0.1@{port}\n    username: \"\"\n    chroot: \"\"\n    \
         directory: \".\"\n    pidfile: \"\"\n    use-syslog: no\n    \
         private-address: 10.0.0.0/8\n    trust-anchor: \"{ROOT}\"\nremote-control:\n    \
         control-enable: no\n"
    )
}

/// The key that signs the root, by its digest.
const ROOT: &str =
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";

pub(crate) const EXPECTED: [&str; 5] = [
    "10.0.0.21",
    "0 21845 8080 web-2.web.service.local.",
    "0 21845 8080 web-3.web.service.local.",
    "0 65535 8080 web-1.web.service.local.",
    "status: NXDOMAIN",
];
