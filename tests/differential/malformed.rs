//! Five hundred queries with something wrong, the same in every run.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::queries::Query;
use crate::support::packet::{Packet, QR, ask, header, raw};

/// The queries: each kind of wrong in turn.
pub(crate) fn queries() -> Vec<Query> {
    let mut rng = StdRng::seed_from_u64(500);
    (0..500).map(|i| query(&mut rng, KINDS[i % KINDS.len()])).collect()
}

fn query(rng: &mut StdRng, wrong: &'static str) -> Query {
    let name = *["www.", "nowhere.", "", "any.sub.", "c1.", "x.wild."].choose(rng).unwrap();
    let name = format!("{name}diff.example.");
    let plain = ask(&name, ["A", "TXT", "SOA", "ANY"].choose(rng).unwrap());
    // At times with an OPT besides, which the reply has to answer if it can be found.
    let plain = if rng.random_bool(0.5) { plain.edns(1232) } else { plain };
    let edns = ask(&name, "A").edns(1232);
    let packet = match wrong {
        TWO_OPT => edns.counts([1, 0, 0, 1]).append(OPT),
        FOREIGN_OPT => ask(&name, "A").counts([1, 0, 0, 1]).append(&[b"\x01a", OPT].concat()),
        OPT_IN_ANSWER => ask(&name, "A").counts([1, 1, 0, 0]).append(OPT),
        OPT_IN_AUTHORITY => ask(&name, "A").counts([1, 0, 1, 0]).append(OPT),
        OPT_LENGTH => ask(&name, "A").counts([1, 0, 0, 1]).append(LONG_OPT),
        OPTION_LENGTH => edns.option_bytes(&[0, rng.random_range(3..12), 0, 9, 1, 2, 3]),
        HALF_OPTION => edns.option_bytes(&[0, 3, 0]),
        SUBNET => edns.option(8, SUBNETS.choose(rng).unwrap()),
        COOKIE => edns.option(10, &[7; 50][..*[1, 7, 9, 15, 41].choose(rng).unwrap()]),
        TRAILING => plain.append(&[1, 2, 3][..rng.random_range(1..4)]),
        NO_QUESTION => header(),
        NO_QUESTION_EDNS => header().edns(1232),
        TWO_QUESTIONS => {
            let second = ask("mail.diff.example.", "A");
            ask(&name, "A").counts([2, 0, 0, 0]).append(second.question())
        }
        MISSING_RECORDS => {
            let mut counts = [1, 0, 0, 0];
            counts[rng.random_range(1..4)] = *[1, 2, 255, 65_535].choose(rng).unwrap();
            ask(&name, "A").counts(counts)
        }
        SURPLUS_RECORDS => {
            let mut counts = [1, 0, 0, 0];
            counts[rng.random_range(1..4)] = 1;
            ask(&name, "A").counts(counts).append(RECORD)
        }
        CUT => {
            let length = edns.bytes(0).len();
            edns.cut(rng.random_range(0..length))
        }
        LABEL => raw(LABELS.choose(rng).unwrap(), 1),
        OPCODE => plain.opcode(*[1, 2, 3, 5, 6, 9, 15].choose(rng).unwrap()),
        CLASS => plain.class(*[0, 2, 3, 4, 254, 255, 256].choose(rng).unwrap()),
        RESPONSE => plain.bits(QR),
        other => panic!("no such kind: {other}"),
    };
    let (tcp, rtype) = (rng.random_bool(0.3), packet_type(&packet));
    Query { packet, tcp, name, rtype, wrong }
}

/// The type that a query with a question asks for.
fn packet_type(packet: &Packet) -> u16 {
    match packet.question() {
        [.., high, low, _, _] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

pub(crate) const TWO_OPT: &str = "two OPT records";
pub(crate) const FOREIGN_OPT: &str = "OPT of another owner than the root";
pub(crate) const OPT_IN_ANSWER: &str = "OPT in the answer section";
pub(crate) const OPT_IN_AUTHORITY: &str = "OPT in the authority section";
pub(crate) const OPT_LENGTH: &str = "OPT longer than the message";
pub(crate) const OPTION_LENGTH: &str = "an option longer than OPT";
pub(crate) const HALF_OPTION: &str = "half an option";
pub(crate) const SUBNET: &str = "a malformed client subnet";
pub(crate) const COOKIE: &str = "a cookie of a length that none has";
pub(crate) const TRAILING: &str = "bytes behind the message";
pub(crate) const NO_QUESTION: &str = "no question";
pub(crate) const NO_QUESTION_EDNS: &str = "no question, but EDNS";
pub(crate) const TWO_QUESTIONS: &str = "two questions";
pub(crate) const MISSING_RECORDS: &str = "records that are announced and not there";
pub(crate) const SURPLUS_RECORDS: &str = "a record that no query needs";
pub(crate) const CUT: &str = "cut short";
pub(crate) const LABEL: &str = "a name that is none";
pub(crate) const OPCODE: &str = "another opcode";
pub(crate) const CLASS: &str = "another class";
pub(crate) const RESPONSE: &str = "a response";

const KINDS: [&str; 20] = [
    TWO_OPT,
    FOREIGN_OPT,
    OPT_IN_ANSWER,
    OPT_IN_AUTHORITY,
    OPT_LENGTH,
    OPTION_LENGTH,
    HALF_OPTION,
    SUBNET,
    COOKIE,
    TRAILING,
    NO_QUESTION,
    NO_QUESTION_EDNS,
    TWO_QUESTIONS,
    MISSING_RECORDS,
    SURPLUS_RECORDS,
    CUT,
    LABEL,
    OPCODE,
    CLASS,
    RESPONSE,
];

const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
const LONG_OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\x09abc";
const RECORD: &[u8] = b"\0\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01";

/// Of no family, too long, with a scope, with bits behind the prefix, too short.
const SUBNETS: &[&[u8]] = &[
    &[0, 3, 0, 0],
    &[0, 1, 33, 0, 1, 2, 3, 4, 5],
    &[0, 1, 24, 24, 198, 51, 100],
    &[0, 1, 23, 0, 198, 51, 101],
    &[0, 1],
];

/// Kinds of label that do not exist, and pointers to the header, to itself, ahead and far away.
const LABELS: &[&[u8]] =
    &[b"\x40", b"\x80a", b"\x03www\xbf", b"\xc0\x00", b"\xc0\x0c", b"\xc0\x20", b"\xff\xff"];
