//! Shares by SRV as HAProxy reads it: the weights that it computes, and where it sends requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::srv::{SRV_NAME, wait_for_weights};
use crate::stand::{LOOKUPS, Stand, VIAS, Via, WEIGHTS, assert_shares};
use crate::support::server::{Guarded, Server, free_instances};
use crate::support::{SOON, eventually, needs};

/// HAProxy with a backend for each [`Via`]. It is the instances too, which say their address.
struct Haproxy {
    folder: TempDir,
    instances: Vec<SocketAddr>,
    _child: Guarded,
}

impl Haproxy {
    fn start(stand: &Stand, instances: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binds: Vec<String> = instances.iter().map(ToString::to_string).collect();
        let mut config = format!(
            "global\n    stats socket unix@haproxy.sock level admin\n\
             defaults\n    mode http\n    timeout connect 10s\n    timeout client 60s\n    \
             timeout server 60s\n\
             frontend clients\n    bind unix@clients.sock\n    use_backend %[req.hdr(host)]\n\
             frontend instances\n    bind {}\n    \
             http-request return status 200 content-type text/plain lf-string %[dst]\n",
            binds.join(",")
        );
        for (via, nameserver) in VIAS.into_iter().zip([
            format!("tcp@{}", stand.server.dns.address),
            stand.unbound.dns.address.to_string(),
        ]) {
            config += &format!(
                "resolvers {via:?}\n    nameserver ns1 {nameserver}\n    \
                 accepted_payload_size 65535\n    hold valid 1s\n    hold obsolete 10s\n\
                 backend {via:?}\n    balance roundrobin\n    server-template web 6 {SRV_NAME} \
                 resolvers {via:?} resolve-prefer ipv4 init-addr none\n"
            );
        }
        std::fs::write(folder.path().join("haproxy.cfg"), config).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-f", "haproxy.cfg"])
            .env("PATH", "/usr/sbin:/usr/bin:/bin")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { folder, instances: instances.to_vec(), _child: Guarded(child) }
    }

    /// The weight that it has computed for each instance, once it has found all of them.
    fn weights(&self, via: Via) -> [usize; 6] {
        eventually(SOON, "HAProxy has found six servers", || {
            let mut socket = UnixStream::connect(self.path("haproxy.sock")).ok()?;
            writeln!(socket, "show servers state {via:?}").ok()?;
            let mut said = String::new();
            socket.read_to_string(&mut said).ok()?;
            let mut weights = [0; 6];
            // Fields 5 and 8: the address, the weight for users.
            for line in said.lines() {
                let fields: Vec<&str> = line.split(' ').collect();
                let Some(address) = fields.get(4) else { continue };
                let found = self.instances.iter().position(|i| i.ip().to_string() == *address);
                if let Some(instance) = found {
                    weights[instance] = fields[7].parse().unwrap();
                }
            }
            weights.iter().all(|weight| *weight > 0).then_some(weights)
        })
    }

    /// Where it sends [`LOOKUPS`] requests, while unbound looks up again and again.
    fn requests(&self, stand: &Stand, via: Via) -> [usize; 6] {
        const AT_ONCE: usize = 100;
        let client = UnixStream::connect(self.path("clients.sock")).unwrap();
        let mut replies = BufReader::new(client.try_clone().unwrap());
        let request = format!("GET / HTTP/1.1\r\nhost: {via:?}\r\n\r\n").repeat(AT_ONCE);
        let mut seen = [0; 6];
        for _ in 0..LOOKUPS / AT_ONCE {
            stand.unbound.let_expire(SRV_NAME, "SRV");
            (&client).write_all(request.as_bytes()).unwrap();
            for _ in 0..AT_ONCE {
                let address = body(&mut replies);
                let found = self.instances.iter().position(|i| i.ip().to_string() == address);
                seen[found.unwrap_or_else(|| panic!("reached {address}"))] += 1;
            }
        }
        seen
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

/// Reads a reply; its body.
fn body(replies: &mut impl BufRead) -> String {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        replies.read_line(&mut line).unwrap();
        let header = line.trim_end().to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if header.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    replies.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

/// A server with instances that can be reached: i-0, i-1, ... of these weights.
fn reachable(settings: &Value, weights: [u32; 6]) -> Option<(Stand, Vec<SocketAddr>)> {
    if !needs::works(needs::HAPROXY) {
        return None;
    }
    let (server, instances) = (Server::start(""), free_instances(6));
    server.http.set("web", settings);
    for (i, (address, weight)) in instances.iter().zip(weights).enumerate() {
        let body = json!({
            "addresses": [address.ip()], "port": address.port(), "weight": weight, "ttl": null,
        });
        server.http.register("web", &format!("i-{i}"), &body);
    }
    Some((Stand::before(server, false)?, instances))
}

fn shares_hold(stand: &Stand, instances: &[SocketAddr], balance: &Value, weights: [u32; 6]) {
    let haproxy = Haproxy::start(stand, instances);
    for via in VIAS {
        assert_shares(&format!("{balance} {via:?} weights"), haproxy.weights(via), weights);
        assert_shares(
            &format!("{balance} {via:?} requests"),
            haproxy.requests(stand, via),
            weights,
        );
    }
}

fn static_shares_hold(balance: &str, weights: [u32; 6]) {
    let settings = json!({ "balance": balance });
    if let Some((stand, instances)) = reachable(&settings, weights) {
        shares_hold(&stand, &instances, &settings["balance"], weights);
    }
}

#[test]
fn of_round_robin() {
    static_shares_hold("round_robin", [1; 6]);
}

#[test]
fn of_random() {
    static_shares_hold("random", WEIGHTS);
}

#[test]
fn of_weighted_round_robin() {
    static_shares_hold("weighted_round_robin", WEIGHTS);
}

/// It looks at no priorities, which are the ranks: what remains of consistent hashing are weights.
#[test]
fn of_consistent_hash() {
    static_shares_hold("consistent_hash", WEIGHTS);
}

#[test]
fn of_least_connections() {
    let settings = json!({ "balance": "least_connections" });
    let Some((stand, instances)) = reachable(&settings, [1; 6]) else { return };
    stand.report_loads();
    wait_for_weights(&stand);

    shares_hold(&stand, &instances, &settings["balance"], WEIGHTS);
}
