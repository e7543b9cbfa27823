//! Replies taken apart, what of them differs, and the account of explained differences.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::queries::Query;
use crate::servers::Who;
use crate::support::message::Message;
use crate::support::outcome::Got;

/// What of two replies is compared, each for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Facet {
    /// Whether there is a reply, or the connection closed.
    Outcome,
    Rcode,
    Opcode,
    /// The flags AA and TC, and the others together.
    Authoritative,
    Truncated,
    OtherFlags,
    /// Whether the question is there, byte by byte.
    Question,
    /// The sections as sets, whatever the case of names.
    Answers,
    Authority,
    Additional,
    /// Whether there is an OPT; then its size, its flags, its options: those that differ for
    /// reasons of their own, and all others.
    Opt,
    Payload,
    EdnsFlags,
    ClientSubnet,
    Expire,
    Cookie,
    Keepalive,
    ExtendedError,
    Options,
}

/// What a server said.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// `reply`, `reply, then closed`, `silence` or `closed`.
    outcome: &'static str,
    /// The question section, as it came.
    question: Vec<u8>,
    /// The reply, if there is one.
    pub(crate) message: Option<Message>,
}

/// A difference, as the explanations see it.
pub(crate) struct Difference<'d> {
    pub(crate) query: &'d Query,
    pub(crate) who: Who,
    pub(crate) facet: Facet,
    /// What signpost said.
    pub(crate) ours: &'d Told,
    /// What the other one said.
    pub(crate) theirs: &'d Told,
}

/// Why some differences are right.
pub(crate) struct Class {
    /// What differs, and who does what.
    pub(crate) what: &'static str,
    /// The reason, with the RFC where one says so.
    pub(crate) why: &'static str,
    /// From whom.
    pub(crate) who: &'static [Who],
    /// In what.
    pub(crate) facets: &'static [Facet],
    /// Whether this is one of them.
    pub(crate) when: fn(&Difference<'_>) -> bool,
}

const FACETS: [Facet; 19] = [
    Facet::Outcome,
    Facet::Rcode,
    Facet::Opcode,
    Facet::Authoritative,
    Facet::Truncated,
    Facet::OtherFlags,
    Facet::Question,
    Facet::Answers,
    Facet::Authority,
    Facet::Additional,
    Facet::Opt,
    Facet::Payload,
    Facet::EdnsFlags,
    Facet::ClientSubnet,
    Facet::Expire,
    Facet::Cookie,
    Facet::Keepalive,
    Facet::ExtendedError,
    Facet::Options,
];

/// Takes a reply apart.
pub(crate) fn told(query: &Query, got: &Got) -> Told {
    let (outcome, bytes) = match got {
        Got::Reply(bytes) => ("reply", bytes.as_slice()),
        Got::Last(bytes) => ("reply, then closed", bytes.as_slice()),
        Got::Silence => ("silence", &[][..]),
        Got::Closed => ("closed", &[][..]),
    };
    let question = match bytes.get(4..6) {
        Some([0, 1]) => &bytes[12..bytes.len().min(12 + query.packet.question().len())],
        _ => &[],
    };
    let message = (!bytes.is_empty()).then(|| Message::parse(bytes));
    Told { outcome, question: question.to_vec(), message }
}

/// What of two replies differs: of a reply that is not there, and of an OPT, nothing else does.
pub(crate) fn differences(ours: &Told, theirs: &Told) -> Vec<Facet> {
    let differs = |facet: &Facet| ours.facet(*facet) != theirs.facet(*facet);
    let all: Vec<Facet> = FACETS.into_iter().filter(differs).collect();
    match &all[..] {
        [Facet::Outcome, ..] if ours.message.is_none() || theirs.message.is_none() => {
            vec![Facet::Outcome]
        }
        all if all.contains(&Facet::Opt) => {
            all.iter().copied().filter(|facet| *facet <= Facet::Opt).collect()
        }
        all => all.to_vec(),
    }
}

impl Told {
    /// One facet as text; empty where there is nothing of it.
    pub(crate) fn facet(&self, facet: Facet) -> String {
        let Some(message) = &self.message else {
            return if facet == Facet::Outcome { self.outcome.to_owned() } else { String::new() };
        };
        let flag = |name: &str| message.flags.split(' ').any(|flag| flag == name).to_string();
        let edns = message.edns.as_ref();
        match facet {
            Facet::Outcome => self.outcome.to_owned(),
            Facet::Rcode => message.rcode.clone(),
            Facet::Opcode => message.opcode.to_string(),
            Facet::Authoritative => flag("aa"),
            Facet::Truncated => flag("tc"),
            Facet::OtherFlags => message.flags.replace(" aa", "").replace(" tc", ""),
            Facet::Question => format!("{:?}", self.question),
            Facet::Answers => set(&message.answers),
            Facet::Authority => set(&message.authority),
            Facet::Additional => set(&message.additional),
            Facet::Opt => edns.is_some().to_string(),
            Facet::Payload => edns.map_or_else(String::new, |edns| edns.payload.to_string()),
            Facet::EdnsFlags => edns.map_or_else(String::new, |edns| edns.flags.to_string()),
            Facet::ClientSubnet => self.options(|code| code == SUBNET),
            Facet::Expire => self.options(|code| code == EXPIRE),
            Facet::Cookie => self.options(|code| code == COOKIE),
            Facet::Keepalive => self.options(|code| code == KEEPALIVE),
            Facet::ExtendedError => self.options(|code| code == ERROR),
            Facet::Options => {
                self.options(|code| ![SUBNET, EXPIRE, COOKIE, KEEPALIVE, ERROR].contains(&code))
            }
        }
    }

    /// Some of the options, in the order of their codes.
    fn options(&self, which: impl Fn(u16) -> bool) -> String {
        let edns = self.message.as_ref().and_then(|message| message.edns.as_ref());
        let options = edns.map_or(&[][..], |edns| &edns.options);
        let options: BTreeSet<_> = options.iter().filter(|(code, _)| which(*code)).collect();
        format!("{options:?}")
    }

    /// Its code; empty where there is no reply.
    pub(crate) fn rcode(&self) -> &str {
        self.message.as_ref().map_or("", |message| &message.rcode)
    }

    /// Whether it says that it is truncated.
    pub(crate) fn truncated(&self) -> bool {
        self.message.as_ref().is_some_and(Message::truncated)
    }

    /// A section, as [`Told::facet`] has it, line by line.
    pub(crate) fn records(&self, section: Facet) -> BTreeSet<String> {
        self.facet(section).lines().map(str::to_owned).collect()
    }
}

const SUBNET: u16 = 8;
const EXPIRE: u16 = 9;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const ERROR: u16 = 15;

fn set(records: &[String]) -> String {
    let set: BTreeSet<String> = records.iter().map(|record| record.to_ascii_lowercase()).collect();
    set.into_iter().collect::<Vec<_>>().join("\n")
}

/// How often each explanation was needed, and what none explains.
pub(crate) struct Report {
    classes: &'static [Class],
    counts: Vec<u32>,
    unexplained: Vec<String>,
}

impl Report {
    pub(crate) fn new(classes: &'static [Class]) -> Self {
        Self { classes, counts: vec![0; classes.len()], unexplained: Vec::new() }
    }

    /// Takes a difference down, under the first explanation that fits.
    pub(crate) fn note(
        &mut self,
        query: &Query,
        who: Who,
        facet: Facet,
        [ours, theirs]: [&Told; 2],
    ) {
        let difference = Difference { query, who, facet, ours, theirs };
        let fits = |class: &Class| {
            class.who.contains(&who) && class.facets.contains(&facet) && (class.when)(&difference)
        };
        match self.classes.iter().position(fits) {
            Some(class) => self.counts[class] += 1,
            None => self.unexplained.push(format!(
                "{facet:?} of {who:?}: {} type {} {}\n  \"{}\" is \"{}\" there\n  \
                 {query:?}\n  ours   {:?}\n  theirs {:?}\n",
                query.name,
                query.rtype,
                query.wrong,
                ours.facet(facet),
                theirs.facet(facet),
                ours.message,
                theirs.message,
            )),
        }
    }

    /// Fails where anything is not explained, or an explanation explains nothing.
    pub(crate) fn finish(self) {
        let mut table = String::new();
        for (class, count) in self.classes.iter().zip(&self.counts) {
            writeln!(table, "{count:6}  {}: {}", class.what, class.why).unwrap();
        }
        let first = self.unexplained.iter().take(5).cloned().collect::<String>();
        let unexplained = self.unexplained.len();
        assert_eq!(unexplained, 0, "not explained:\n{first}\nexplained:\n{table}");
        let stale = self.classes.iter().zip(&self.counts).filter(|(_, count)| **count == 0);
        let stale: Vec<&str> = stale.map(|(class, _)| class.what).collect();
        assert_eq!(stale, [""; 0], "explanations of what does not occur");
    }
}
