//! The load: connections that send one request after the other, all on one thread, since the
//! server has to share the machine with it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::Server;

/// A request.
pub(crate) struct Call {
    bytes: Vec<u8>,
}

impl Call {
    /// A request without a body.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { bytes: format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into() }
    }

    /// A request with a body.
    pub(crate) fn with(method: &str, path: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json"
        );
        Self { bytes: format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").into() }
    }
}

/// What a load did and what it took.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// Requests answered per second.
    pub(crate) rate: f64,
    /// Processor time of the server per request, in microseconds.
    pub(crate) server: f64,
    /// Processor time of the load per request, in microseconds.
    pub(crate) load: f64,
}

/// What is sent: `request` makes a call of the numbers of the connection and of the turn.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) connections: u64,
    pub(crate) request: fn(u64, u64) -> Call,
    /// Calls a second of all connections together; `None`: as many as there is time for.
    pub(crate) pace: Option<u32>,
}

/// Carries out `plan` for `time`.
pub(crate) fn run(server: &Server, plan: Plan, time: Duration) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = Arc::new(AtomicU64::new(0));
    let (server_before, load_before) = (server.cpu(), cpu("self"));
    let start = now();
    runtime.expect("a runtime").block_on(async {
        for connection in 0..plan.connections {
            tokio::spawn(drive(server.http, connection, Arc::clone(&done), plan));
        }
        tokio::time::sleep(time).await;
    });
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    let done = done.load(Relaxed).max(1) as f64;
    let each = |before: Duration, after: Duration| (after - before).as_secs_f64() * 1e6 / done;
    Measured {
        rate: done / seconds,
        server: each(server_before, server.cpu()),
        load: each(load_before, cpu("self")),
    }
}

async fn drive(
    address: SocketAddr,
    connection: u64,
    done: Arc<AtomicU64>,
    Plan { connections, request, pace }: Plan,
) {
    let mut turns = pace.map(|pace| {
        // Not all at once: each begins at its own part of the period.
        let gap = Duration::from_secs(1) / pace;
        let first =
            tokio::time::Instant::from(now()) + gap * u32::try_from(connection).unwrap_or(0);
        tokio::time::interval_at(first, gap * u32::try_from(connections).unwrap_or(1))
    });
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    let mut reply = vec![0; 2 << 20];
    for turn in 0.. {
        if let Some(turns) = &mut turns {
            turns.tick().await;
        }
        let Call { bytes } = request(connection, turn);
        stream.write_all(&bytes).await.expect("sent");
        let mut length = 0;
        loop {
            let read = stream.read(&mut reply[length..]).await.expect("read");
            assert!(read > 0, "the server closed the connection");
            length += read;
            if body(&reply[..length]).is_some() {
                break;
            }
        }
        done.fetch_add(1, Relaxed);
    }
}

/// Makes one call and waits for its reply; its body.
pub(crate) fn call(stream: &mut TcpStream, Call { bytes }: &Call) -> String {
    stream.write_all(bytes).expect("sent");
    let mut reply = Vec::new();
    let mut chunk = [0; 65_536];
    loop {
        if let Some(body) = body(&reply) {
            return String::from_utf8_lossy(body).into_owned();
        }
        let read = stream.read(&mut chunk).expect("read");
        assert!(read > 0, "the server closed the connection");
        reply.extend_from_slice(&chunk[..read]);
    }
}

/// The body of a reply that is there as a whole and says that it went well.
fn body(reply: &[u8]) -> Option<&[u8]> {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let (head, body) = reply.split_at(end);
    assert!(head.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(reply));
    let name = b"\r\ncontent-length: ";
    let length = head.windows(name.len()).position(|field| field == name).map_or(0, |field| {
        let digits = head[field + name.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
    });
    (body.len() >= length).then_some(body)
}

/// Processor time that a process has used, in all its threads.
pub(crate) fn cpu(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    // After the name, which may hold anything, utime and stime are the 12th and 13th (proc(5)).
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
