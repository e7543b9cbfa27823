//! Restarts while somebody else keeps the sockets, as systemd does: no query is lost.
//!
//! The test is the keeper. It hands sockets over as stdin, stdout and stderr of a shell, which puts
//! them where a server looks for them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use support::dns::{Dns, Query};
use support::http::Http;
use support::server::{MOMENT, free_addresses};
use support::{SOON, at, eventually, needs, now};

const CONFIG: &str = "[[services.web.instances]]\nid = \"a\"\naddresses = [\"10.0.0.1\"]\n";

/// Puts the sockets at the numbers that the protocol wants, and its own output elsewhere.
const HAND_OVER: &str = "exec 3<&0 4<&1 5<&2 0</dev/null >>stdout 2>>stderr; \
    export LISTEN_PID=$$ LISTEN_FDS LISTEN_FDNAMES; exec \"$@\"";

/// Who keeps sockets, and the server that has them now.
struct Keeper {
    dns: Dns,
    http: Http,
    folder: TempDir,
    sockets: Vec<OwnedFd>,
    server: Option<Child>,
}

impl Keeper {
    /// `sockets` makes those that are kept, at most three, of the addresses for DNS and HTTP.
    fn new(sockets: impl FnOnce(SocketAddr, SocketAddr) -> Vec<OwnedFd>) -> Self {
        let (dns, http) = free_addresses();
        let folder = tempfile::tempdir().unwrap();
        let listen = format!("[dns]\nlisten = [\"{dns}\"]\n[http]\nlisten = [\"{http}\"]\n");
        std::fs::write(folder.path().join("registry.toml"), format!("{listen}{CONFIG}")).unwrap();
        let (sockets, server) = (sockets(dns, http), None);
        Self { dns: Dns { address: dns }, http: Http::new(http), folder, sockets, server }
    }

    fn spawn(&mut self) -> &mut Child {
        let mut handed = self.sockets.iter().map(|socket| socket.try_clone().unwrap());
        let mut next = || handed.next().map_or_else(Stdio::null, Stdio::from);
        let mut command = Command::new("sh");
        command.args(["-c", HAND_OVER, "sh", env!("CARGO_BIN_EXE_signpost"), "serve"]);
        command.current_dir(self.folder.path()).env_remove("RUST_LOG");
        command.env("LISTEN_FDS", self.sockets.len().to_string()).env("LISTEN_FDNAMES", "a:b:c");
        command.stdin(next()).stdout(next()).stderr(next());
        self.server.insert(command.spawn().unwrap())
    }

    fn start(&mut self) {
        self.spawn();
        eventually(SOON, "the server is ready", || {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert_eq!(ended, None, "{}", self.log());
            self.http.try_get("/readyz").filter(|reply| reply.status == 200)
        });
    }

    fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
        let ended = eventually(SOON, "the server has ended", || server.try_wait().unwrap());
        assert_eq!(ended.code(), Some(0), "{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

/// One of several for the same address, with as much room as this test may ask for.
fn datagrams(address: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    // Only root may have more than everybody; `rate` asks how much it became.
    let _ = setsockopt(&socket, RcvBufForce, &(8 << 20));
    socket.into()
}

/// How many queries a second fit into `socket` for as long as a restart of a debug build may take.
fn rate(socket: &UdpSocket) -> u32 {
    let room = socket2::SockRef::from(socket).recv_buffer_size().unwrap();
    if room > 4 << 20 { 2_000 } else { 50 }
}

#[test]
fn a_restart_loses_no_query_and_answers_none_twice() {
    let mut pace = 0;
    let mut keeper = Keeper::new(|dns, _| {
        let udp = [datagrams(dns), datagrams(dns)];
        pace = rate(&udp[0]);
        udp.map(OwnedFd::from).into_iter().chain([TcpListener::bind(dns).unwrap().into()]).collect()
    });
    keeper.start();
    let clients: Vec<UdpSocket> = (0..8)
        .map(|_| {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(keeper.dns.address).unwrap();
            client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            client
        })
        .collect();
    let replies: Vec<AtomicU8> = (0..=u16::MAX).map(|_| AtomicU8::new(0)).collect();
    let (asking, listening) = (AtomicBool::new(true), AtomicBool::new(true));
    let mut sent = 0;

    thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| {
                let mut buffer = [0; 512];
                while listening.load(Ordering::Relaxed) {
                    match client.recv(&mut buffer) {
                        Ok(length) => {
                            let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                            // One answer, which ends in its address.
                            assert_eq!(buffer[6..8], [0, 1], "{id}");
                            assert_eq!(buffer[length - 4..length], [10, 0, 0, 1], "{id}");
                            replies[usize::from(id)].fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
                    }
                }
            });
        }
        let query = Query::new("web.service.local", "A").payload(None);
        let (asking, clients) = (&asking, &clients);
        let sender = scope.spawn(move || {
            let start = now();
            for id in 0..u16::MAX {
                if !asking.load(Ordering::Relaxed) {
                    return id;
                }
                at(start + Duration::from_secs(1) * u32::from(id) / pace);
                clients[usize::from(id % 8)].send(&query.packet(id)).unwrap();
            }
            u16::MAX
        });
        let round = || {
            at(now() + MOMENT);
            keeper.stop();
            at(now() + MOMENT);
            keeper.start();
        };
        let restarted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            std::iter::repeat_with(round).take(3).for_each(drop);
        }));
        asking.store(false, Ordering::Relaxed);
        sent = usize::from(sender.join().unwrap());
        let all = || replies[..sent].iter().all(|count| count.load(Ordering::Relaxed) > 0);
        let start = now();
        while restarted.is_ok() && !all() && start.elapsed() < SOON {
            at(now() + Duration::from_millis(10));
        }
        // A second reply would come now.
        at(now() + MOMENT);
        listening.store(false, Ordering::Relaxed);
        restarted.unwrap();
    });

    let counts: Vec<u8> =
        replies[..sent].iter().map(|count| count.load(Ordering::Relaxed)).collect();
    let wrong = counts.iter().filter(|&&count| count != 1).count();
    assert_eq!(wrong, 0, "of {sent} queries; the first: {:?}", counts.iter().position(|&c| c != 1));
    assert!(sent > 100, "{sent}");
    needs::note(&format!("{sent} queries at {pace}/s over three restarts, each with one reply"));
}

#[test]
fn connections_that_wait_meanwhile_are_served_by_the_next_process() {
    let mut keeper = Keeper::new(|dns, http| {
        let one = [datagrams(dns)].map(OwnedFd::from).into_iter();
        one.chain([dns, http].map(|address| TcpListener::bind(address).unwrap().into())).collect()
    });
    keeper.start();
    keeper.stop();
    let packet = Query::new("web.service.local", "A").packet(7);
    let framed = [&u16::try_from(packet.len()).unwrap().to_be_bytes()[..], &packet].concat();

    let mut waiting: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(keeper.dns.address).unwrap()).collect();
    for connection in &mut waiting {
        connection.write_all(&framed).unwrap();
    }
    let mut call = TcpStream::connect(keeper.http.address).unwrap();
    write!(
        call,
        "GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        keeper.http.address
    )
    .unwrap();
    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagram.send_to(&packet, keeper.dns.address).unwrap();
    keeper.start();

    for mut connection in waiting {
        connection.set_read_timeout(Some(SOON)).unwrap();
        let mut reply = [0; 6];
        connection.read_exact(&mut reply).unwrap();
        assert_eq!((reply[2..4] == packet[..2], reply[5] & 15), (true, 0));
    }
    let mut reply = String::new();
    call.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    datagram.set_read_timeout(Some(SOON)).unwrap();
    assert!(datagram.recv(&mut [0; 512]).unwrap() > packet.len());
    // One socket for several threads answers as well as one for each.
    assert_eq!(keeper.dns.ask("web.service.local", "A").only(), "10.0.0.1");
}

#[test]
fn a_socket_that_no_address_of_the_configuration_wants_is_refused_by_name() {
    let foreign = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap();
    let mut keeper = Keeper::new(|dns, _| vec![datagrams(dns).into(), foreign.into()]);

    keeper.spawn();
    let server = keeper.server.as_mut().unwrap();
    let ended = eventually(SOON, "the server has ended", || server.try_wait().unwrap());

    let log = keeper.log();
    assert_eq!(ended.code(), Some(1), "{log}");
    let named = format!("handed over as \"b\" (descriptor 4), UDP {address}, is for no address");
    assert!(log.contains(&named), "{log}");
}

#[test]
fn the_query_that_makes_systemd_start_the_server_is_answered() {
    if !needs::works(&["systemd-socket-activate", "--version"]) {
        return;
    }
    let mut keeper = Keeper::new(|_, _| Vec::new());
    let address = keeper.dns.address.to_string();
    let log = std::fs::File::create(keeper.folder.path().join("stderr")).unwrap();
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--datagram", "--listen", &address, env!("CARGO_BIN_EXE_signpost"), "serve"]);
    command.current_dir(keeper.folder.path()).stdout(Stdio::null()).stderr(log);
    keeper.server = Some(command.spawn().unwrap());
    eventually(SOON, "systemd listens", || keeper.log().contains("Listening on").then_some(()));

    assert_eq!(keeper.dns.ask("web.service.local", "A").only(), "10.0.0.1");
    keeper.stop();
}
