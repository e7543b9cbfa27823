//! Requests byte by byte, and what comes back with all of its headers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::support::SOON;

/// A reply as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    /// The status code; 0 when the connection was cut without a word.
    pub(crate) status: u16,
    head: String,
    body: String,
}

impl Raw {
    /// The first reply in `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The body.
    pub(crate) fn body(&self) -> &str {
        &self.body
    }

    /// The name of a problem and its field.
    pub(crate) fn problem(&self) -> (u16, String, Option<String>) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} {self:?}"));
        assert_eq!(body["status"], self.status, "{self:?}");
        let kind = body["type"].as_str().unwrap().strip_prefix("urn:signpost:").unwrap();
        (self.status, kind.to_owned(), body["field"].as_str().map(str::to_owned))
    }
}

/// A connection that gives up when nothing comes.
pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Sends all of `bytes`, whatever the server says meanwhile, and reads the reply to the end.
pub(crate) fn send(to: SocketAddr, bytes: &[u8]) -> Raw {
    let mut stream = connect(to);
    // What is refused may be cut off before it is sent to the end.
    drop(stream.write_all(bytes));
    Raw::parse(&rest(&mut stream))
}

/// All that comes until the server closes.
pub(crate) fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return all,
            Ok(read) => all.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&all)),
        }
    }
}

/// Sends `piece` again and again, once in `every`, until the server closes, and reads what it said.
pub(crate) fn dribble(stream: &mut TcpStream, piece: &[u8], every: Duration) -> Raw {
    stream.set_read_timeout(Some(every)).unwrap();
    let (mut all, mut scrap) = (Vec::new(), [0; 4096]);
    loop {
        let sent = stream.write_all(piece).is_ok();
        match stream.read(&mut scrap) {
            Ok(0) => return Raw::parse(&all),
            Ok(read) => all.extend_from_slice(&scrap[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                assert!(sent, "it is closed and says nothing");
            }
            Err(_) => return Raw::parse(&all),
        }
    }
}
