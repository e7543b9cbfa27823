//! A reader of `GET /v1/watch`: server-sent events over a plain socket, each with its time.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::now;

/// An open watch. Dropping it closes the connection.
pub(crate) struct Watch {
    stream: TcpStream,
    raw: Vec<u8>,
    text: Vec<u8>,
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// `put`, `remove`, `service` or `reset`.
    pub(crate) name: String,
    /// What it says.
    pub(crate) data: Value,
    /// Where to resume after it; only the last event of a revision has it.
    pub(crate) id: Option<u64>,
    /// When it was read.
    pub(crate) at: Instant,
}

impl Watch {
    /// Opens a watch at `path`, resuming behind `last`.
    pub(crate) fn open(address: SocketAddr, path: &str, last: Option<u64>) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut watch = Self { stream, raw: Vec::new(), text: Vec::new() };
        let deadline = now() + Duration::from_secs(10);
        let end = loop {
            if let Some(end) = find(&watch.raw, b"\r\n\r\n") {
                break end;
            }
            assert!(watch.read(deadline), "no reply to GET {path}");
        };
        let head = String::from_utf8(watch.raw.drain(..end + 4).collect()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: text/event-stream"), "{head}");
        watch
    }

    /// The next event; `None` when none comes `within` that time or the server has ended it.
    pub(crate) fn next(&mut self, within: Duration) -> Option<Event> {
        let deadline = now() + within;
        loop {
            self.decode();
            if let Some(end) = find(&self.text, b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8(block).unwrap()) {
                    return Some(event);
                }
                continue;
            }
            if !self.read(deadline) {
                return None;
            }
        }
    }

    /// The next event, which must come soon.
    pub(crate) fn event(&mut self) -> Event {
        self.next(super::SOON).expect("an event within the deadline")
    }

    /// Events up to the first that `last` accepts, with it.
    pub(crate) fn until(&mut self, last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.event();
            let found = last(&event);
            events.push(event);
            if found {
                return events;
            }
        }
    }

    /// Reads what is there; false at the deadline and at the end.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut part = [0; 64 * 1024];
        match self.stream.read(&mut part) {
            Ok(0) => false,
            Ok(length) => {
                self.raw.extend_from_slice(&part[..length]);
                true
            }
            Err(error) => {
                let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                // A server that is killed resets its connections.
                assert!(late || error.kind() == ErrorKind::ConnectionReset, "{error}");
                false
            }
        }
    }

    /// Moves whole chunks (RFC 9112 section 7.1) from what was read to the text.
    fn decode(&mut self) {
        while let Some(end) = find(&self.raw, b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            let chunk = end + 2..end + 2 + size;
            if self.raw.len() < chunk.end + 2 {
                return;
            }
            self.text.extend_from_slice(&self.raw[chunk.clone()]);
            self.raw.drain(..chunk.end + 2);
        }
    }
}

/// Reads one block; comments are no event.
fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let name = field("event: ")?.to_owned();
    let data = serde_json::from_str(field("data: ").unwrap()).unwrap();
    let id = field("id: ").map(|id| id.parse().unwrap());
    Some(Event { name, data, id, at: now() })
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
