//! What hostile or broken clients do to a server by numbers, and that it serves all the same: over
//! UDP, over new TCP connections and over HTTP, meanwhile; and that nothing of it stays behind.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use support::dns::{Dns, Query, receive, send};
use support::http2;
use support::server::Server;
use support::{SOON, at, eventually, now};

const WEB: &str =
    "[[services.web.instances]]\nid = \"web-1\"\naddresses = [\"10.0.0.1\"]\nport = 80\n";

/// A server that is looked at from outside.
struct Patient {
    server: Server,
    descriptors: usize,
}

impl Patient {
    fn start(config: &str) -> Self {
        Self::of(Server::start(&format!("{config}\n{WEB}")))
    }

    fn of(server: Server) -> Self {
        let mut patient = Self { server, descriptors: 0 };
        patient.assert_serves("at the start");
        patient.descriptors = patient.descriptors();
        patient
    }

    /// Asserts that it answers who comes now.
    fn assert_serves(&self, when: &str) {
        let query = Query::new("web.service.local", "A");
        assert_eq!(self.server.dns.query(&query).only(), "10.0.0.1", "{when}");
        assert_eq!(self.server.dns.tcp(&query).only(), "10.0.0.1", "{when}");
        assert_eq!(self.server.http.apart().get("/v1/services/web").status, 200, "{when}");
    }

    /// Asserts that it serves, and that it soon neither works nor holds on to anything.
    fn assert_recovers(&self) {
        self.assert_idle();
        eventually(SOON, "its descriptors are closed", || {
            // The client of the side-port keeps one or two.
            (self.descriptors() <= self.descriptors + 2).then_some(())
        });
        self.assert_serves("afterwards");
        assert_eq!(self.server.http.metric("signpost_panics_total", ""), Some(0.0));
    }

    fn assert_idle(&self) {
        eventually(SOON, "an idle server does not work", || {
            let before = self.processor_time();
            at(now() + Duration::from_secs(1));
            // Hundredths of a second, of which there were a hundred.
            (self.processor_time() - before < 20).then_some(())
        });
    }

    /// Lets it open no more than this many files from now on.
    fn grant(&self, descriptors: usize) {
        let pid = self.server.pid().to_string();
        let limit = format!("--nofile={descriptors}:");
        let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(status.expect("prlimit (Debian: util-linux) can be started").success());
    }

    fn count(&self, metric: &str) -> f64 {
        self.server.http.apart().metric(metric, "").unwrap()
    }

    /// User and system, in hundredths of a second.
    fn processor_time(&self) -> u64 {
        let stat = self.file("stat");
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.server.pid())).unwrap().count()
    }

    /// Resident memory, in KiB.
    fn memory(&self) -> u64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.server.pid())).unwrap()
    }
}

/// A connection from the client `number`: each has an address of its own.
fn connect(number: usize, to: SocketAddr) -> TcpStream {
    let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
    let source = SocketAddr::from((Ipv4Addr::new(127, 32, high, low), 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// 300 connections from 30 clients, each of which has sent `bytes`.
fn crowd(to: SocketAddr, bytes: &[u8]) -> Vec<TcpStream> {
    let connections = (0..300).map(|i| {
        let mut stream = connect(i / 10, to);
        // One that is closed already makes its point too.
        drop(stream.write_all(bytes));
        stream
    });
    connections.collect()
}

#[test]
fn three_hundred_idle_connections() {
    let patient = Patient::start("");

    let idle = crowd(patient.server.dns.address, b"");
    patient.assert_serves("beside idle connections");
    drop(idle);

    patient.assert_recovers();
    assert_eq!(patient.count("signpost_dns_tcp_evicted_total"), 0.0, "there was room for all");
}

#[test]
fn more_connections_than_file_descriptors() {
    let server = Server::builder(WEB).under(&["sh", "-c", "ulimit -n 80 && exec \"$0\" \"$@\""]);
    let patient = Patient::of(server.start());
    assert!(patient.server.log().contains("few file descriptors"), "{}", patient.server.log());

    let dns = crowd(patient.server.dns.address, b"");
    patient.assert_serves("beside 300 connections to DNS");
    let http = crowd(patient.server.http.address, b"GET /v1/services HTTP/1.1\r\nHost:");
    patient.assert_serves("beside 300 more to HTTP");
    let busy = crowd(patient.server.dns.address, &[1, 0, 7]);
    patient.assert_serves("beside 300 half messages");
    assert!(patient.descriptors() < 80);
    // One line for each listener at most, however often it is out of descriptors.
    let told = patient.server.log().matches("cannot accept connections").count();
    assert!(told <= 2, "{}", patient.server.log());
    let registered = serde_json::json!({ "addresses": ["10.0.0.3"] });
    patient.server.http.apart().register("api", "a", &registered);
    drop((dns, http, busy));

    patient.assert_recovers();
    assert!(patient.count("signpost_dns_tcp_evicted_total") >= 300.0);
    assert!(patient.count("signpost_http_evicted_connections_total") >= 200.0);
}

#[test]
fn no_file_descriptor_left_for_a_while() {
    let patient = Patient::start("");
    let query = Query::new("web.service.local", "A");
    let granted = 1_000;

    patient.grant(patient.descriptors());
    // The system takes these, and the server cannot.
    let mut waiting: Vec<_> = (0..50).map(|i| connect(i, patient.server.dns.address)).collect();
    for stream in &mut waiting {
        send(stream, &query.packet(1));
    }
    patient.assert_idle();
    assert_eq!(patient.server.dns.query(&query).only(), "10.0.0.1");
    patient.grant(granted);

    for stream in &mut waiting {
        assert!(receive(stream).is_some(), "it has only waited");
    }
    drop(waiting);
    patient.assert_recovers();
    assert!(patient.count("signpost_dns_tcp_accept_errors_total") > 0.0);
}

#[test]
fn connections_that_are_reset_before_they_are_accepted() {
    let patient = Patient::start("");

    for round in 0..10 {
        for i in 0..200 {
            let to = [patient.server.dns.address, patient.server.http.address][i % 2];
            let socket = Socket::from(connect(i, to));
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }
        patient.assert_serves(&format!("after {round} rounds of resets"));
    }

    patient.assert_recovers();
}

#[test]
fn half_messages_of_many_clients() {
    let patient = Patient::start("[limits]\nconnections = 100");
    let http = b"PUT /v1/services/a/instances/a HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{";

    let dns = crowd(patient.server.dns.address, &[1, 0, 7]);
    let bodies = crowd(patient.server.http.address, http);
    patient.assert_serves("beside half messages");
    // One that has just come is not the first to go, however many half messages come after it.
    let mut honest = patient.server.dns.connect();
    let more: Vec<_> = (0..60).map(|i| connect(i, patient.server.dns.address)).collect();
    let packet = Query::new("web.service.local", "A").packet(1);
    send(&mut honest, &packet);
    assert!(receive(&mut honest).is_some());
    drop((dns, bodies, more));

    patient.assert_recovers();
    assert!(patient.count("signpost_dns_tcp_evicted_total") >= 200.0);
}

#[test]
fn clients_without_room_for_a_reply_keep_nobody_out() {
    let patient = Patient::start("limits.connections = 100");
    let mut bytes = http2::opening(0);
    bytes.extend(http2::get(1, "http", "/v1/services/web"));

    let takers_of_nothing = crowd(patient.server.http.address, &bytes);

    patient.assert_serves("beside untaken replies");
    drop(takers_of_nothing);
    patient.assert_recovers();
}

#[test]
fn one_client_takes_the_places_of_no_other() {
    let patient = Patient::start("[limits]\nconnections = 100\nconnections_per_client = 20");
    let packet = Query::new("web.service.local", "A").packet(1);
    let mut others: Vec<TcpStream> =
        (1..=50).map(|i| connect(i, patient.server.dns.address)).collect();

    let greedy: Vec<_> = (0..300).map(|_| connect(0, patient.server.dns.address)).collect();

    for other in &mut others {
        send(other, &packet);
        assert!(receive(other).is_some(), "it still has its place");
    }
    drop((greedy, others));
    patient.assert_recovers();
}

#[test]
fn a_flood_of_names_that_do_not_exist() {
    let patient = Patient::start("");
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));

    std::thread::scope(|scope| {
        for flooder in 0..2 {
            let (over, asked, dns) = (&over, &asked, patient.server.dns);
            scope.spawn(move || flood(dns, flooder, over, asked));
        }
        let wait_for = |names: usize| {
            eventually(SOON * 3, "names were asked for", || {
                patient.assert_serves("during the flood");
                (asked.load(Ordering::Relaxed) > names).then_some(())
            });
        };
        let measured = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(20_000);
            let before = patient.memory();
            wait_for(120_000);
            (before, patient.memory())
        }));
        over.store(true, Ordering::Relaxed);
        let (before, after) = measured.unwrap();
        // A hundred thousand names of 40 bytes, were they kept, would be 4 MiB at the very least.
        assert!(after < before + 3 * 1024, "{before} KiB were resident, then {after} KiB");
    });

    patient.assert_recovers();
}

/// Asks for names that nobody has asked for before, as fast as the server can take it.
fn flood(dns: Dns, flooder: usize, over: &AtomicBool, asked: &AtomicUsize) {
    let socket = dns.socket();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut reply = [0; 1_500];
    let mut numbers = 0..;
    while !over.load(Ordering::Relaxed) {
        // Fewer than overflow a queue: then nobody could be served.
        for number in numbers.by_ref().take(300) {
            let name = format!("{number}-of-{flooder}-who-does-not-exist.service.local");
            socket.send(&Query::new(&name, "A").packet(7)).unwrap();
        }
        for _ in 0..300 {
            if socket.recv(&mut reply).is_err() {
                break;
            }
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }
}
