//! How soon a registration is in DNS, and whether its reply ever comes before that.
//!
//! One thread registers an address and, when it has the reply, asks DNS at once: an answer without
//! the address is stale, and there must be none. Another one asks all the time and tells when it
//! first saw each address, counted from when its registration was sent.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::now;
use crate::data::{Data, Set};
use crate::writes::{Caller, Registry, body, put};

/// What came of so many registrations, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visible {
    pub(crate) registrations: usize,
    /// From sending the registration until it was seen elsewhere.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Answers after the registration's reply that were not of it.
    pub(crate) stale: usize,
}

/// Registers so often.
///
/// # Errors
/// When a server or a call fails.
pub(crate) fn measure(registrations: usize) -> io::Result<Visible> {
    let registry = Registry::start("embedded", "")?;
    let (stop, sent) = (AtomicBool::new(false), vec![None; registrations]);
    let (dns, http) = (registry.dns, registry.http);
    let watcher = Asker::new(dns)?;
    thread::scope(|scope| {
        let seen = scope.spawn(|| watcher.watch(registrations, &stop));
        let registered = register(dns, http, sent);
        stop.store(true, Ordering::Relaxed);
        let seen = seen.join().map_err(|_| io::Error::other("the watcher panicked"))?;
        let (sent, stale) = registered?;
        // One that was replaced before it was seen has no time; its successor has.
        let mut times: Vec<Duration> = sent
            .into_iter()
            .zip(seen)
            .filter_map(|(sent, seen)| Some(seen?.saturating_duration_since(sent?)))
            .collect();
        times.sort_unstable();
        let quantile = |part: usize| times.get(times.len() * part / 100).copied();
        let none = || io::Error::other("nothing was seen");
        let (p50, p99) = (quantile(50).ok_or_else(none)?, quantile(99).ok_or_else(none)?);
        Ok(Visible { registrations, p50, p99, stale })
    })
}

/// When each registration was sent, and how many answers after it were stale.
fn register(
    dns: SocketAddr,
    http: SocketAddr,
    mut sent: Vec<Option<Instant>>,
) -> io::Result<(Vec<Option<Instant>>, usize)> {
    let asker = Asker::new(dns)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut caller = runtime.block_on(Caller::http1(http))?;
    let mut stale = 0;
    for (turn, sent) in sent.iter_mut().enumerate() {
        let address = DATA.address(0, turn);
        let request = put(&Data::service('s', 0), "i0", body(address, 0));
        *sent = Some(now());
        runtime.block_on(caller.call(request))?;
        stale += usize::from(asker.ask()? != Some(turn));
    }
    Ok((sent, stale))
}

struct Asker {
    socket: UdpSocket,
    query: Vec<u8>,
}

impl Asker {
    fn new(dns: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(dns)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let query = DATA.questions(Set::All).packets.remove(0);
        Ok(Self { socket, query })
    }

    /// Which registration is answered with, if any: its number is in the address, which ends the
    /// reply.
    fn ask(&self) -> io::Result<Option<usize>> {
        let mut reply = [0; 512];
        self.socket.send(&self.query)?;
        let length = self.socket.recv(&mut reply)?;
        let reply = &reply[..length];
        let one = reply.get(6..8) == Some(&[0, 1]);
        let last = reply.last_chunk().map_or(0, |address| u32::from_be_bytes(*address));
        let number = last.wrapping_sub(DATA.address(0, 0).to_bits());
        Ok(usize::try_from(number).ok().filter(|_| one))
    }

    /// Asks until told to stop, and tells when each registration was first seen.
    fn watch(&self, registrations: usize, stop: &AtomicBool) -> Vec<Option<Instant>> {
        let mut seen = vec![None; registrations];
        while !stop.load(Ordering::Relaxed) {
            if let Ok(Some(number)) = self.ask()
                && let Some(first @ None) = seen.get_mut(number)
            {
                *first = Some(now());
            }
        }
        seen
    }
}

const DATA: Data = Data { services: 1, instances: 1 };
