//! How long a DNS query takes while the registry changes, beside how long it takes at rest.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::load::now;
use crate::server::Server;

/// Asks for one name after the other, at a pace, on a thread of its own.
pub(crate) struct Prober {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

/// How long queries took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Prober {
    /// Begins to ask `server` for the services `s0` to `s999`.
    pub(crate) fn start(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (address, stopped) = (server.dns, Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.connect(address).expect("connected");
            let mut reply = [0; 4_096];
            let mut took = Vec::new();
            for turn in 0_u16.. {
                if stopped.load(Relaxed) {
                    break;
                }
                let start = now();
                socket.send(&question(turn, &format!("s{}", turn % 1_000))).expect("sent");
                let length = socket.recv(&mut reply).expect("a reply");
                took.push(start.elapsed());
                let answers = u16::from_be_bytes([reply[6], reply[7]]);
                assert!(length > 12 && answers > 0, "{:?}", &reply[..length]);
                #[expect(clippy::disallowed_methods, reason = "the pace of the questions")]
                std::thread::sleep(PACE);
            }
            took
        });
        Self { stop, thread }
    }

    /// Ends and tells.
    pub(crate) fn stop(self) -> Latency {
        self.stop.store(true, Relaxed);
        let mut took = self.thread.join().expect("it asked");
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        Latency { p50: at(50), p99: at(99), max: at(100) }
    }
}

/// A question for the addresses of `service`.
fn question(id: u16, service: &str) -> Vec<u8> {
    let mut packet = Vec::from(id.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in [service, "service", "local"] {
        packet.push(u8::try_from(label.len()).expect("a label"));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// Between an answer and the next question.
const PACE: Duration = Duration::from_micros(500);
