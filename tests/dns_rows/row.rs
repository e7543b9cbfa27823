//! Rows as data: queries, and the reply that each gets on each transport, as lines of text.
//!
//! The first line of a reply is its code, its flags and the four counts, OPT included; then a line
//! a record (`an`, `ns`, `ar`), then OPT.
//! Answers of one set are sorted, and so is the additional section. The serial of the server's
//! zones, which moves, is `*`.

use crate::served::{Served, server};
use crate::support::message::{Edns, Message};
use crate::support::outcome::Got;
use crate::support::packet::Packet;
use crate::via::{Via, next_id};

/// A query with its replies.
pub(crate) struct Case {
    query: Packet,
    replies: Vec<(&'static [Via], Vec<String>)>,
}

impl Packet {
    /// Gets this reply on every transport.
    pub(crate) fn gets(self, lines: &[&str]) -> Case {
        Case { query: self, replies: Vec::new() }.over(Via::ALL, lines)
    }

    /// Gets this reply on some transports; [`Case::over`] tells of the others.
    pub(crate) fn gets_over(self, vias: &'static [Via], lines: &[&str]) -> Case {
        Case { query: self, replies: Vec::new() }.over(vias, lines)
    }
}

impl Case {
    /// Gets this reply on these transports.
    pub(crate) fn over(mut self, vias: &'static [Via], lines: &[&str]) -> Self {
        self.replies.push((vias, lines.iter().map(|&line| line.to_owned()).collect()));
        self
    }
}

/// Sends each query of a row on every transport that it speaks of.
pub(crate) fn check(cases: Vec<Case>) {
    let server = server();
    for case in cases {
        for (vias, expected) in &case.replies {
            for via in *vias {
                let lines = told(&server, &case.query, *via);
                assert_eq!(&lines, expected, "{via:?}: {:?}", case.query);
            }
        }
    }
}

/// What a query gets, as text. The id and, if there is one, the question must be the query's.
pub(crate) fn told(server: &Served, query: &Packet, via: Via) -> Vec<String> {
    let packet = query.bytes(next_id());
    let bytes = match via.send(server, &packet) {
        Ok(Got::Reply(bytes)) => bytes,
        Ok(Got::Silence) => return vec!["silence".to_owned()],
        Ok(Got::Last(bytes)) => panic!("closed after {:?}", lines(&bytes)),
        Ok(Got::Closed) => return vec!["closed".to_owned()],
        Err(status) => return vec![status],
    };
    assert_eq!(bytes[..2], packet[..2], "the id comes back");
    if bytes[4..6] == [0, 1] {
        let question = bytes.get(12..12 + query.question().len());
        assert_eq!(question, Some(query.question()), "the question comes back byte by byte");
    }
    lines(&bytes)
}

/// A reply as text.
pub(crate) fn lines(bytes: &[u8]) -> Vec<String> {
    let message = Message::parse(bytes);
    let counts: Vec<String> = bytes[4..12]
        .chunks_exact(2)
        .map(|count| u16::from_be_bytes([count[0], count[1]]).to_string())
        .collect();
    let opcode = if message.opcode == 0 { String::new() } else { format!("op{} ", message.opcode) };
    let mut lines =
        vec![format!("{} {opcode}{} {}", message.rcode, message.flags, counts.join("/"))];
    for (section, records) in
        [("an", &message.answers), ("ns", &message.authority), ("ar", &message.additional)]
    {
        let mut records = records.clone();
        let all = section == "ar";
        for set in records.chunk_by_mut(|a, b| all || set_of(a) == set_of(b)) {
            set.sort_unstable();
        }
        lines.extend(records.iter().map(|record| format!("{section} {}", without_serial(record))));
    }
    lines.extend(message.edns.as_ref().map(|edns| opt(edns, bytes.len())));
    lines
}

/// Owner and type of a record.
fn set_of(record: &str) -> (Option<&str>, Option<&str>) {
    let mut words = record.split(' ');
    (words.next(), words.nth(1))
}

/// The serial of the server's zones is the registry's revision, which other tests move.
fn without_serial(record: &str) -> String {
    let mut words: Vec<&str> = record.split(' ').collect();
    if words[2..].starts_with(&["SOA", "ns1.service.local."]) {
        words[5] = "*";
    }
    words.join(" ")
}

/// OPT of a reply of this many bytes.
fn opt(edns: &Edns, size: usize) -> String {
    assert_eq!((edns.version, edns.flags & 0x7fff), (0, 0), "version 0, no flags but DO");
    let mut line = format!("opt {}", edns.payload);
    if edns.flags & 0x8000 != 0 {
        line += " do";
    }
    for (code, data) in &edns.options {
        line += &match (code, &data[..]) {
            (3, name) => format!(" nsid={}", String::from_utf8_lossy(name)),
            (8, [0, family, source, scope, address @ ..]) => {
                format!(" subnet={family}:{source}/{scope} {address:?}")
            }
            (11, [high, low]) => format!(" keepalive={}", u16::from_be_bytes([*high, *low])),
            (12, _) => format!(" padded to {size}"),
            // Client part, version and reserved bytes; time and hash differ (RFC 9018).
            (10, [client @ .., 1, 0, 0, 0, _, _, _, _, _, _, _, _, _, _, _, _]) => {
                format!(" cookie={client:?}+16")
            }
            (15, [high, low, text @ ..]) => {
                let text = String::from_utf8_lossy(text);
                let text = if text.is_empty() { String::new() } else { format!(" ({text})") };
                format!(" ede={}{text}", u16::from_be_bytes([*high, *low]))
            }
            (code, data) => format!(" {code}={data:02x?}"),
        };
    }
    line
}

/// Makes a test of each row: its name, then its cases.
macro_rules! rows {
    ($($name:ident: [$($case:expr),+ $(,)?];)+) => {$(
        #[test]
        fn $name() {
            crate::row::check(vec![$($case),+]);
        }
    )+};
}

pub(crate) use rows;
