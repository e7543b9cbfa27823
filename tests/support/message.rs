//! A DNS reply taken apart: header bits, sections as lines of text, EDNS.
//!
//! Written for the tests and strict: what is not well-formed fails the test.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The response code with its extension by EDNS, as text.
    pub(crate) rcode: String,
    /// The opcode, 0 for that of a query.
    pub(crate) opcode: u16,
    /// The header flags that are set, in the order of the header: `qr aa tc rd ra z ad cd`.
    pub(crate) flags: String,
    /// The answer section, a line a record: `web.service.local. 5 A 10.0.0.1`.
    pub(crate) answers: Vec<String>,
    /// The authority section.
    pub(crate) authority: Vec<String>,
    /// The additional section without OPT.
    pub(crate) additional: Vec<String>,
    /// Its OPT record.
    pub(crate) edns: Option<Edns>,
    /// How many bytes it has.
    pub(crate) size: usize,
}

/// An OPT record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edns {
    /// The size that is advertised.
    pub(crate) payload: u16,
    /// The version.
    pub(crate) version: u8,
    /// The flags: DO is the highest bit, the others are Z.
    pub(crate) flags: u16,
    /// Code and data of each option.
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

impl Message {
    /// Reads a reply.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut reader = Reader { bytes, at: 0 };
        reader.u16();
        let bits = reader.u16();
        let counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()];
        for _ in 0..counts[0] {
            reader.name();
            reader.u32();
        }
        let mut edns = Vec::new();
        let mut section = |count: u16| -> Vec<String> {
            (0..count).filter_map(|_| reader.record(&mut edns)).collect()
        };
        let [answers, authority, additional] = [1, 2, 3].map(|i| section(counts[i]));
        assert_eq!(reader.at, bytes.len(), "nothing follows the last record");
        assert!(edns.len() <= 1, "at most one OPT record");
        let edns = edns.pop();
        let extended = edns.as_ref().map_or(0, |(extended, _)| u16::from(*extended) << 4);
        Self {
            rcode: rcode(bits & 15 | extended),
            opcode: bits >> 11 & 15,
            flags: flags(bits),
            answers,
            authority,
            additional,
            edns: edns.map(|(_, edns)| edns),
            size: bytes.len(),
        }
    }

    /// What a client of a service reads: code, flags, and the answers.
    pub(crate) fn told(&self) -> (&str, &str, Vec<&str>) {
        (&self.rcode, &self.flags, self.answers.iter().map(String::as_str).collect())
    }

    /// The same with the answers sorted, where their order is the algorithm's.
    pub(crate) fn told_sorted(&self) -> (&str, &str, Vec<&str>) {
        let (rcode, flags, mut answers) = self.told();
        answers.sort_unstable();
        (rcode, flags, answers)
    }

    /// What remains of each answer behind name, TTL and type.
    pub(crate) fn data(&self) -> Vec<&str> {
        self.answers.iter().map(|line| line.splitn(4, ' ').nth(3).unwrap()).collect()
    }

    /// The data of the only answer.
    pub(crate) fn only(&self) -> &str {
        let [data] = self.data()[..] else { panic!("not one answer: {self:?}") };
        data
    }

    /// The TTL that all answers have.
    pub(crate) fn ttl(&self) -> u32 {
        let ttls = self.answers.iter().map(|line| line.split(' ').nth(1).unwrap());
        let ttls: std::collections::BTreeSet<u32> = ttls.map(|ttl| ttl.parse().unwrap()).collect();
        let [ttl] = ttls.into_iter().collect::<Vec<_>>()[..] else { panic!("TTLs: {self:?}") };
        ttl
    }

    /// Whether it says that something was left out.
    pub(crate) fn truncated(&self) -> bool {
        self.flags.contains("tc")
    }

    /// The data of an option.
    pub(crate) fn option(&self, code: u16) -> Option<&[u8]> {
        let options = &self.edns.as_ref()?.options;
        options.iter().find(|(own, _)| *own == code).map(|(_, data)| data.as_slice())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> &[u8] {
        let taken = self.bytes.get(self.at..self.at + length);
        self.at += length;
        taken.expect("the message is as long as it says")
    }

    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    /// A name with its last dot, following pointers, which must lead back.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let mut end = None;
        loop {
            let length = usize::from(self.u8());
            if length == 0 {
                break;
            }
            if length >= 0xc0 {
                let target = (length & 0x3f) << 8 | usize::from(self.u8());
                assert!(target < self.at - 2, "a pointer leads back");
                end.get_or_insert(self.at);
                self.at = target;
                continue;
            }
            assert!(length < 64, "a label is at most 63 bytes long");
            name += &text(self.take(length));
            name.push('.');
        }
        self.at = end.unwrap_or(self.at);
        if name.is_empty() { ".".to_owned() } else { name }
    }

    fn record(&mut self, edns: &mut Vec<(u8, Edns)>) -> Option<String> {
        let name = self.name();
        let (rtype, class, ttl) = (self.u16(), self.u16(), self.u32());
        let end = usize::from(self.u16()) + self.at;
        if rtype == 41 {
            assert_eq!(name, ".", "OPT belongs to the root");
            let [extended, version, high, low] = ttl.to_be_bytes();
            let flags = u16::from_be_bytes([high, low]);
            let mut options = Vec::new();
            while self.at < end {
                let (code, length) = (self.u16(), self.u16());
                options.push((code, self.take(length.into()).to_vec()));
            }
            edns.push((extended, Edns { payload: class, version, flags, options }));
            return None;
        }
        let data = self.data(rtype, end);
        assert_eq!(self.at, end, "the data is as long as it says");
        let class = if class == 1 { String::new() } else { format!("CLASS{class} ") };
        Some(format!("{name} {ttl} {class}{} {data}", type_name(rtype)))
    }

    fn data(&mut self, rtype: u16, end: usize) -> String {
        match type_name(rtype).as_str() {
            "A" => Ipv4Addr::from_bits(self.u32()).to_string(),
            "AAAA" => Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)).unwrap()).to_string(),
            "NS" | "CNAME" | "PTR" => self.name(),
            "MX" => format!("{} {}", self.u16(), self.name()),
            "SRV" => {
                let (priority, weight, port) = (self.u16(), self.u16(), self.u16());
                format!("{priority} {weight} {port} {}", self.name())
            }
            "SOA" => {
                let (server, mailbox) = (self.name(), self.name());
                let numbers: Vec<String> = (0..5).map(|_| self.u32().to_string()).collect();
                format!("{server} {mailbox} {}", numbers.join(" "))
            }
            "TXT" => {
                let mut strings = Vec::new();
                while self.at < end {
                    let length = self.u8();
                    strings.push(format!("\"{}\"", text(self.take(length.into()))));
                }
                strings.join(" ")
            }
            "SVCB" | "HTTPS" => {
                let mut text = format!("{} {}", self.u16(), self.name());
                while self.at < end {
                    text.push(' ');
                    text += &self.parameter();
                }
                text
            }
            _ => {
                let length = end - self.at;
                let hex = |hex: String, byte: &u8| hex + &format!("{byte:02x}");
                self.take(length).iter().fold(format!("\\# {length} "), hex)
            }
        }
    }
}

impl Reader<'_> {
    /// A parameter of SVCB (RFC 9460 section 2.1): `port=8443`.
    fn parameter(&mut self) -> String {
        let (key, length) = (self.u16(), self.u16());
        let end = self.at + usize::from(length);
        let mut values = Vec::new();
        while self.at < end {
            values.push(match key {
                1 => {
                    let length = self.u8();
                    text(self.take(length.into()))
                }
                3 => self.u16().to_string(),
                4 => Ipv4Addr::from_bits(self.u32()).to_string(),
                6 => Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)).unwrap()).to_string(),
                _ => panic!("nothing publishes key{key}"),
            });
        }
        assert_eq!(self.at, end, "the value is as long as it says");
        let name = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint"];
        format!("{}={}", name[usize::from(key)], values.join(","))
    }
}

/// Bytes as RFC 1035 section 5.1 shows them.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'.' | b'"' | b'\\' => write!(text, "\\{}", char::from(*byte)).unwrap(),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\{byte:03}").unwrap(),
        }
    }
    text
}

fn flags(bits: u16) -> String {
    let names = ["qr", "", "", "", "", "aa", "tc", "rd", "ra", "z", "ad", "cd"];
    let named = names.iter().enumerate().filter(|(_, name)| !name.is_empty());
    let set = named.filter(|(i, _)| bits >> (15 - i) & 1 == 1);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}

fn rcode(code: u16) -> String {
    let name = RCODES.iter().find(|(_, own)| *own == code).map(|(name, _)| (*name).to_owned());
    name.unwrap_or_else(|| format!("RCODE{code}"))
}

fn type_name(number: u16) -> String {
    let known = TYPES.iter().find(|(_, own)| *own == number);
    known.map_or_else(|| format!("TYPE{number}"), |(name, _)| (*name).to_owned())
}

/// The number of a record type: its name, or `TYPE65280`.
pub(crate) fn type_number(name: &str) -> u16 {
    let known = TYPES.iter().find(|(own, _)| *own == name);
    let by_number = || name.strip_prefix("TYPE").unwrap().parse().unwrap();
    known.map_or_else(by_number, |(_, number)| *number)
}

const RCODES: [(&str, u16); 9] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("NOTAUTH", 9),
    ("BADVERS", 16),
    ("BADCOOKIE", 23),
];

const TYPES: [(&str, u16); 20] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("DNAME", 39),
    ("DS", 43),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("IXFR", 251),
    ("AXFR", 252),
    ("ANY", 255),
    ("CAA", 257),
];
