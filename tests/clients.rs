//! Other people's programs, set up as docs/clients.md says, in front of signpost.
//!
//! A program that is not installed is skipped with a line that says so; `./test` installs all but
//! Prometheus, whose package is as large as all the others together.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as the tests do")]

#[expect(dead_code, reason = "readme.rs uses the rest")]
mod pages;

use std::fs;
use std::path::PathBuf;

use pages::shell::Shell;
use pages::{blocks, checkout, skipped};
use tempfile::TempDir;

#[test]
fn dnsmasq_forwards_the_zone() {
    let Some((folder, mut shell)) = served("dnsmasq") else { return };
    write(&folder, "dnsmasq.conf", &piece("dnsmasq"));
    assert_eq!(shell.run("dnsmasq --test -C dnsmasq.conf"), ["dnsmasq: syntax check OK."]);

    // Rebinding protection is what one line of the piece is against.
    shell.run(
        "dnsmasq -C dnsmasq.conf --keep-in-foreground --no-resolv --no-hosts --port=5300 \
         --listen-address=127.0.0.1 --bind-interfaces --pid-file --user=root --stop-dns-rebind \
         >dnsmasq.log 2>&1 &",
    );

    assert_eq!(through_port_5300(&mut shell), EXPECTED);
}

#[test]
fn unbound_forwards_the_zone() {
    let Some((folder, mut shell)) = served("unbound") else { return };
    // Private addresses are what one line of the piece is against.
    let around = "server:\n    interface: 127.0.0.1@5300\n    username: \"\"\n    chroot: \"\"\n    \
                  directory: \".\"\n    pidfile: \"\"\n    use-syslog: no\n    \
                  private-address: 10.0.0.0/8\nremote-control:\n    control-enable: no\n";
    write(&folder, "unbound.conf", &format!("{}{around}", piece("unbound")));
    let checked = shell.run("unbound-checkconf unbound.conf");
    assert_eq!(checked, ["unbound-checkconf: no errors in unbound.conf"]);

    shell.run("unbound -d -c unbound.conf >unbound.log 2>&1 &");

    assert_eq!(through_port_5300(&mut shell), EXPECTED);
}

#[test]
fn bind_forwards_the_zone() {
    let Some((folder, mut shell)) = served("named") else { return };
    // It validates: what one line of the piece is against.
    let around = "options {\n    directory \".\"; pid-file none; dnssec-validation auto;\n    \
                  listen-on port 5300 { 127.0.0.1; }; listen-on-v6 { none; };";
    write(&folder, "named.conf", &piece("named").replacen("options {", around, 1));
    write(&folder, "named.conf", &format!("{}controls {{ }};\n", read(&folder, "named.conf")));
    assert_eq!(shell.run("named-checkconf named.conf"), Vec::<String>::new());

    shell.run("named -g -c named.conf >named.log 2>&1 &");

    assert_eq!(through_port_5300(&mut shell), EXPECTED);
}

#[test]
fn haproxy_takes_all_servers_and_their_weights() {
    let Some((folder, mut shell)) = served("haproxy") else { return };
    let around = "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    \
                  timeout server 1s\nfrontend stats\n    bind 127.0.0.1:8404\n    stats enable\n    \
                  stats uri /\n";
    write(&folder, "haproxy.cfg", &format!("{around}{}", piece("haproxy")));
    assert_eq!(shell.run("haproxy -c -q -f haproxy.cfg"), Vec::<String>::new());

    shell.run("haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &");

    // Column 18 is the state; a server that has no address yet is in maintenance.
    shell.run(
        "csv() { curl -s 'http://127.0.0.1:8404/;csv'; }\n\
         until_it_works csv >head\n\
         column=$(head -1 head | tr , '\\n' | grep -nx uweight | cut -d: -f1)\n\
         weights() { csv | grep ^web,web | awk -F, -v w=$column '$18 !~ /MAINT/ { print $w }' | \
         sort -n >weights; [ $(wc -l <weights) = 3 ]; }",
    );
    // 65535 and 21845 of 65535, as HAProxy counts.
    assert_eq!(shell.run("until_it_works weights; cat weights"), ["86", "86", "256"]);
}

#[test]
fn nginx_takes_its_piece() {
    let Some((folder, mut shell)) = served("nginx") else { return };
    let around = format!("events {{}}\nhttp {{\naccess_log off;\n{}}}\n", piece("nginx"));
    write(&folder, "nginx.conf", &around);

    let checked = shell.run("nginx -t -q -p . -e nginx.log -c nginx.conf -g 'pid nginx.pid;'");

    assert_eq!(checked, Vec::<String>::new());
}

#[test]
fn prometheus_takes_its_piece() {
    let Some(folder) = installed("promtool") else { return };
    let Some(mut shell) = Shell::start(folder.path()) else { return };
    write(&folder, "prometheus.yml", &piece("prometheus"));

    let checked = shell.run("promtool check config prometheus.yml").join("\n");

    assert!(checked.contains("SUCCESS"), "{checked}");
}

#[test]
fn glibc_finds_services_by_port_53() {
    let folder = checkout();
    let Some(mut shell) = Shell::start(folder.path()) else { return };
    let toml = blocks("toml").into_iter().find(|block| block.page == "docs/clients.md").unwrap();
    write(&folder, "registry.toml", &(read(&folder, "registry.toml") + "\n"));
    write(&folder, "resolv.conf", "nameserver 127.0.0.2\n");
    let listen = toml.text.replacen("[dns]\n", "", 1);
    let config = read(&folder, "registry.toml").replacen("[dns]\n", &format!("[dns]\n{listen}"), 1);
    write(&folder, "registry.toml", &config);

    // With loopback addresses alone getaddrinfo would not ask for addresses at all.
    shell.run("ip address add 192.0.2.1/32 dev lo; mount --bind resolv.conf /etc/resolv.conf");
    shell.run("cargo run --release");

    let found = shell.run("getent ahostsv4 web-2.web.service.local | cut -d' ' -f1 | sort -u");
    assert_eq!(found, ["10.0.0.12"]);
}

/// A server in a network of its own, in which `program` is installed.
fn served(program: &str) -> Option<(TempDir, Shell)> {
    let folder = installed(program)?;
    let mut shell = Shell::start(folder.path())?;
    shell.run("cargo run --release");
    Some((folder, shell))
}

fn installed(program: &str) -> Option<TempDir> {
    let path = std::env::var("PATH").unwrap() + ":/usr/sbin:/sbin";
    if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return Some(checkout());
    }
    skipped(&format!("{program} is not installed"));
    None
}

/// The page's only block in `language`.
fn piece(language: &str) -> String {
    let mut found = blocks(language);
    assert_eq!(found.len(), 1, "blocks in {language}");
    found.remove(0).text
}

/// What the resolver on port 5300 says of a key, of a port, of what is not there.
fn through_port_5300(shell: &mut Shell) -> Vec<String> {
    shell.run(
        "ask() { dig @127.0.0.1 -p 5300 +time=1 +tries=1 \"$@\"; }\n\
         until_it_works sh -c 'dig @127.0.0.1 -p 5300 +time=1 +tries=1 +short \
         user-42.key.cache.service.local | grep -q ^10'\n\
         ask +short user-42.key.cache.service.local\n\
         ask +short _http._tcp.web.service.local SRV | sort\n\
         ask nothing.service.local | grep -o 'status: NXDOMAIN'",
    )
}

const EXPECTED: [&str; 5] = [
    "10.0.0.21",
    "0 21845 8080 web-2.web.service.local.",
    "0 21845 8080 web-3.web.service.local.",
    "0 65535 8080 web-1.web.service.local.",
    "status: NXDOMAIN",
];

fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(path(folder, name), text).unwrap();
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(path(folder, name)).unwrap()
}

fn path(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}
