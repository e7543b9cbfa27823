//! What clients say by EDNS options and get back, as dig shows it; and the limit on UDP replies,
//! which only exists beyond loopback: those tests run in a network of their own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use support::dig::{dig, dig_comments};
use support::dns::Query;
use support::message::Message;
use support::needs::{DIG, works};
use support::server::{Server, free_addresses};
use support::{SOON, now};

const WEB: &str = "[[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80\n\
     [[services.down.instances]]\nid = \"down-1\"\naddresses = [\"10.0.0.1\"]\nstatus = \"critical\"\n";

/// The cookie that dig shows, and what it thinks of it.
fn cookie(server: &Server, line: &str) -> (String, String) {
    let lines = dig_comments(server.dns.address, line, "COOKIE: ");
    let [line] = &lines[..] else { panic!("not one cookie: {lines:?}") };
    let (_, cookie) = line.split_once("COOKIE: ").unwrap();
    let (cookie, judged) = cookie.split_once(' ').unwrap();
    (cookie.to_owned(), judged.to_owned())
}

#[test]
fn dig_gets_a_cookie_and_is_known_by_it() {
    if !works(DIG) {
        return;
    }
    let server = Server::start(WEB);
    let counted = |label: &str| server.http.metric("signpost_dns_cookies_total", label).unwrap();

    let (given, judged) = cookie(&server, "+cookie web.service.local");
    assert_eq!((given.len(), judged.as_str()), (48, "(good)"));
    let (again, judged) = cookie(&server, &format!("+tcp +cookie={given} web.service.local"));
    assert_eq!((again, judged.as_str()), (given.clone(), "(good)"));
    let other = format!("{}{}", &given[..46], if given.ends_with("00") { "01" } else { "00" });
    let (renewed, _) = cookie(&server, &format!("+cookie={other} web.service.local"));
    assert_ne!(renewed, other);
    let (alone, judged) = cookie(&server, "+header-only");
    assert_eq!((alone.len(), judged.as_str()), (48, "(good)"));

    let counts = ["new", "valid", "bad"].map(|cookie| counted(&format!("cookie=\"{cookie}\"")));
    assert_eq!(counts, [2.0, 1.0, 1.0]);
}

#[test]
fn a_shared_secret_outlives_the_process_and_the_log_is_silent_of_it() {
    if !works(DIG) {
        return;
    }
    let secret = "5ec2e75ec2e75ec2e75ec2e75ec2e7ff";
    let shared = format!("[dns]\ncookie_secrets = [\"{secret}\"]\n{WEB}");
    for (config, kept) in [(&shared[..], true), (WEB, false)] {
        let mut server = Server::start(config);
        let (given, _) = cookie(&server, "+cookie web.service.local");

        server.restart();
        let (again, _) = cookie(&server, &format!("+cookie={given} web.service.local"));

        assert_eq!(again == given, kept);
        server.write_config(&shared.replace(secret, &format!("{secret}\", \"{secret}5ec2e7")));
        let refused = server.http.post("/v1/reload", None);
        assert_eq!(refused.problem(), (422, "bad-config", Some("dns.cookie_secrets[1]")));
        assert!(!refused.body.to_string().contains("5ec2e7"), "{}", refused.body);
        assert!(!(server.log() + &server.printed()).contains("5ec2e7"), "{}", server.log());
    }
}

#[test]
fn each_option_of_dig_is_answered_as_its_standard_says() {
    if !works(DIG) {
        return;
    }
    let server = Server::start(WEB);
    for (line, shown) in [
        ("+nsid web.service.local", &["NSID: 6e 73 31 (\"ns1\")"][..]),
        ("+tcp +nsid +keepalive web.service.local", &["NSID", "TCP KEEPALIVE: 10.0 secs"]),
        ("+keepalive web.service.local", &[]),
        ("+padding=64 web.service.local", &[]),
        ("+tcp +padding=64 web.service.local", &[]),
        ("+ednsopt=65001:abcd web.service.local", &[]),
        ("+ednsflags=0x4fff web.service.local", &[]),
        ("+subnet=10.1.2.0/24 web.service.local", &["CLIENT-SUBNET: 10.1.2.0/24/0"]),
        ("down.service.local", &["EDE: 0 (Other): (no usable instance: 1 critical)"]),
        ("example.com", &["EDE: 20 (Not Authoritative)"]),
        ("+edns=1 +noednsneg +nsid web.service.local", &[]),
        ("+opcode=15 +nsid web.service.local", &["NSID"]),
    ] {
        let lines = dig_comments(server.dns.address, &format!("+nocookie {line}"), ": ");
        let opt = "; EDNS: version: 0, flags:; udp: 1232";
        let after_edns = lines.iter().skip_while(|line| !line.starts_with(opt));
        let options = after_edns.skip(1).take_while(|line| line.starts_with("; "));
        let options: Vec<&String> = options.collect();

        assert!(lines.iter().any(|line| line.starts_with(opt)), "{line}: {lines:#?}");
        assert_eq!(options.len(), shown.len(), "{line}: {lines:#?}");
        for (option, text) in options.iter().zip(shown) {
            assert!(option.contains(text), "{line}: {lines:#?}");
        }
    }
}

#[test]
fn replies_over_tls_are_padded_to_who_asks() {
    if !works(DIG) {
        return;
    }
    let tls = free_addresses().0;
    let config = format!("[dns]\ntls_listen = [\"{tls}\"]\n{WEB}");
    let _server = Server::builder(&config).argument("--dev-tls").start();

    for name in ["web.service.local", "down.service.local", "example.com"] {
        let shown = dig_comments(tls, &format!("+tls +padding=128 +keepalive {name}"), "");
        let has = |part: &str| shown.iter().any(|line| line.starts_with(part));
        assert!(has("; PAD: (") && has(";; MSG SIZE  rcvd: 468"), "{shown:#?}");
        assert!(has("; TCP KEEPALIVE: 10.0 secs"), "{shown:#?}");
        let shown = dig_comments(tls, &format!("+tls {name}"), "PAD");
        assert_eq!(shown, Vec::<String>::new());
    }
}

#[test]
fn what_the_server_says_of_itself_is_a_matter_of_the_file() {
    if !works(DIG) {
        return;
    }
    let server = Server::start(WEB);
    let said = || {
        ["id.server", "hostname.bind", "version.bind", "version.server", "authors.bind"]
            .map(|name| dig(server.dns.address, &format!("CH TXT {name} +short")).concat())
    };

    assert_eq!(said(), ["\"ns1\"", "\"ns1\"", "", "", ""]);
    for (keys, expected) in [
        ("chaos = false", ["", "", "", "", ""]),
        ("version = \"9.9\"", ["\"ns1\"", "\"ns1\"", "\"9.9\"", "\"9.9\"", ""]),
    ] {
        server.write_config(&format!("[dns]\n{keys}\n{WEB}"));
        server.signal("HUP");
        support::eventually(SOON, "the reload is in force", || (said() == expected).then_some(()));
    }
}

/// Runs the test `name` once more in a network of its own, where the server can be beyond loopback,
/// at 198.51.100.1 to .9 and 203.0.113.1. `true` inside it.
fn in_own_network(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let ways: [&[&str]; 2] = [&["unshare", "--net"], &["unshare", "--map-root-user", "--net"]];
    let way =
        ways.into_iter().find(|way| works(&[way, &["ip", "link", "set", "lo", "up"][..]].concat()));
    let Some(way) = way else { return false };
    let script =
        "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up; ip address add 203.0.113.1/32 dev lo;
        for i in 1 2 3 4 5 6 7 8 9; do ip address add 198.51.100.$i/32 dev lo; done; exec \"$@\"";
    let output = Command::new(way[0])
        .args(&way[1..])
        .args(["sh", "-ec", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// A server at 198.51.100.1 with these keys in `[rate_limit]`.
fn public(keys: &str) -> Server {
    let config = format!("[rate_limit]\n{keys}\n{WEB}");
    Server::builder(&config).dns("198.51.100.1:5300").start()
}

/// A socket of `address` that is connected to `server`.
fn client(server: SocketAddr, address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// How a query with this cookie ends: an address, TC or a code. Empty: no cookie.
fn asks(socket: &UdpSocket, cookie: &[u8]) -> (String, Message) {
    let mut packet = Query::new("web.service.local", "A").packet(7);
    if !cookie.is_empty() {
        let length = u8::try_from(cookie.len()).unwrap();
        let end = packet.len() - 1;
        packet[end] = length + 4;
        packet.extend([&[0, 10, 0, length], cookie].concat());
    }
    socket.send(&packet).unwrap();
    let mut reply = [0; 1_232];
    let length = socket.recv(&mut reply).unwrap();
    let message = Message::parse(&reply[..length]);
    let told = match (&message.answers[..], message.truncated(), message.rcode.as_str()) {
        ([_], false, "NOERROR") => message.only().to_owned(),
        ([], true, "NOERROR") => "TC".to_owned(),
        ([], false, rcode) => rcode.to_owned(),
        other => panic!("{other:?}"),
    };
    (told, message)
}

/// Sends 100 queries one after the other; how many were answered, and the most that a limit of five
/// a second could grant meanwhile.
fn flood(socket: &UdpSocket, cookie: &[u8]) -> (usize, usize) {
    let start = now();
    let answered = (0..100).filter(|_| asks(socket, cookie).0 == "10.0.0.1").count();
    (answered, most_since(start))
}

/// The most that a limit of five a second can have granted.
fn most_since(start: Instant) -> usize {
    5 + 1 + usize::try_from(start.elapsed().as_millis() / 200).unwrap()
}

fn limited(server: &Server, limit: &str, action: &str) -> f64 {
    let labels = format!("limit=\"{limit}\",action=\"{action}\"");
    server.http.metric("signpost_dns_rate_limited_total", &labels).unwrap()
}

#[test]
fn a_flood_is_told_to_use_tcp_and_nobody_else_is() {
    if !in_own_network("a_flood_is_told_to_use_tcp_and_nobody_else_is") {
        return;
    }
    let config = "per_address = 5\nslip = 1\nexempt = [\"198.51.100.4/32\"]";
    let loopback = "--dns=127.0.0.1:5300";
    let server = Server::builder(&format!("[rate_limit]\n{config}\n{WEB}"));
    let server = server.dns("198.51.100.1:5300").argument(loopback).start();
    let from = |address| client(server.dns.address, address);

    let flooding = from("198.51.100.2");
    let (answered, most) = flood(&flooding, b"");

    assert!((5..=most).contains(&answered), "{answered}, at most {most}");
    assert_eq!(limited(&server, "address", "slipped"), (100 - answered) as f64);
    assert_eq!(asks(&from("198.51.100.3"), b"").0, "10.0.0.1");
    assert_eq!(flood(&from("198.51.100.4"), b"").0, 100);
    let loopback = client(([127, 0, 0, 1], 5300).into(), "127.0.0.1");
    assert_eq!(flood(&loopback, b"").0, 100);
    let query = Query::new("web.service.local", "A");
    (0..20).for_each(|_| assert_eq!(server.dns.tcp(&query).only(), "10.0.0.1"));
    assert_eq!(limited(&server, "address", "dropped"), 0.0);

    // An honest client that shares the address gets through, if not at the first try.
    let dig = dig(server.dns.address, "-b 198.51.100.2 +nocookie +short web.service.local");
    assert_eq!(dig, ["10.0.0.1"]);

    server.write_config(&format!("[rate_limit]\nper_address = 0\n{WEB}"));
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(flood(&flooding, b"").0, 100);
}

#[test]
fn a_cookie_lifts_the_limit() {
    if !in_own_network("a_cookie_lifts_the_limit") {
        return;
    }
    let server = public("per_address = 5\nslip = 1\n");
    let address = client(server.dns.address, "198.51.100.2");
    let (answered, most) = flood(&address, b"a client");
    assert!((5..=most).contains(&answered), "{answered}, at most {most}");

    let told = support::eventually(SOON, "the limit is reached", || {
        Some(asks(&address, b"a client")).filter(|(told, _)| told == "BADCOOKIE")
    });
    let cookie = told.1.option(10).unwrap().to_vec();

    assert_eq!((cookie.len(), &cookie[..8]), (24, &b"a client"[..]));
    assert_eq!(flood(&address, &cookie).0, 100);
    // Another's cookie is none.
    let stranger = client(server.dns.address, "198.51.100.3");
    let (answered, most) = flood(&stranger, &cookie);
    assert!((5..=most).contains(&answered), "{answered}, at most {most}");
    let dig = dig(server.dns.address, "-b 198.51.100.3 +cookie +short web.service.local");
    assert_eq!(dig, ["10.0.0.1"]);
}

#[test]
fn addresses_of_a_network_share_its_limit() {
    if !in_own_network("addresses_of_a_network_share_its_limit") {
        return;
    }
    let server = public("per_prefix = 5\nslip = 1\n");
    let start = now();

    let mut answered = 0;
    for i in 0..40 {
        let address = format!("198.51.100.{}", 2 + i % 8);
        answered += usize::from(asks(&client(server.dns.address, &address), b"").0 == "10.0.0.1");
    }

    let most = most_since(start);
    assert!((5..=most).contains(&answered), "{answered}, at most {most}");
    assert_eq!(limited(&server, "prefix", "slipped"), (40 - answered) as f64);
    assert_eq!(asks(&client(server.dns.address, "203.0.113.1"), b"").0, "10.0.0.1");
}

#[test]
fn without_slip_what_is_over_the_limit_is_dropped() {
    if !in_own_network("without_slip_what_is_over_the_limit_is_dropped") {
        return;
    }
    let server = public("per_address = 5\nslip = 0\n");
    let address = client(server.dns.address, "198.51.100.2");
    for id in 0..30 {
        address.send(&Query::new("web.service.local", "A").packet(id)).unwrap();
    }

    // Each is answered or dropped, and dropped ones are counted.
    address.set_nonblocking(true).unwrap();
    let mut answered = 0;
    support::eventually(SOON, "all are accounted for", || {
        let mut reply = [0; 1_232];
        while let Ok(length) = address.recv(&mut reply) {
            assert_eq!(Message::parse(&reply[..length]).only(), "10.0.0.1");
            answered += 1;
        }
        (f64::from(answered) + limited(&server, "address", "dropped") == 30.0).then_some(())
    });

    assert!((5..30).contains(&answered), "{answered}");
    assert_eq!(limited(&server, "address", "slipped"), 0.0);
}

/// What tells a test that it runs in a network of its own.
const INSIDE: &str = "SIGNPOST_TEST_IN_OWN_NETWORK";
