//! A DNS front with a service for each row, and the packets that ask for them.

use std::fmt::Write;
use std::net::SocketAddr;

use signpost::config;
use signpost::dns::front::Front;
use signpost::dns::name::Name;
use signpost::dns::transport::{Peer, Transport};
use signpost::server::still;

/// A question, and what its row is called.
pub(crate) struct Question {
    pub(crate) row: &'static str,
    name: &'static str,
    rtype: u16,
    /// Where it comes from: loopback is no stranger to the rate limit.
    source: [u8; 4],
}

/// All questions that are counted.
pub(crate) const QUESTIONS: [Question; 14] = [
    Question::new("A of 4, round_robin", "round-robin.service.local.", A),
    Question::new("A of 4, random", "random.service.local.", A),
    Question::new("A of 4, weighted_round_robin", "weighted.service.local.", A),
    Question::new("A of 4, least_connections", "least.service.local.", A),
    Question::new("A 1 of 4, consistent_hash", "hash.service.local.", A),
    Question::new("A 8 of 1,000", "many.service.local.", A),
    Question::new("A of 4, to a stranger", "round-robin.service.local.", A).from([192, 0, 2, 1]),
    Question::new("AAAA of 4", "six.service.local.", AAAA),
    Question::new("AAAA, none", "round-robin.service.local.", AAAA),
    Question::new("SRV of 4, with addresses", "_http._tcp.round-robin.service.local.", SRV),
    Question::new("A of an instance", "i1.round-robin.service.local.", A),
    Question::new("no such service", "nobody.service.local.", A),
    Question::new("A of a static name", "static.service.local.", A),
    Question::new("not ours", "www.example.com.", A),
];

impl Question {
    const fn new(row: &'static str, name: &'static str, rtype: u16) -> Self {
        Self { row, name, rtype, source: [127, 0, 0, 1] }
    }

    const fn from(self, source: [u8; 4]) -> Self {
        Self { source, ..self }
    }

    /// What a resolver sends: EDNS with 1232 bytes, no options.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        packet.extend(Name::from_text(self.name, None).expect("a legal name").wire());
        packet.extend(self.rtype.to_be_bytes());
        packet.extend([0, 1]);
        packet.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        packet
    }

    /// From whom.
    pub(crate) fn peer(&self) -> Peer {
        Peer { transport: Transport::Udp, source: SocketAddr::from((self.source, 4_000)) }
    }
}

/// The front of a server that has all that is asked for.
pub(crate) fn front() -> Front {
    let folder = tempfile::tempdir().expect("a folder for a zone file");
    let zone = "$ORIGIN service.local.\n$TTL 60\n@ SOA ns1 h 1 2 3 4 5\nstatic A 192.0.2.1\n";
    std::fs::create_dir(folder.path().join("zones")).expect("made");
    std::fs::write(folder.path().join("zones/our.zone"), zone).expect("room for a zone file");
    // More than a row can ask for: the table is gone through, and nobody is limited.
    let mut text = "[rate_limit]\nper_address = 1_000_000\nper_prefix = 1_000_000\n".to_owned();
    for (name, balance, n) in [
        ("round-robin", "round_robin", 4),
        ("random", "random", 4),
        ("weighted", "weighted_round_robin", 4),
        ("least", "least_connections", 4),
        ("hash", "consistent_hash", 4),
        ("many", "round_robin", 1_000),
        ("six", "round_robin", 4),
    ] {
        writeln!(text, "[services.{name}]\nbalance = {balance:?}").expect("a string takes it");
        for i in 1..=n {
            let (high, low) = (i / 250, i % 250);
            let address = match name {
                "six" => format!("2001:db8::{i}"),
                _ => format!("10.0.{high}.{}", low + 1),
            };
            let ports = r#"[{ name = "http", port = 80 }]"#;
            writeln!(text, "[[services.{name}.instances]]\nid = \"i{i}\"").expect("as above");
            writeln!(text, "addresses = [{address:?}]\nports = {ports}").expect("as above");
        }
    }
    let config = config::parse(&text, &folder.path().join("registry.toml"));
    still(&config.expect("a legal configuration")).expect("names that fit DNS")
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
