//! Two thousand honest queries, the same in every run.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::support::message::type_number;
use crate::support::packet::{AD, CD, DO, Packet, RD, Z, raw};

/// A query, and what the explanations look at.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// The message.
    pub(crate) packet: Packet,
    /// By TCP, else by UDP.
    pub(crate) tcp: bool,
    /// The name in lower case, e.g. `www.diff.example.`.
    pub(crate) name: String,
    /// The type.
    pub(crate) rtype: u16,
    /// What is wrong with it; empty for an honest one.
    pub(crate) wrong: &'static str,
}

/// The queries.
pub(crate) fn queries() -> Vec<Query> {
    let mut rng = StdRng::seed_from_u64(2_000);
    (0..2_000).map(|_| query(&mut rng)).collect()
}

fn query(rng: &mut StdRng) -> Query {
    let (name, rtype) = if rng.random_bool(0.15) {
        let (name, rtype) = HITS.choose(rng).unwrap();
        (format!("{name}diff.example."), *rtype)
    } else if rng.random_bool(0.4) {
        (name(rng), *["A", "AAAA", "TXT"].choose(rng).unwrap())
    } else {
        (name(rng), *TYPES.choose(rng).unwrap())
    };
    let rtype = type_number(rtype);
    let mut packet = raw(&wire(&name, rng), rtype);
    for bit in [RD, AD, CD, Z] {
        if rng.random_bool(0.2) {
            packet = packet.bits(bit);
        }
    }
    let edns = rng.random_bool(0.6).then(|| u32::from(rng.random_bool(0.04)));
    if let Some(version) = edns {
        let payload = *[0, 511, 512, 700, 1232, 1233, 4096, 65_535].choose(rng).unwrap();
        let flags = if rng.random_bool(0.3) { DO } else { 0 };
        let unknown = if rng.random_bool(0.1) { 0x0123 } else { 0 };
        packet = packet.edns(payload).edns_ttl(version << 16 | flags | unknown);
        for (code, data) in OPTIONS {
            if rng.random_bool(0.08) {
                packet = packet.option(*code, data);
            }
        }
    }
    let (tcp, name) = (rng.random_bool(0.3), name.to_ascii_lowercase());
    Query { packet, tcp, name, rtype, wrong: "" }
}

/// A name of the zones, or one beside, above or below those.
fn name(rng: &mut StdRng) -> String {
    let base = NAMES.choose(rng).unwrap();
    let below = *["x.", "*.", "host.", "a.b.", "_sip._tcp.", "x.*."].choose(rng).unwrap();
    let apex = *["diff.example."; 8]
        .iter()
        .chain(&["child.diff.example.", "other.example."])
        .collect::<Vec<_>>()
        .choose(rng)
        .unwrap();
    let below = if rng.random_bool(0.25) { below } else { "" };
    match *base {
        "@" => format!("{below}{apex}"),
        outside if outside.ends_with('.') => format!("{below}{outside}"),
        inside => format!("{below}{inside}.{apex}"),
    }
}

/// A name in presentation form in wire form, with letters in mixed case at times.
fn wire(name: &str, rng: &mut StdRng) -> Vec<u8> {
    let mixed = rng.random_bool(0.3);
    let mut wire = Vec::new();
    for label in name.replace("\\.", "\u{1}").split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.bytes().map(|byte| match byte {
            1 => b'.',
            letter if mixed && rng.random() => letter.to_ascii_uppercase(),
            other => other,
        }));
    }
    wire.push(0);
    wire
}

const NAMES: &[&str] = &[
    "@",
    "@",
    "@",
    "ns1",
    "ns2",
    "mail",
    "www",
    "www",
    "multi",
    "multi",
    "MiXeD",
    "under_score",
    "a\\.b",
    "a.b",
    "sp ace",
    "caa",
    "naptr",
    "ptr",
    "tlsa",
    "svcb",
    "loc",
    "hinfo",
    "a.b.c.ent",
    "b.c.ent",
    "c.ent",
    "ent",
    "x.c.ent",
    "y.c.ent",
    "_sip._tcp",
    "_tcp",
    "_none._tcp",
    "wild",
    "any.wild",
    "a.b.wild",
    "host.wild",
    "ent.wild",
    "x.ent.wild",
    "y.ent.wild",
    "deep.wild",
    "any.deep.wild",
    "cwild",
    "x.cwild",
    "x.cout",
    "x.ctwo",
    "x.cself",
    "more.cself",
    "x.mx",
    "star",
    "*.star",
    "a.x.*.star",
    "x.*.star",
    "a.star",
    "lit",
    "*.lit",
    "sub.*.lit",
    "x.lit",
    "c1",
    "c3",
    "c5",
    "l01",
    "l04",
    "l05",
    "l12",
    "loop1",
    "loop2",
    "self",
    "cgone",
    "cgone2",
    "cbelow",
    "cleave",
    "cother",
    "cent",
    "capex",
    "csub",
    "ccut",
    "cchild",
    "cchild2",
    "sub",
    "sub",
    "ns.sub",
    "host.sub",
    "any.sub",
    "beside",
    "x.beside",
    "lame",
    "x.lame",
    "under",
    "x.under",
    "ns.x.under",
    "child",
    "child",
    "www.child",
    "ns.child",
    "none.child",
    "many",
    "x.many",
    "ns01.many",
    "medium",
    "large",
    "text",
    "clarge",
    "nowhere",
    "no.where",
    "up",
    "back",
    "*",
    ".",
    "example.",
    "xdiff.example.",
    "test.",
    "www.else.test.",
    "com.",
];

/// Names with types that they have, where chance alone would seldom meet them.
const HITS: &[(&str, &str)] = &[
    ("", "SOA"),
    ("", "NS"),
    ("", "MX"),
    ("", "CAA"),
    ("multi.", "MX"),
    ("multi.", "HTTPS"),
    ("multi.", "TXT"),
    ("multi.", "TYPE44"),
    ("multi.", "TYPE65280"),
    ("svcb.", "SVCB"),
    ("naptr.", "TYPE35"),
    ("ptr.", "PTR"),
    ("tlsa.", "TYPE52"),
    ("loc.", "TYPE29"),
    ("hinfo.", "TYPE13"),
    ("_sip._tcp.", "SRV"),
    ("_none._tcp.", "SRV"),
    ("x.mx.", "MX"),
    ("sub.", "DS"),
    ("child.", "DS"),
    ("child.", "SOA"),
    ("sub.", "NS"),
    ("many.", "NS"),
    ("medium.", "A"),
    ("large.", "A"),
    ("text.", "TXT"),
    ("clarge.", "A"),
    ("c1.", "CNAME"),
    ("x.cwild.", "CNAME"),
    ("x.cwild.", "A"),
];

const TYPES: &[&str] = &[
    "NS",
    "NS",
    "SOA",
    "SOA",
    "CNAME",
    "CNAME",
    "MX",
    "SRV",
    "DS",
    "DS",
    "ANY",
    "ANY",
    "PTR",
    "CAA",
    "HTTPS",
    "SVCB",
    "DNAME",
    "RRSIG",
    "NSEC",
    "DNSKEY",
    "TYPE35",
    "TYPE44",
    "TYPE52",
    "TYPE13",
    "TYPE50",
    "TYPE0",
    "TYPE1000",
    "TYPE65280",
    "TYPE65535",
    "TYPE128",
    "AXFR",
    "IXFR",
    "TYPE41",
    "TYPE249",
    "TYPE250",
    "TYPE253",
    "TYPE254",
];

/// NSID, cookie, padding, keepalive, expire, client subnet, and what nobody knows.
const OPTIONS: &[(u16, &[u8])] = &[
    (3, b""),
    (10, &[1, 2, 3, 4, 5, 6, 7, 8]),
    (12, &[0; 20]),
    (11, b""),
    (9, b""),
    (8, &[0, 1, 24, 0, 198, 51, 100]),
    (65_001, b"unknown"),
    (4_242, b""),
];
