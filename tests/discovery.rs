//! Clients of other people's making: HAProxy, the resolver of glibc, dnspython.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use support::needs;
use support::server::{Guarded, Server, free_addresses};
use support::{SOON, eventually};

/// A HAProxy that finds the servers of a backend by SRV.
struct Haproxy {
    _process: Guarded,
    socket: PathBuf,
    log: PathBuf,
}

impl Haproxy {
    fn start(folder: &Path, nameserver: &str, slots: usize) -> Self {
        let (socket, log) = (folder.join("haproxy.sock"), folder.join("haproxy.log"));
        let config = format!(
            "global\n  stats socket {} level admin\n\
             defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n\
             resolvers signpost\n  nameserver one {nameserver}\n  accepted_payload_size 8192\n  \
             timeout resolve 200ms\n  timeout retry 200ms\n  hold valid 200ms\n\
             backend web\n  server-template web {slots} _http._tcp.web.service.local \
             resolvers signpost resolve-prefer ipv4 init-addr none\n",
            socket.display()
        );
        let file = folder.join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let process = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .expect("haproxy can be started");
        Self { _process: Guarded(process), socket, log }
    }

    /// Address and port, with the weight, of each server that is in service.
    fn servers(&self) -> Option<BTreeMap<String, u32>> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.write_all(b"show servers state web\n").ok()?;
        let mut state = String::new();
        stream.read_to_string(&mut state).ok()?;
        let mut lines = state.lines().skip(1);
        let names: Vec<&str> = lines.next()?.trim_start_matches("# ").split(' ').collect();
        let column = |name: &str| names.iter().position(|own| *own == name).unwrap();
        let [address, port, weight, admin] =
            ["srv_addr", "srv_port", "srv_uweight", "srv_admin_state"].map(column);
        let servers = lines.filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            // 0x20: in maintenance, since its name has no address.
            let resolved = fields.get(admin)?.parse::<u32>().unwrap() & 0x20 == 0;
            let name = format!("{}:{}", fields[address], fields[port]);
            resolved.then(|| (name, fields[weight].parse().unwrap()))
        });
        Some(servers.collect())
    }

    /// Waits until these are in service, and no other.
    fn becomes(&self, expected: &[(&str, u32)]) {
        let expected: BTreeMap<String, u32> =
            expected.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        let what = format!("HAProxy has {expected:?}");
        eventually(SOON, &what, || (self.servers()? == expected).then_some(()));
    }
}

impl Drop for Haproxy {
    #[expect(clippy::print_stderr, reason = "seen when the test has failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- HAProxy had {:?} ---\n{log}---", self.servers());
        }
    }
}

fn instance(address: &str, port: u16, weight: u32) -> Value {
    json!({
        "addresses": [address], "ports": [{ "name": "http", "port": port }], "weight": weight,
        "ttl": null,
    })
}

#[test]
fn haproxy_follows_a_service_by_srv() {
    if !needs::works(needs::HAPROXY) {
        return;
    }
    let server = Server::start("[services.web]\nbalance = \"weighted_round_robin\"\nttl = \"1s\"");
    let register = |id: &str, body: &Value| server.http.register("web", id, body);
    register("a", &instance("10.0.0.1", 8081, 1));
    register("b", &instance("10.0.0.2", 8082, 1));
    let haproxy = Haproxy::start(server.folder(), &server.dns.address.to_string(), 10);

    // 256 and (65535 + 255) / 256; weights that are equal are 1.
    haproxy.becomes(&[("10.0.0.1:8081", 1), ("10.0.0.2:8082", 1)]);

    register("c", &instance("10.0.0.3", 8083, 1));
    haproxy.becomes(&[("10.0.0.1:8081", 1), ("10.0.0.2:8082", 1), ("10.0.0.3:8083", 1)]);

    server.http.patch("/v1/services/web/instances/c", &json!({ "weight": 4 }));
    haproxy.becomes(&[("10.0.0.1:8081", 64), ("10.0.0.2:8082", 64), ("10.0.0.3:8083", 256)]);

    server.http.post("/v1/services/web/instances/a/drain", None);
    haproxy.becomes(&[("10.0.0.2:8082", 64), ("10.0.0.3:8083", 256)]);

    assert_eq!(server.http.delete("/v1/services/web/instances/c").status, 204);
    haproxy.becomes(&[("10.0.0.2:8082", 1)]);

    server.http.delete("/v1/services/web/instances/a/drain");
    haproxy.becomes(&[("10.0.0.1:8081", 1), ("10.0.0.2:8082", 1)]);
}

#[test]
fn haproxy_takes_sixty_servers_over_tcp() {
    if !needs::works(needs::HAPROXY) {
        return;
    }
    let server = Server::start("");
    let item = |i: u32| {
        let mut item = instance(&format!("10.0.0.{i}"), 8080, 1);
        item["service"] = json!("web");
        item["id"] = json!(format!("i-{i}"));
        item
    };
    server.http.batch(&(1..=60).map(item).collect::<Vec<_>>());

    let haproxy = Haproxy::start(server.folder(), &format!("tcp@{}", server.dns.address), 70);

    eventually(SOON, "HAProxy has all of them", || {
        haproxy.servers().filter(|servers| servers.len() == 60)
    });
}

/// Runs `getent` with its resolver asking `server`: exit code, and the addresses.
fn ahosts(server: &Server, namespace: &[&str], name: &str) -> (Option<i32>, BTreeSet<String>) {
    assert_eq!(server.dns.address.port(), 53, "resolv.conf has no ports");
    let file = server.folder().join("resolv.conf");
    let nameserver = server.dns.address.ip();
    fs::write(&file, format!("nameserver {nameserver}\noptions timeout:2 attempts:3\n")).unwrap();
    let output = Command::new(namespace[0])
        .args(&namespace[1..])
        .args(["sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""])
        .arg(&file)
        // -A: both families, whatever addresses this machine has.
        .args(["getent", "-A", "ahosts", name])
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let addresses = text.lines().map(|line| line.split(' ').next().unwrap().to_owned());
    (output.status.code(), addresses.collect())
}

#[test]
fn glibc_resolves_services() {
    if !needs::works(needs::GETENT) {
        return;
    }
    let Some(namespace) = needs::mounts() else { return };
    let address = SocketAddr::new(free_addresses().0.ip(), 53);
    if UdpSocket::bind(address).is_err() {
        return needs::skipped("port 53 is not for us");
    }
    let server = Server::builder("[services.empty]").dns(&address.to_string()).start();
    let item = |service: &str, i: u32| {
        json!({
            "service": service, "id": format!("i-{i}"), "ttl": null,
            "addresses": [format!("10.0.0.{i}"), format!("2001:db8::{i:x}")],
        })
    };
    let mut items: Vec<Value> = (1..=3).map(|i| item("web", i)).collect();
    items.extend((1..=100).map(|i| item("large", i)));
    server.http.batch(&items);
    server.http.set("large", &json!({ "answer": "all" }));
    let ahosts = |name: &str| ahosts(&server, namespace, name);

    let web = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "2001:db8::2", "2001:db8::3"];
    assert_eq!(ahosts("web.service.local"), (Some(0), web.map(str::to_owned).into()));
    assert_eq!(
        ahosts("i-2.web.service.local"),
        (Some(0), ["10.0.0.2".to_owned(), "2001:db8::2".to_owned()].into())
    );
    let (code, large) = ahosts("large.service.local");
    assert_eq!((code, large.len()), (Some(0), 200), "what UDP can't hold comes over TCP");
    for name in ["nobody.service.local", "empty.service.local"] {
        assert_eq!(ahosts(name), (Some(2), BTreeSet::new()), "{name}");
    }
}

const DNSPYTHON: &str = r#"
import json, sys
import dns.flags, dns.message, dns.query, dns.rcode, dns.rdatatype, dns.resolver

ip, port = sys.argv[1], int(sys.argv[2])

def lines(section):
    return sorted(f"{s.name} {s.ttl} {dns.rdatatype.to_text(s.rdtype)} {r}" for s in section for r in s)

def ask(name, rtype, how):
    query = dns.message.make_query(name, rtype, use_edns=0, payload=1232)
    if how == "fallback":
        reply, tcp = dns.query.udp_with_fallback(query, ip, port=port, timeout=10)
        return {"tcp": tcp, "answers": sum(len(s) for s in reply.answer)}
    reply = getattr(dns.query, how)(query, ip, port=port, timeout=10)
    return {
        "rcode": dns.rcode.to_text(reply.rcode()),
        "flags": dns.flags.to_text(reply.flags),
        "answers": lines(reply.answer),
        "additional": lines(reply.additional),
        "authority": len(reply.authority),
    }

resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = [ip], port
def resolve(name, rtype):
    try:
        return sorted(str(r) for r in resolver.resolve(name, rtype))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
        return type(error).__name__

out = [ask(*question) for question in json.loads(sys.argv[3])]
out += [resolve(*question) for question in json.loads(sys.argv[4])]
print(json.dumps(out))
"#;

/// Asks with dnspython, which takes nothing that is not well-formed.
fn dnspython(server: &Server, asked: &Value, resolved: &Value) -> Vec<Value> {
    let address = server.dns.address;
    // Debian's own: python3-dnspython is a package of it.
    let output = Command::new("/usr/bin/python3")
        .args(["-c", DNSPYTHON, &address.ip().to_string(), &address.port().to_string()])
        .args([asked.to_string(), resolved.to_string()])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "python3-dnspython: {error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn dnspython_reads_every_kind_of_reply() {
    if !needs::works(needs::DNSPYTHON) {
        return;
    }
    let server = Server::start("[services.empty]\n[services.web]\ntxt = \"all\"");
    for (id, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2")] {
        let mut body = instance(address, 8080, 1);
        body["metadata"] = json!({ "version": "1.4" });
        server.http.register("web", id, &body);
    }
    let web = "web.service.local";

    for how in ["udp", "tcp"] {
        let asked = json!([
            [web, "A", how],
            [web, "SRV", how],
            [web, "TXT", how],
            [web, "AAAA", how],
            ["nobody.service.local", "A", how],
            ["example.com", "A", how],
        ]);
        let resolved = json!([
            [web, "A"],
            ["_http._tcp.web.service.local", "SRV"],
            ["empty.service.local", "A"],
            ["nobody.service.local", "A"],
        ]);
        let said = |rcode: &str, flags: &str, answers: Value, additional: Value, authority: u8| {
            json!({
                "rcode": rcode, "flags": flags, "answers": answers, "additional": additional,
                "authority": authority,
            })
        };
        let (aa, none) = ("QR AA RD", json!([]));
        let expected = [
            said(
                "NOERROR",
                aa,
                json!([format!("{web}. 5 A 10.0.0.1"), format!("{web}. 5 A 10.0.0.2")]),
                none.clone(),
                0,
            ),
            said(
                "NOERROR",
                aa,
                json!([
                    format!("{web}. 5 SRV 0 256 8080 a.{web}."),
                    format!("{web}. 5 SRV 0 256 8080 b.{web}.")
                ]),
                json!([format!("a.{web}. 5 A 10.0.0.1"), format!("b.{web}. 5 A 10.0.0.2")]),
                0,
            ),
            said("NOERROR", aa, json!([format!("{web}. 5 TXT \"version=1.4\"")]), none.clone(), 0),
            said("NOERROR", aa, none.clone(), none.clone(), 1),
            said("NXDOMAIN", aa, none.clone(), none.clone(), 1),
            said("REFUSED", "QR RD", none.clone(), none, 0),
            json!(["10.0.0.1", "10.0.0.2"]),
            json!([format!("0 256 8080 a.{web}."), format!("0 256 8080 b.{web}.")]),
            json!("NoAnswer"),
            json!("NXDOMAIN"),
        ];
        assert_eq!(dnspython(&server, &asked, &resolved), expected, "{how}");
    }
}

#[test]
fn dnspython_falls_back_to_tcp_for_large_sets() {
    if !needs::works(needs::DNSPYTHON) {
        return;
    }
    let server = Server::start("[defaults]\nanswer = \"all\"");
    let item = |i: u32| {
        json!({
            "service": "web", "id": format!("i-{i}"), "ttl": null, "port": 80,
            "addresses": [format!("10.0.{}.{}", i / 250, i % 250), format!("2001:db8::{i:x}")],
        })
    };
    server.http.batch(&(0..400).map(item).collect::<Vec<_>>());
    let asked = ["A", "AAAA", "SRV"].map(|rtype| json!(["web.service.local", rtype, "fallback"]));

    let told = dnspython(&server, &json!(asked), &json!([]));

    assert_eq!(told, vec![json!({ "tcp": true, "answers": 400 }); 3]);
}
