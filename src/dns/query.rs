//! Bytes to a question, or to the reason why there is none.
//!
//! hickory's `Message` neither takes `dig +subnet=0` nor tells where a bad OPT was, logs per packet,
//! and follows any number of compression pointers. Never panics, allocates or logs, whatever the
//! bytes; work is bounded for each record.

use crate::dns::cookies::Cookie;
use crate::dns::edns::{self, Edns};
use crate::dns::name::{Name, end_in};
use crate::dns::rcode::Rcode;
use crate::dns::rtype;

/// What a packet turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'p> {
    /// Not a query: never answered, or two servers could answer each other for ever.
    Silence,
    /// Answered by this code alone, without AA.
    Error(Head<'p>, Rcode),
    /// No question, but a cookie: asks for one of ours (RFC 7873 section 5.4).
    Cookie(Head<'p>, Cookie),
    /// A question of class CHAOS: `id.server` and the like (RFC 4892).
    Chaos(Query<'p>),
    /// A question of class IN (or ANY).
    Query(Query<'p>),
}

impl<'p> Parsed<'p> {
    /// What the reply takes from the query; `None` when there is to be none.
    #[must_use]
    pub fn head(&self) -> Option<&Head<'p>> {
        match self {
            Self::Silence => None,
            Self::Error(head, _) | Self::Cookie(head, _) => Some(head),
            Self::Chaos(query) | Self::Query(query) => Some(&query.head),
        }
    }
}

/// What every reply takes from its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'p> {
    /// The ID, any number.
    pub id: u16,
    /// The opcode, 0-15.
    pub opcode: u8,
    /// The RD flag.
    pub recursion_desired: bool,
    /// The question section byte for byte; empty unless it is one well-formed question.
    pub question: &'p [u8],
    /// What the OPT record said, if there was one that could be found.
    pub edns: Option<Edns>,
}

/// A question to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'p> {
    /// What the reply's header, question and OPT take from it.
    pub head: Head<'p>,
    /// The name asked for, in lower case.
    pub name: Name,
    /// The type asked for, any number.
    pub rtype: u16,
}

/// Reads one packet.
///
/// The first row that fits decides:
///
/// | packet | result |
/// |---|---|
/// | under 12 bytes, or QR=1 | silence |
/// | opcode other than QUERY | NOTIMP |
/// | broken anywhere, or QDCOUNT over 1 | FORMERR |
/// | QDCOUNT 0 | [`Parsed::Cookie`] with a cookie, else FORMERR |
/// | EDNS version over 0 | BADVERS |
/// | class CH | [`Parsed::Chaos`] |
/// | class other than IN and ANY; type AXFR or IXFR | REFUSED |
/// | else | [`Parsed::Query`] |
///
/// Other flags (AA, TC, RA, Z, AD, CD), records besides OPT and trailing bytes are ignored.
#[must_use]
pub fn parse(packet: &[u8]) -> Parsed<'_> {
    let Some(header) = packet.first_chunk::<HEADER>() else { return Parsed::Silence };
    if header[2] & QR != 0 {
        return Parsed::Silence;
    }
    let mut head = Head {
        id: u16::from_be_bytes([header[0], header[1]]),
        opcode: header[2] >> 3 & 0x0f,
        recursion_desired: header[2] & RD != 0,
        question: &[],
        edns: None,
    };
    let body = read_body(packet, header, &mut head);
    if head.opcode != 0 {
        return Parsed::Error(head, Rcode::NotImp);
    }
    let Some(Body { question, edns_version }) = body else {
        return Parsed::Error(head, Rcode::FormErr);
    };
    let Some(question) = question else {
        return match head.edns.and_then(|edns| edns.cookie) {
            Some(cookie) if header[4..6] == [0, 0] => Parsed::Cookie(head, cookie),
            Some(_) | None => Parsed::Error(head, Rcode::FormErr),
        };
    };
    if edns_version > 0 {
        return Parsed::Error(head, Rcode::BadVers);
    }
    let query = Query { head, name: question.name.folded(), rtype: question.rtype };
    match (question.class, question.rtype) {
        (CLASS_CH, _) => Parsed::Chaos(query),
        (_, rtype::AXFR | rtype::IXFR) => Parsed::Error(head, Rcode::Refused),
        (CLASS_IN | CLASS_ANY, _) => Parsed::Query(query),
        _ => Parsed::Error(head, Rcode::Refused),
    }
}

struct Body {
    /// The question when there was exactly one.
    question: Option<Question>,
    edns_version: u8,
}

struct Question {
    name: Name,
    rtype: u16,
    class: u16,
}

/// Reads the sections. What was understood before an error is left in `head`, for the reply.
fn read_body<'p>(packet: &'p [u8], header: &[u8; HEADER], head: &mut Head<'p>) -> Option<Body> {
    let [questions, answers, authorities, additionals] =
        [4, 6, 8, 10].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    let records = u32::from(answers) + u32::from(authorities) + u32::from(additionals);
    if u32::from(questions) + records > MAX_ENTRIES {
        return None;
    }
    let mut at = HEADER;
    let mut question = None;
    for _ in 0..questions {
        let read = read_question(packet.get(at..)?)?;
        at += read.name.wire().len() + FIXED_QUESTION;
        question = Some(read);
    }
    if questions == 1 {
        head.question = &packet[HEADER..at];
    } else {
        question = None;
    }

    let mut edns_version = 0;
    for index in 0..records {
        let record = Record::read(packet, at)?;
        at = record.end;
        if record.rtype != rtype::OPT {
            continue;
        }
        let additional = index >= records - u32::from(additionals);
        // RFC 6891 section 6.1.1: one OPT, in the additional section, owned by the root.
        if !additional || !record.root || head.edns.is_some() {
            return None;
        }
        edns_version = record.ttl.to_be_bytes()[1];
        let edns = head.edns.insert(Edns::new(record.class, record.ttl));
        // Options of a version that we do not know are not looked at.
        if edns_version == 0 {
            edns::read_options(record.data, edns)?;
        }
    }
    Some(Body { question, edns_version })
}

fn read_question(bytes: &[u8]) -> Option<Question> {
    // A pointer in the question could only point into the header, so it is refused here.
    let name = Name::read(bytes)?;
    let [t1, t2, c1, c2] = *bytes[name.wire().len()..].first_chunk::<FIXED_QUESTION>()?;
    let [rtype, class] = [[t1, t2], [c1, c2]].map(u16::from_be_bytes);
    Some(Question { name, rtype, class })
}

struct Record<'p> {
    /// Whether the owner is the root, written out.
    root: bool,
    rtype: u16,
    class: u16,
    ttl: u32,
    data: &'p [u8],
    /// Where the next record begins.
    end: usize,
}

impl<'p> Record<'p> {
    fn read(packet: &'p [u8], at: usize) -> Option<Self> {
        let (&[t1, t2, c1, c2, ttl @ .., l1, l2], rest) =
            packet.get(end_in(packet, at)?..)?.split_first_chunk::<FIXED_RECORD>()?;
        let (data, rest) = rest.split_at_checked(u16::from_be_bytes([l1, l2]).into())?;
        Some(Self {
            root: packet[at] == 0,
            rtype: u16::from_be_bytes([t1, t2]),
            class: u16::from_be_bytes([c1, c2]),
            ttl: u32::from_be_bytes(ttl),
            data,
            end: packet.len() - rest.len(),
        })
    }
}

const HEADER: usize = 12;
const FIXED_QUESTION: usize = 4;
/// Type, class, TTL and length of data.
const FIXED_RECORD: usize = 10;
const QR: u8 = 0x80;
const RD: u8 = 0x01;
const CLASS_IN: u16 = 1;
const CLASS_CH: u16 = 3;
const CLASS_ANY: u16 = 255;

/// No honest query has more questions and records than this; one that claims more costs nothing.
const MAX_ENTRIES: u32 = 32;

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;
    use proptest::prelude::*;

    use super::*;
    use crate::dns::fixture::QueryBytes;

    fn query() -> QueryBytes {
        QueryBytes::new("wEb.Service.local.", rtype::A)
    }

    fn outcome(packet: &[u8]) -> String {
        match parse(packet) {
            Parsed::Silence => "silence".to_owned(),
            Parsed::Error(head, rcode) => {
                let question = if head.question.is_empty() { "" } else { " question" };
                let opt = if head.edns.is_some() { " opt" } else { "" };
                format!("{}{question}{opt}", rcode.as_str())
            }
            Parsed::Cookie(_, cookie) => format!("cookie {:?}", cookie.client[0]),
            Parsed::Chaos(query) => format!("chaos {} {}", query.name, query.rtype),
            Parsed::Query(query) => format!("{} {}", query.name, query.rtype),
        }
    }

    #[test]
    fn a_query_is_read_whole() {
        let packet = query().flags(0x01, 0).opt(1400, 0x8000, &[0, 3, 0, 0]).bytes();

        let expected = Query {
            head: Head {
                id: 0x1234,
                opcode: 0,
                recursion_desired: true,
                question: b"\x03wEb\x07Service\x05local\x00\x00\x01\x00\x01",
                edns: Some(Edns { nsid: true, ..Edns::new(1400, 0x8000) }),
            },
            name: Name::from_text("web.service.local.", None).unwrap(),
            rtype: rtype::A,
        };
        assert_eq!(parse(&packet), Parsed::Query(expected));
    }

    #[test]
    fn each_kind_of_packet_has_its_outcome() {
        let opt = |packet: QueryBytes| packet.opt(1232, 0, &[]);
        let good = "web.service.local. 1";
        let table = [
            (vec![], "silence"),
            (query().bytes()[..11].to_vec(), "silence"),
            (query().flags(0x80, 0).bytes(), "silence"),
            (query().flags(0x80, 0).bytes()[..14].to_vec(), "silence"),
            // Opcodes.
            (query().flags(0x28, 0).bytes(), "NOTIMP question"),
            (opt(query().flags(0x78, 0)).bytes(), "NOTIMP question opt"),
            (QueryBytes::empty().flags(0x10, 0).bytes(), "NOTIMP"),
            (query().flags(0x20, 0).bytes()[..15].to_vec(), "NOTIMP"),
            // The number of questions.
            (QueryBytes::empty().bytes(), "FORMERR"),
            (opt(QueryBytes::empty()).bytes(), "FORMERR opt"),
            (query().counts([2, 0, 0, 0]).bytes(), "FORMERR"),
            (query().counts([0xffff; 4]).bytes(), "FORMERR"),
            // Flags that a query should not set.
            (query().flags(0x07, 0xf0).bytes(), good),
            // Trailing bytes, and records that nobody needs.
            (query().trailing(&[1, 2, 3]).bytes(), good),
            (query().counts([1, 1, 0, 0]).trailing(A_RECORD).bytes(), good),
            (query().counts([1, 0, 0, 1]).trailing(A_RECORD).bytes(), good),
            (query().counts([1, 0, 0, 2]).trailing(A_RECORD).bytes(), "FORMERR question"),
            // Names.
            (query().bytes()[..20].to_vec(), "FORMERR"),
            (QueryBytes::raw(b"\xc0\x0c\x00\x01\x00\x01").bytes(), "FORMERR"),
            (QueryBytes::raw(b"\xc0\x04\x00\x01\x00\x01").bytes(), "FORMERR"),
            (QueryBytes::raw(b"\x40a\x00\x00\x01\x00\x01").bytes(), "FORMERR"),
            (QueryBytes::raw(b"\x01a\x00\x00\x01\x00").bytes(), "FORMERR"),
            (QueryBytes::raw(b"\x03\x00.\xff\x00\x00\x01\x00\x01").bytes(), "\\000\\.\\255. 1"),
            // Classes and types.
            (query().class(255).bytes(), good),
            (query().class(3).bytes(), "chaos web.service.local. 1"),
            (query().class(0).bytes(), "REFUSED question"),
            (opt(query().class(254)).bytes(), "REFUSED question opt"),
            (QueryBytes::new("x.", rtype::AXFR).bytes(), "REFUSED question"),
            (QueryBytes::new("x.", rtype::IXFR).bytes(), "REFUSED question"),
            (QueryBytes::new("x.", rtype::ANY).bytes(), "x. 255"),
            (QueryBytes::new(".", 65535).bytes(), ". 65535"),
            // EDNS.
            (opt(query()).bytes(), good),
            (query().opt(0, 0, &[0, 99, 0, 1, 7]).bytes(), good),
            // Cookies.
            (query().opt(0, 0, COOKIE).bytes(), good),
            (query().opt(0, 0, &COOKIE[..11]).bytes(), "FORMERR question opt"),
            (query().opt(0, 0, &[0, 10, 0, 1, 7]).bytes(), "FORMERR question opt"),
            (QueryBytes::empty().opt(0, 0, COOKIE).bytes(), "cookie 7"),
            (QueryBytes::empty().opt(0, 0x0001_0000, COOKIE).bytes(), "FORMERR opt"),
            (QueryBytes::empty().opt(0, 0, COOKIE).flags(0x20, 0).bytes(), "NOTIMP opt"),
            (QueryBytes::empty().opt(0, 0, &[0, 10, 0, 0]).bytes(), "FORMERR opt"),
            (query().opt(0, 0, COOKIE).counts([2, 0, 0, 1]).bytes(), "FORMERR"),
            (query().opt(512, 0x0001_0000, &[]).bytes(), "BADVERS question opt"),
            (query().opt(512, 0x00ff_0000, &[1]).bytes(), "BADVERS question opt"),
            (query().opt(512, 0xff00_7fff, &[]).bytes(), good),
            (opt(opt(query())).bytes(), "FORMERR question opt"),
            (opt(query()).counts([1, 1, 0, 0]).bytes(), "FORMERR question"),
            (opt(query()).counts([1, 0, 1, 0]).bytes(), "FORMERR question"),
            (query().opt(512, 0, &[0, 3, 0]).bytes(), "FORMERR question opt"),
            (query().opt(512, 0, &[0, 8, 0, 5, 0, 9, 8, 0, 1]).bytes(), "FORMERR question opt"),
            (query().opt(512, 0, &[0, 8, 0, 4, 0, 0, 0, 0]).bytes(), good),
            (query().counts([1, 0, 0, 1]).trailing(NON_ROOT_OPT).bytes(), "FORMERR question"),
            (query().counts([1, 0, 0, 1]).trailing(OVERLONG_OPT).bytes(), "FORMERR question"),
            (query().counts([1, 0, 0, 1]).trailing(POINTING_OPT).bytes(), "FORMERR question"),
        ];
        for (packet, expected) in table {
            assert_eq!(outcome(&packet), expected, "{packet:?}");
        }
    }

    /// A query with a record whose data are `hops` pointers, each to the one before, and one that is
    /// owned by the last of them.
    fn chain(hops: usize) -> Vec<u8> {
        let mut packet = query().counts([1, 2, 0, 0]).bytes();
        let root = packet.len() - 5;
        let length = u16::try_from(2 * hops).unwrap().to_be_bytes();
        packet.extend([&[0, 0, 1, 0, 1, 0, 0, 0, 5][..], &length].concat());
        let mut target = root;
        for _ in 0..=hops {
            let pointer = 0xc000 | u16::try_from(target).unwrap();
            target = packet.len();
            packet.extend(pointer.to_be_bytes());
        }
        packet.extend(&A_RECORD[2..]);
        packet
    }

    #[test]
    fn pointers_are_followed_as_far_as_a_name_can_go() {
        for (hops, expected) in [
            (0, "web.service.local. 1"),
            (100, "web.service.local. 1"),
            (300, "FORMERR question"),
            (8_000, "FORMERR question"),
        ] {
            assert_eq!(outcome(&chain(hops)), expected, "{hops} hops");
        }
    }

    #[test]
    fn an_owner_that_is_no_name_is_refused() {
        let here = u8::try_from(query().bytes().len()).unwrap();
        for (owner, expected) in [
            (&[0xc0, 12][..], "web.service.local. 1"),
            (&[1, b'a', 0xc0, 16], "web.service.local. 1"),
            // To itself, into itself, ahead, cut short, and other kinds of labels.
            (&[0xc0, here], "FORMERR question"),
            (&[1, b'a', 0xc0, here], "FORMERR question"),
            (&[0xc0, here + 2], "FORMERR question"),
            (&[0xff, 0xff], "FORMERR question"),
            (&[0xc0], "FORMERR question"),
            (&[0x40, 0], "FORMERR question"),
            (&[0x80, 0], "FORMERR question"),
            // 256 bytes with what it points to.
            (&[&[[63; 64]; 3].concat()[..], &[46; 47], &[0xc0, 12]].concat(), "FORMERR question"),
            (
                &[&[[63; 64]; 3].concat()[..], &[43; 44], &[0xc0, 12]].concat(),
                "web.service.local. 1",
            ),
        ] {
            let record = [owner, &A_RECORD[2..]].concat();
            let packet = query().counts([1, 0, 0, 1]).trailing(&record).bytes();
            assert_eq!(outcome(&packet), expected, "{owner:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn random_bytes_never_panic(packet in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&packet);
        }

        #[test]
        fn damaged_queries_never_panic_and_agree_with_hickory(
            mut packet in any_query(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            for (index, byte) in damage {
                let at = index.index(packet.len());
                packet[at] = byte;
            }
            if let Some(cut) = cut {
                packet.truncate(cut.index(packet.len()));
            }

            let parsed = parse(&packet);

            if let (Parsed::Query(query), Ok(message)) = (parsed, Message::from_vec(&packet)) {
                let [question] = &message.queries[..] else { panic!("{message:?}") };
                let labels: Vec<&[u8]> = question.name().iter().collect();
                let name = Name::join(&labels, &[0]).unwrap().folded();
                prop_assert_eq!(query.name, name);
                prop_assert_eq!(query.rtype, u16::from(question.query_type()));
                prop_assert_eq!(query.head.id, message.metadata.id);
                prop_assert_eq!(query.head.edns.is_some(), message.edns.is_some());
            }
            if let (Parsed::Error(head, Rcode::FormErr), Ok(message)) =
                (parsed, Message::from_vec(&packet))
            {
                // What hickory takes and we do not: pointers into the header, too many records,
                // more than one question, and broken options that it drops.
                prop_assert!(
                    message.queries.len() != 1
                        || head.question.is_empty()
                        || message.edns.is_some()
                        || message.all_sections().count() > 31
                );
            }
        }
    }

    fn any_query() -> impl Strategy<Value = Vec<u8>> {
        let edns = prop_oneof![
            Just(None),
            Just(Some(&[][..])),
            Just(Some(&[0, 3, 0, 0, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8][..])),
            Just(Some(&[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2][..])),
        ];
        ("([a-zA-Z0-9_-]{1,63}\\.){0,3}", any::<u16>(), edns).prop_map(|(name, rtype, edns)| {
            let name = if name.is_empty() { ".".to_owned() } else { name };
            let query = QueryBytes::new(&name, rtype);
            match edns {
                Some(options) => query.opt(1232, 0, options),
                None => query,
            }
            .bytes()
        })
    }

    const COOKIE: &[u8] = &[0, 10, 0, 8, 7, 7, 7, 7, 7, 7, 7, 7];
    const A_RECORD: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1];
    const NON_ROOT_OPT: &[u8] = &[1, b'a', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    /// Its owner points to the root of the question.
    const POINTING_OPT: &[u8] = &[0xc0, 30, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    const OVERLONG_OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 9, 0, 3, 0, 0];
}
