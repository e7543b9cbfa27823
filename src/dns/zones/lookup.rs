//! Questions to static data: what a zone says about a name, aliases followed.
//!
//! | the name in the zone | static zone | the server's own zone |
//! |---|---|---|
//! | exists, has the type | records | records |
//! | exists, has another type | no data | no data (apex: unclaimed) |
//! | only names below it have records | no data | unclaimed; left over: no data |
//! | missing, wildcard at the closest encloser | as if it existed | unclaimed; left over: same |
//! | missing | name error | unclaimed; left over: name error |
//! | at or below a delegation | referral | referral |
//!
//! "Unclaimed" is for the registry to answer; "left over" is what the registry does not know.

use crate::dns::name::{Name, suffixes};
use crate::dns::rtype;
use crate::dns::zones::zone::{Node, Place, RecordSet, Zone};

/// What a zone says about a question.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'z> {
    /// The aliases on the way, each with the name it stands at; nearly always none.
    pub aliases: Vec<(Name, &'z RecordSet)>,
    /// The name that `end` is about: the one asked for, or the target of the last alias (with
    /// the letters that the zone file gave it).
    pub name: Name,
    /// Where it ended.
    pub end: End<'z>,
}

/// How a lookup ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End<'z> {
    /// Records of the type; for ANY one set.
    Records(&'z RecordSet),
    /// The name exists, without the type.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// The name belongs to other servers.
    Referral {
        /// The delegated name.
        owner: &'z [u8],
        /// Its name servers.
        servers: &'z RecordSet,
    },
    /// An alias led out of the zone, round in a circle, or on for too long: the aliases are all.
    AliasOnly,
    /// In the server's own zone, and no static record claims it.
    Unclaimed,
}

/// What a node says of itself, before aliases are followed.
enum Step<'z> {
    Node(&'z Node),
    End(End<'z>),
}

impl Zone {
    /// Answers as a zone that is all there is; `None` when the name is not in it.
    #[must_use]
    pub fn lookup(&self, name: &Name, rtype: u16) -> Option<Found<'_>> {
        self.follow(name, rtype, |name| self.step(name, rtype, |_| false))
    }

    /// Answers from the static records of the server's own zone, wildcards aside.
    #[must_use]
    pub fn lookup_claimed(&self, name: &Name, rtype: u16) -> Option<Found<'_>> {
        self.follow(name, rtype, |name| self.claimed(name, rtype))
    }

    /// Answers for a name of the server's own zone that the registry does not know: names between
    /// static ones, and wildcards. `known` says whether the registry knows a name, since no
    /// wildcard reaches below an existing one (RFC 4592 section 2.2.1).
    #[must_use]
    pub fn lookup_left_over(
        &self,
        name: &Name,
        rtype: u16,
        known: impl Fn(&[u8]) -> bool,
    ) -> Option<Found<'_>> {
        let mut first = true;
        self.follow(name, rtype, |name| {
            // The target of a wildcard's alias may be the registry's again.
            if std::mem::take(&mut first) {
                self.step(name, rtype, &known)
            } else {
                self.claimed(name, rtype)
            }
        })
    }

    fn step(&self, name: &Name, rtype: u16, known: impl Fn(&[u8]) -> bool) -> Option<Step<'_>> {
        Some(match self.locate(name.wire(), rtype)? {
            Place::Node(node) => Step::Node(node),
            Place::Cut { owner, servers } => Step::End(End::Referral { owner, servers }),
            Place::Missing { encloser } => {
                let shielded = suffixes(name.wire())
                    .skip(1)
                    .take_while(|ancestor| ancestor.len() > encloser.len())
                    .any(known);
                match self.wildcard(encloser) {
                    Some(node) if !shielded => Step::Node(node),
                    _ => Step::End(End::NxDomain),
                }
            }
        })
    }

    fn claimed(&self, name: &Name, rtype: u16) -> Option<Step<'_>> {
        Some(match self.locate(name.wire(), rtype)? {
            Place::Cut { owner, servers } => Step::End(End::Referral { owner, servers }),
            Place::Node(node) if name.wire() == self.apex() => match node.set(rtype) {
                Some(_) => Step::Node(node),
                None => Step::End(End::Unclaimed),
            },
            Place::Node(node) if !node.sets().is_empty() => Step::Node(node),
            Place::Node(_) | Place::Missing { .. } => Step::End(End::Unclaimed),
        })
    }

    fn follow<'z>(
        &'z self,
        name: &Name,
        rtype: u16,
        mut step: impl FnMut(&Name) -> Option<Step<'z>>,
    ) -> Option<Found<'z>> {
        let mut found = Found { aliases: Vec::new(), name: *name, end: End::AliasOnly };
        loop {
            let node = match step(&found.name.folded()) {
                Some(Step::Node(node)) => node,
                Some(Step::End(end)) => {
                    found.end = end;
                    return Some(found);
                }
                // Out of the zone: no answer of this zone, or no more of it.
                None if found.aliases.is_empty() => return None,
                None => return Some(found),
            };
            if let Some(set) = node.set(rtype) {
                found.end = End::Records(set);
                return Some(found);
            }
            let Some(alias) = node.set(rtype::CNAME) else {
                found.end = End::NoData;
                return Some(found);
            };
            let target = alias.data.first().and_then(|data| Name::read(data));
            found.aliases.push((found.name, alias));
            let seen = |target: &Name| {
                found.aliases.iter().any(|(name, _)| name.folded() == target.folded())
            };
            match target {
                Some(target) if found.aliases.len() < MAX_ALIASES && !seen(&target) => {
                    found.name = target;
                }
                _ => return Some(found),
            }
        }
    }
}

/// How many aliases are followed.
const MAX_ALIASES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name;
    use crate::dns::zones::zone_of;

    fn name(text: &str) -> Name {
        Name::from_text(text, Some(&Name::from_text("z.", None).unwrap())).unwrap()
    }

    /// A lookup as text: the aliases' owners, then the end.
    fn shown(found: Option<Found<'_>>) -> String {
        let Some(found) = found else { return "outside".to_owned() };
        let mut text: String =
            found.aliases.iter().map(|(owner, _)| format!("{owner} -> ")).collect();
        let data = |set: &RecordSet| format!("{} x{}", set.rtype, set.data.len());
        text += &match found.end {
            End::Records(set) => format!("{} {}", found.name, data(set)),
            End::NoData => format!("{} no data", found.name),
            End::NxDomain => format!("{} no name", found.name),
            End::Referral { owner, servers } => {
                format!("{} of {} {}", found.name, name::text(owner), data(servers))
            }
            End::AliasOnly => "end".to_owned(),
            End::Unclaimed => format!("{} unclaimed", found.name),
        };
        text
    }

    const ZONE: &str = "$ORIGIN z.\n$TTL 5\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 10.0.0.1\n\
        one A 10.0.0.1\none A 10.0.0.2\none TXT x\n\
        b.c.deep A 10.0.0.1\n\
        *.w A 10.0.0.1\nhost.w TXT x\na.ent.w A 10.0.0.1\n\
        *.v CNAME one\n\
        c1 CNAME c2\nc2 CNAME one\nout CNAME one.else.\nself CNAME self\n\
        l1 CNAME l2\nl2 CNAME L1\ndangling CNAME none\nMixed CNAME OnE\n\
        sub NS ns.sub\nns.sub A 10.0.0.1\nsub TYPE43 \\# 1 00\n";

    #[test]
    fn a_static_zone_answers_for_all_its_names() {
        let zone = zone_of(ZONE);
        for (asked, rtype, expected) in [
            ("@", rtype::SOA, "z. 6 x1"),
            ("@", rtype::A, "z. no data"),
            ("one", rtype::A, "one.z. 1 x2"),
            ("one", rtype::AAAA, "one.z. no data"),
            ("one", rtype::ANY, "one.z. 1 x2"),
            ("x.one", rtype::A, "x.one.z. no name"),
            ("none", rtype::A, "none.z. no name"),
            ("none", rtype::ANY, "none.z. no name"),
            ("one.", rtype::A, "outside"),
            // Names that are only on the way to others.
            ("deep", rtype::A, "deep.z. no data"),
            ("c.deep", rtype::ANY, "c.deep.z. no data"),
            ("x.deep", rtype::A, "x.deep.z. no name"),
            // Wildcards (RFC 4592 section 2.2.1).
            ("x.w", rtype::A, "x.w.z. 1 x1"),
            ("x.y.w", rtype::A, "x.y.w.z. 1 x1"),
            ("x.w", rtype::TXT, "x.w.z. no data"),
            ("*.w", rtype::A, "*.w.z. 1 x1"),
            ("x.*.w", rtype::A, "x.*.w.z. no name"),
            ("host.w", rtype::A, "host.w.z. no data"),
            ("x.host.w", rtype::A, "x.host.w.z. no name"),
            ("ent.w", rtype::A, "ent.w.z. no data"),
            ("x.ent.w", rtype::A, "x.ent.w.z. no name"),
            ("w", rtype::A, "w.z. no data"),
            ("x.v", rtype::A, "x.v.z. -> one.z. 1 x2"),
            // Aliases.
            ("c1", rtype::A, "c1.z. -> c2.z. -> one.z. 1 x2"),
            ("c1", rtype::CNAME, "c1.z. 5 x1"),
            ("c1", rtype::ANY, "c1.z. 5 x1"),
            ("c1", rtype::MX, "c1.z. -> c2.z. -> one.z. no data"),
            ("out", rtype::A, "out.z. -> end"),
            ("self", rtype::A, "self.z. -> end"),
            ("l1", rtype::A, "l1.z. -> l2.z. -> end"),
            ("dangling", rtype::A, "dangling.z. -> none.z. no name"),
            ("mixed", rtype::A, "mixed.z. -> OnE.z. 1 x2"),
            // Delegations.
            ("sub", rtype::A, "sub.z. of sub.z. 2 x1"),
            ("sub", rtype::NS, "sub.z. of sub.z. 2 x1"),
            ("a.b.sub", rtype::A, "a.b.sub.z. of sub.z. 2 x1"),
            ("ns.sub", rtype::A, "ns.sub.z. of sub.z. 2 x1"),
            ("sub", rtype::DS, "sub.z. 43 x1"),
            ("a.sub", rtype::DS, "a.sub.z. of sub.z. 2 x1"),
        ] {
            assert_eq!(shown(zone.lookup(&name(asked), rtype)), expected, "{asked} {rtype}");
        }
    }

    #[test]
    fn a_long_chain_of_aliases_is_given_up() {
        let links: String = (0..20).map(|i| format!("k{i} CNAME k{}\n", i + 1)).collect();
        let zone = zone_of(&format!("{ZONE}{links}"));

        let found = zone.lookup(&name("k0"), rtype::A).unwrap();

        assert_eq!((found.aliases.len(), found.end), (MAX_ALIASES, End::AliasOnly));
    }

    #[test]
    fn in_the_own_zone_static_names_claim_only_themselves() {
        let zone = zone_of(&ZONE.replace("@ SOA ns h 1 2 3 4 5\n", ""));
        for (asked, rtype, expected) in [
            ("@", rtype::NS, "z. 2 x1"),
            ("@", rtype::SOA, "z. unclaimed"),
            ("@", rtype::A, "z. unclaimed"),
            ("one", rtype::A, "one.z. 1 x2"),
            ("one", rtype::SRV, "one.z. no data"),
            ("x.one", rtype::A, "x.one.z. unclaimed"),
            ("none", rtype::A, "none.z. unclaimed"),
            ("deep", rtype::A, "deep.z. unclaimed"),
            ("x.w", rtype::A, "x.w.z. unclaimed"),
            ("*.w", rtype::A, "*.w.z. 1 x1"),
            ("dangling", rtype::A, "dangling.z. -> none.z. unclaimed"),
            ("x.sub", rtype::A, "x.sub.z. of sub.z. 2 x1"),
            ("one.", rtype::A, "outside"),
        ] {
            assert_eq!(shown(zone.lookup_claimed(&name(asked), rtype)), expected, "{asked}");
        }
    }

    #[test]
    fn wildcards_of_the_own_zone_cover_what_the_registry_does_not_know() {
        let text =
            ZONE.replace("@ SOA ns h 1 2 3 4 5\n", "* A 10.0.0.1\nto CNAME none\n*.u CNAME no\n");
        let zone = zone_of(&text);
        let web = name("web");
        for (asked, rtype, expected) in [
            ("x", rtype::A, "x.z. 1 x1"),
            ("x.y", rtype::A, "x.y.z. 1 x1"),
            ("x", rtype::TXT, "x.z. no data"),
            ("deep", rtype::A, "deep.z. no data"),
            ("x.deep", rtype::A, "x.deep.z. no name"),
            // web is a service, so what is below it exists or does not, whatever the wildcard.
            ("x.web", rtype::A, "x.web.z. no name"),
            ("x.y.web", rtype::A, "x.y.web.z. no name"),
            ("x.w", rtype::A, "x.w.z. 1 x1"),
            ("x.u", rtype::A, "x.u.z. -> no.z. unclaimed"),
        ] {
            let found = zone.lookup_left_over(&name(asked), rtype, |name| name == web.wire());
            assert_eq!(shown(found), expected, "{asked}");
        }
    }
}
