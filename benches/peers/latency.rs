//! How long a query takes when there is no queue: few queries at a fixed rate, each timed.
//!
//! From before the sending until the system has the reply: it writes the time on each packet, so
//! that when this thread gets to run, and what else runs on its core, does not count.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::clock::{now, sleep};
use crate::data::Questions;

/// Times of one phase.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Asks `server` so many times a second for so long.
    ///
    /// # Errors
    /// When the socket fails.
    pub(crate) fn measure(
        server: SocketAddr,
        questions: Questions,
        rate: u32,
        time: Duration,
    ) -> io::Result<Self> {
        let mut pacer = Pacer::new(server, questions)?;
        let (start, pause) = (now(), Duration::from_secs(1) / rate);
        let mut due = start;
        while start.elapsed() < time {
            while due <= now() {
                pacer.ask()?;
                due += pause;
            }
            pacer.take()?;
            sleep(pause / 2);
        }
        sleep(Duration::from_millis(50));
        pacer.take()?;
        pacer.times.sort_unstable();
        Ok(Self(pacer.times))
    }

    /// The time that so many of a thousand queries do not exceed.
    pub(crate) fn quantile(&self, per_mille: usize) -> Option<Duration> {
        self.0.get((self.0.len() * per_mille / 1000).min(self.0.len().checked_sub(1)?)).copied()
    }
}

struct Pacer {
    socket: UdpSocket,
    questions: Questions,
    /// When the query with this id left, since the epoch.
    left: Vec<Option<Duration>>,
    next: u16,
    times: Vec<Duration>,
    rng: SmallRng,
}

impl Pacer {
    fn new(server: SocketAddr, questions: Questions) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        Ok(Self {
            socket,
            questions,
            left: vec![None; 1 << 16],
            next: 0,
            times: Vec::new(),
            rng: SmallRng::seed_from_u64(11),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "packets bear the time of day")]
    fn ask(&mut self) -> io::Result<()> {
        let packets = &mut self.questions.packets;
        let query = self.rng.random_range(0..packets.len());
        let query = &mut packets[query];
        query[..2].copy_from_slice(&self.next.to_be_bytes());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        self.left[usize::from(self.next)] = Some(now);
        self.next = self.next.wrapping_add(1);
        self.socket.send(query).map(drop)
    }

    /// Takes the replies that are there.
    fn take(&mut self) -> io::Result<()> {
        let (mut buffer, mut control) = ([0; 4096], cmsg_space!(TimeSpec));
        loop {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            let message = match recvmsg::<()>(socket, &mut slices, Some(&mut control), flags) {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let came = message.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                _ => None,
            });
            let reply = message.iovs().next().unwrap_or_default();
            let left =
                self.questions.expected.id(reply).and_then(|id| self.left[usize::from(id)].take());
            self.times.extend(came.zip(left).map(|(came, left)| came.saturating_sub(left)));
        }
    }
}
