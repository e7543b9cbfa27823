//! Why signpost differs from NSD and Knot where it does.

use crate::compare::{Class, Difference, Facet};
use crate::malformed;
use crate::servers::Who;
use crate::support::message::type_number;

const NSD: &[Who] = &[Who::Nsd];
const KNOT: &[Who] = &[Who::Knot];
const BOTH: &[Who] = &[Who::Nsd, Who::Knot];

/// The three sections.
const SECTIONS: &[Facet] = &[Facet::Answers, Facet::Authority, Facet::Additional];

/// For honest queries. The first that fits counts.
pub(crate) const HONEST: &[Class] = &[
    Class {
        what: "signpost refuses transfers whatever the name; NSD and Knot say NOTAUTH where no \
               zone begins, and NOTIMP over UDP",
        why: "it has none to give (RFC 5936 section 2.2.1 leaves the code to policy)",
        who: BOTH,
        facets: &[Facet::Rcode, Facet::ExtendedError, Facet::OtherFlags],
        when: |d| is(d, &["AXFR", "IXFR"]) && d.ours.rcode() == "REFUSED",
    },
    Class {
        what: "Knot has type 0 not implemented",
        why: "RFC 6895 reserves it for SIG(0); a name has no data of it, as NSD says too",
        who: KNOT,
        facets: &[
            Facet::Rcode,
            Facet::Authoritative,
            Facet::Answers,
            Facet::Authority,
            Facet::Additional,
            Facet::ExtendedError,
        ],
        when: |d| d.query.rtype == 0 && d.theirs.rcode() == "NOTIMP",
    },
    Class {
        what: "NSD keeps DO out of a BADVERS reply, and leaves CD and Z in",
        why: "RFC 6891 section 6.1.4 has DO copied; RFC 6895 section 2 has Z zero",
        who: NSD,
        facets: &[Facet::EdnsFlags, Facet::OtherFlags],
        when: |d| d.theirs.rcode() == "BADVERS",
    },
    Class {
        what: "Knot puts NSID into a BADVERS reply",
        why: "options of a version that is not known are not looked at (RFC 6891 section 6.1.3)",
        who: KNOT,
        facets: &[Facet::Options],
        when: |d| d.theirs.rcode() == "BADVERS",
    },
    Class {
        what: "signpost returns the client subnet, with scope 0",
        why: "RFC 7871 section 7.2.1: so that a resolver knows it was understood",
        who: BOTH,
        facets: &[Facet::ClientSubnet],
        when: |d| d.theirs.facet(d.facet) == "{}",
    },
    Class {
        what: "signpost adds its cookie to the client's",
        why: "RFC 7873; NSD and Knot do as well where they are told to",
        who: BOTH,
        facets: &[Facet::Cookie],
        when: |d| d.theirs.facet(d.facet) == "{}",
    },
    Class {
        what: "signpost says over TCP how long it keeps a connection",
        why: "RFC 7828, to who asks",
        who: BOTH,
        facets: &[Facet::Keepalive],
        when: |d| d.query.tcp && d.theirs.facet(d.facet) == "{}",
    },
    Class {
        what: "Knot tells the expire time to who asks",
        why: "RFC 7314 is for secondaries, which signpost does not have",
        who: KNOT,
        facets: &[Facet::Expire],
        when: |d| d.ours.facet(d.facet) == "{}",
    },
    Class {
        what: "signpost cuts a set to what fits; NSD and Knot leave the answer out",
        why: "TC is set by all three; a part helps who ignores it (RFC 2181 section 9)",
        who: BOTH,
        facets: SECTIONS,
        when: |d| {
            d.ours.truncated()
                && d.theirs.truncated()
                && d.theirs.records(d.facet).is_subset(&d.ours.records(d.facet))
        },
    },
    Class {
        what: "signpost cuts a set where its cookie or the client subnet takes the room",
        why: "OPT is part of the size that the client takes (RFC 6891 section 6.2.3)",
        who: BOTH,
        facets: &[Facet::Truncated, Facet::Answers],
        when: |d| {
            let options = [Facet::Cookie, Facet::ClientSubnet].map(|facet| d.ours.facet(facet));
            d.ours.truncated() && !d.theirs.truncated() && options.iter().any(|set| set != "{}")
        },
    },
    Class {
        what: "which part of the glue is given where not all of it fits",
        why: "none has to be preferred: signpost goes by name server, NSD by type",
        who: BOTH,
        facets: &[Facet::Additional],
        when: |d| below(d, "many") && d.ours.truncated(),
    },
    Class {
        what: "NSD sets no TC where glue of a referral is missing",
        why: "RFC 9471 section 3.1: all glue of servers below the cut, or TC",
        who: NSD,
        facets: &[Facet::Truncated],
        when: |d| below(d, "many") && d.ours.truncated(),
    },
    Class {
        what: "ANY: the one set that is given",
        why: "RFC 8482 section 4.1 lets the server choose: signpost and NSD the first, Knot the \
              last",
        who: KNOT,
        facets: &[Facet::Answers, Facet::Additional],
        when: |d| is(d, &["ANY"]),
    },
    Class {
        what: "Knot looks for RRSIG and NSEC beside an alias, NSD for NSEC3; signpost follows it",
        why: "RFC 4034 lets them stand beside a CNAME, but only where a zone is signed",
        who: BOTH,
        facets: &[Facet::Rcode, Facet::Answers, Facet::Authority, Facet::Additional],
        when: |d| {
            let beside: &[&str] = match d.who {
                Who::Nsd => &["TYPE50"],
                Who::Knot => &["RRSIG", "NSEC"],
            };
            is(d, beside) && d.ours.facet(Facet::Answers).contains(" cname ")
        },
    },
    Class {
        what: "how many aliases are followed: signpost 8, Knot 5 or fewer, NSD all",
        why: "RFC 1034 section 5.2.2 asks for a limit; the client goes on by itself",
        who: BOTH,
        facets: SECTIONS,
        when: |d| {
            let aliases =
                |records: usize| d.ours.records(Facet::Answers).len() >= records && long_chain(d);
            match d.who {
                Who::Nsd => aliases(8),
                Who::Knot => aliases(6),
            }
        },
    },
    Class {
        what: "NSD follows an alias from one of its zones into another",
        why: "RFC 1034 section 4.3.2 step 3a; signpost and Knot leave that to the client, who \
              may know better servers (RFC 2181 section 5.4.1)",
        who: NSD,
        facets: SECTIONS,
        when: |d| {
            let answers = d.ours.facet(Facet::Answers);
            let last = ["www.other.example.", "www.diff.example.", "child.diff.example."];
            answers.contains(" cname ") && last.iter().any(|target| answers.contains(target))
        },
    },
    Class {
        what: "signpost gives the addresses of the owner beside HTTPS whose target is the root",
        why: "RFC 9460 section 4.1 has those of the target added, and section 2.5 says whose they \
              are",
        who: KNOT,
        facets: &[Facet::Additional],
        when: |d| is(d, &["HTTPS"]) && d.theirs.facet(Facet::Additional).is_empty(),
    },
    Class {
        what: "Knot gives the addresses of a host that only a wildcard has",
        why: "none has to be given; in the server's own zone it takes the registry to say which \
              names a wildcard covers",
        who: KNOT,
        facets: &[Facet::Additional],
        when: |d| {
            let (ours, theirs) =
                (d.ours.records(Facet::Additional), d.theirs.records(Facet::Additional));
            let mut more = theirs.difference(&ours);
            ours.is_subset(&theirs) && more.all(|record| record.starts_with("any.wild."))
        },
    },
    Class {
        what: "NSD leaves addresses out of what is not a referral",
        why: "its minimal-responses; RFC 1035 section 3.3.9 has them added",
        who: NSD,
        facets: &[Facet::Additional],
        when: |d| d.theirs.facet(Facet::Additional).is_empty() && d.ours.rcode() == "NOERROR",
    },
];

/// For malformed ones, where NSD and Knot agree.
pub(crate) const MALFORMED: &[Class] = &[
    Class {
        what: "signpost says FORMERR to a malformed client subnet or cookie, which the others do \
               not read",
        why: "RFC 7871 section 7.1.2 and RFC 7873 section 5.2.2 have it of who knows the option",
        who: NSD,
        facets: &[
            Facet::Rcode,
            Facet::Authoritative,
            Facet::Answers,
            Facet::Authority,
            Facet::Additional,
        ],
        when: |d| {
            [malformed::SUBNET, malformed::COOKIE].contains(&d.query.wrong)
                && d.ours.rcode() == "FORMERR"
        },
    },
    Class {
        what: "signpost says FORMERR where the others say nothing, or close",
        why: "RFC 9619 section 4 has it for two questions, RFC 1035 section 4.1.1 for what cannot \
              be read; a header that can be is answered, so that the client need not wait",
        who: NSD,
        facets: &[Facet::Outcome],
        when: |d| {
            let unreadable = [malformed::TWO_QUESTIONS, malformed::LABEL, malformed::CUT];
            unreadable.contains(&d.query.wrong) && d.ours.rcode() == "FORMERR"
        },
    },
    Class {
        what: "signpost has an OPT in FORMERR where it has found the client's",
        why: "RFC 6891 section 6.1.1: a reply to a query with OPT has one",
        who: NSD,
        facets: &[Facet::Opt],
        when: |d| d.ours.rcode() == "FORMERR" && d.ours.facet(Facet::Opt) == "true",
    },
];

/// Whether the query is for one of these types.
fn is(difference: &Difference<'_>, types: &[&str]) -> bool {
    types.iter().any(|name| type_number(name) == difference.query.rtype)
}

/// Whether the query is for `NAME.diff.example.` or for a name below.
fn below(difference: &Difference<'_>, name: &str) -> bool {
    let name = format!(".{name}.diff.example.");
    format!(".{}", difference.query.name).ends_with(&name)
}

/// Whether the query is for an alias of the long chain.
fn long_chain(difference: &Difference<'_>) -> bool {
    ["l01", "l04", "l05"].iter().any(|name| below(difference, name))
}
