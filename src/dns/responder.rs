//! Lays out the reply to one question of class IN.
//!
//! Decides which zone the name belongs to and what of it is static; asks `resolve` for the rest.

use std::net::IpAddr;
use std::ops::ControlFlow;

use rand::rngs::SmallRng;

use crate::dns::authority::{Authority, STATIC_TTL, push_address};
use crate::dns::edns::ClientSubnet;
use crate::dns::listing;
use crate::dns::name::{self, MAX_LABELS, Name, relative_labels};
use crate::dns::query::Query;
use crate::dns::rcode::Rcode;
use crate::dns::reply::{Reply, Section};
use crate::dns::rtype;
use crate::dns::served::Served;
use crate::dns::transport::Peer;
use crate::dns::writer::{AnswerWriter, V4_RECORD, V6_RECORD};
use crate::dns::zones::{self, End as ZoneEnd, Found as ZoneFound, ServerZone, Zone};
use crate::model::{Millis, Network};
use crate::registry::{ServiceView, Views};
use crate::resolve::{Answer, Asker, Kind, Listing, Outcome, exists, is_pooled, listing, resolve};

/// Is told how an answer came about. Queries have nobody to tell.
pub(super) trait Witness {
    /// Whether this is only a look: no counter moves, nothing is handed out.
    const PEEKS: bool;

    /// What was found for the labels left of the apex, less what the reply had no room for.
    fn found(
        &mut self,
        view: &ServiceView,
        labels: &[&[u8]],
        kind: Kind,
        asker: &Asker<'_>,
        outcome: &Outcome<Answer>,
    );
}

/// The witness of a query: none.
pub(super) struct Quiet;

impl Witness for Quiet {
    const PEEKS: bool = false;
    fn found(&mut self, _: &ServiceView, _: &[&[u8]], _: Kind, _: &Asker<'_>, _: &Outcome<Answer>) {
    }
}

/// Answers one question.
pub(super) struct Responder<'q> {
    views: &'q Views,
    served: &'q Served,
    query: &'q Query<'q>,
    /// The client: its address, or the network that a client subnet says it is in.
    client: Network,
    /// What counts as this client.
    prefix: Network,
    now: Millis,
    rng: &'q mut SmallRng,
    /// Why a service that is known is not in the answer, for people.
    reason: Option<String>,
}

/// How a reply ends.
struct End<'q> {
    rcode: Rcode,
    authoritative: bool,
    /// The zone of ours whose SOA belongs in the authority section.
    negative: Option<&'q Authority>,
}

/// A name below an apex of ours.
#[derive(Clone, Copy)]
struct Asked<'n> {
    /// As it was asked.
    owner: &'n [u8],
    /// Those left of the apex, in lower case.
    labels: &'n [&'n [u8]],
    apex: &'n Name,
}

/// What the registry says of a name.
enum Found {
    Answer,
    NoData,
    NxDomain,
}

impl<'q> Responder<'q> {
    pub(super) fn new(
        views: &'q Views,
        served: &'q Served,
        query: &'q Query<'q>,
        peer: Peer,
        now: Millis,
        rng: &'q mut SmallRng,
    ) -> Self {
        // A client subnet of length 0 asks to be left out of it (RFC 7871 section 7.1.2).
        let subnet = query.head.edns.and_then(|edns| edns.subnet);
        let told = subnet.as_ref().and_then(ClientSubnet::network);
        let (address, length) = told.unwrap_or_else(|| (peer.source.ip(), u8::MAX));
        Self {
            views,
            served,
            query,
            client: Network::of(address, length),
            prefix: served.client(address, length),
            now,
            rng,
            reason: None,
        }
    }

    /// Writes the whole reply.
    pub(super) fn respond(mut self, mut reply: Reply<'_>, witness: &mut impl Witness) -> Rcode {
        let end = self.answer(&mut reply, witness);
        // Without its SOA nobody knows how long the answer holds; TCP has room for it.
        if let Some(authority) = end.negative
            && !self.push_soa(&mut reply, Section::Authority, authority)
        {
            reply.truncate();
        }
        // Last, since records matter more.
        if end.rcode == Rcode::Refused {
            reply.extended_error(EDE_NOT_AUTHORITATIVE, String::new());
        } else if let Some(reason) = self.reason {
            reply.extended_error(EDE_OTHER, reason);
        }
        reply.finish(end.rcode, end.authoritative);
        end.rcode
    }

    /// Answers from the zone closest to the name. An alias may lead on to another name of ours.
    fn answer<W: Witness>(&mut self, reply: &mut Reply<'_>, witness: &mut W) -> End<'q> {
        let served = self.served;
        let mut name = self.query.name;
        let mut told = Vec::new();
        for _ in 0..MAX_RESTARTS {
            let wire = name.folded();
            let sought = self.sought(wire.wire());
            let authority = served.authority(sought);
            let place = authority.is_none().then(|| served.reverse.find(sought)).flatten();
            let apex = authority.map(|a| a.apex.wire()).or_else(|| place.map(|place| place.apex));
            let above = apex.map_or(0, <[u8]>::len);
            let found = if let Some(zone) = served.zones.find(sought, above) {
                zone.lookup(&name, self.query.rtype).map(|found| (zone, found))
            } else if let Some(authority) = authority {
                match self.own_zone(reply, &name, authority, witness) {
                    ControlFlow::Break(end) => return self.spared(end, &name),
                    ControlFlow::Continue(found) => Some(found),
                }
            } else if let Some(place) = place {
                let rtype = self.query.rtype;
                let rcode = served.reverse_reply(reply, &name, place, rtype, self.views, self.now);
                return End { rcode, ..End::answered() };
            } else {
                None
            };
            let Some((zone, mut found)) = found else { return End::refused() };
            // An alias that was told before closes a circle: there is no more to tell.
            let known = |(owner, _): &(Name, _)| told.contains(&owner.folded());
            if let Some(at) = found.aliases.iter().position(known) {
                found.aliases.truncate(at);
                found.end = ZoneEnd::AliasOnly;
            }
            told.extend(found.aliases.iter().map(|(owner, _)| owner.folded()));
            let outcome = zones::write(zone, &found, reply);
            self.push_own_glue(reply, &found);
            if !outcome.unclaimed {
                let end = self.spared(End::of(outcome, &served.home), &found.name);
                // AA speaks for the first owner (RFC 1035 section 4.1.1): an alias of ours.
                return End { authoritative: end.authoritative || !told.is_empty(), ..end };
            }
            name = found.name;
        }
        End::answered()
    }

    /// The end of a reply about `name`, which is not denied when a zone of ours begins below it.
    fn spared(&self, end: End<'q>, name: &Name) -> End<'q> {
        let denied = end.rcode == Rcode::NxDomain;
        if denied && self.served.zones.any_below(name.folded().wire()) {
            return End { rcode: Rcode::NoError, ..end };
        }
        end
    }

    /// The name whose zone answers for `name`. DS of a zone that the zone above it delegates is
    /// that one's, where we have both (RFC 4035 section 3.1.4.1).
    fn sought<'n>(&self, name: &'n [u8]) -> &'n [u8] {
        let Some(parent) = name::parent(name).filter(|_| self.query.rtype == rtype::DS) else {
            return name;
        };
        let authority = self.served.authority(parent);
        let above = authority.map_or(0, |authority| authority.apex.wire().len());
        let statics = || Some(self.statics(authority?)?.zone());
        let zone = self.served.zones.find(parent, above).or_else(statics);
        let delegation = zone.and_then(|zone| zone.node(name)?.set(rtype::NS));
        if delegation.is_some() { parent } else { name }
    }

    /// Static names first, then the registry's, which end it; then what static data has left over:
    /// names between static ones, and wildcards.
    fn own_zone<W: Witness>(
        &mut self,
        reply: &mut Reply<'_>,
        name: &Name,
        authority: &'q Authority,
        witness: &mut W,
    ) -> ControlFlow<End<'q>, (&'q Zone, ZoneFound<'q>)> {
        let rtype = self.query.rtype;
        let statics = self.statics(authority).map(ServerZone::zone);
        if let Some(zone) = statics
            && let Some(found) = zone.lookup_claimed(name, rtype)
            && !(found.aliases.is_empty() && found.end == ZoneEnd::Unclaimed)
        {
            return ControlFlow::Continue((zone, found));
        }
        let end = match self.registry(reply, name, authority, witness) {
            Found::Answer => End::answered(),
            Found::NoData => End::negative(Rcode::NoError, authority),
            Found::NxDomain => {
                if let Some(zone) = statics
                    && let Some(found) =
                        zone.lookup_left_over(name, rtype, |name| self.exists(name))
                {
                    return ControlFlow::Continue((zone, found));
                }
                End::negative(Rcode::NxDomain, authority)
            }
        };
        ControlFlow::Break(end)
    }

    /// What there is besides static records: the apex, this server, and the registry's names.
    fn registry<W: Witness>(
        &mut self,
        reply: &mut Reply<'_>,
        name: &Name,
        authority: &Authority,
        witness: &mut W,
    ) -> Found {
        let folded = name.folded();
        if folded == authority.apex {
            return self.apex(reply, name, authority);
        }
        if folded == authority.own_name {
            return self.own_name(reply, name);
        }
        let mut buffer: [&[u8]; MAX_LABELS] = [&[]; MAX_LABELS];
        let labels = relative_labels(folded.wire(), authority.apex.wire(), &mut buffer);
        let asked = Asked { owner: name.wire(), labels, apex: &authority.apex };
        let rtype = self.query.rtype;
        if [rtype::PTR, rtype::ANY].contains(&rtype)
            && let Some(listing) = listing(labels)
        {
            return self.listing(reply, listing, &asked);
        }
        if rtype != rtype::ANY {
            return self.dynamic(reply, &asked, kind(rtype), witness);
        }
        // RFC 8482: one of the sets that are there is answer enough.
        let mut found = Found::NxDomain;
        for kind in ANY_KINDS {
            found = self.dynamic(reply, &asked, kind, witness);
            if !matches!(found, Found::NoData) {
                break;
            }
        }
        found
    }

    /// Whether `name` of the server's zone, in lower case, exists without static records.
    fn exists(&self, name: &[u8]) -> bool {
        let home = &self.served.home;
        let apex = home.apex.wire();
        let mut buffer: [&[u8]; MAX_LABELS] = [&[]; MAX_LABELS];
        name == apex
            || name == home.own_name.wire()
            || exists(self.views, relative_labels(name, apex, &mut buffer))
    }

    /// The static records among the names of `authority`: aliases have none.
    fn statics(&self, authority: &Authority) -> Option<&'q ServerZone> {
        let home = authority.apex == self.served.home.apex;
        self.served.zones.server().filter(|_| home)
    }

    fn apex(&self, reply: &mut Reply<'_>, name: &Name, authority: &Authority) -> Found {
        match self.query.rtype {
            rtype::SOA | rtype::ANY => {
                self.push_soa(reply, Section::Answer, authority);
            }
            rtype::NS => {
                authority.push_servers(reply, name.wire());
                for server in authority.name_servers.iter().map(|server| server.folded()) {
                    let statics = self.statics(authority);
                    if let Some(zone) = statics.filter(|s| s.static_name(server.wire()).is_some()) {
                        zones::write_host(zone.zone(), &server, reply);
                    } else if server == authority.own_name {
                        authority.push_own_addresses(reply, &self.served.addresses);
                    }
                }
            }
            _ => return Found::NoData,
        }
        Found::Answer
    }

    fn listing(&self, reply: &mut Reply<'_>, listing: Listing, asked: &Asked<'_>) -> Found {
        let (owner, ttl) = (asked.owner, self.served.default_ttl);
        if listing::write(reply, listing, owner, asked.apex, self.views, ttl) {
            Found::Answer
        } else {
            Found::NoData
        }
    }

    /// The addresses of this server where static data names it as a name server without them.
    fn push_own_glue(&self, reply: &mut Reply<'_>, found: &ZoneFound<'_>) {
        let home = &self.served.home;
        let own = home.own_name.wire();
        let names_us = matches!(&found.end, ZoneEnd::Records(set)
            if set.rtype == rtype::NS && set.data.iter().any(|ns| ns.eq_ignore_ascii_case(own)));
        let statics = self.served.zones.server();
        if names_us && statics.is_none_or(|statics| statics.static_name(own).is_none()) {
            home.push_own_addresses(reply, &self.served.addresses);
        }
    }

    fn own_name(&self, reply: &mut Reply<'_>, name: &Name) -> Found {
        let rtype = self.query.rtype;
        let before = reply.count(Section::Answer);
        for address in &self.served.addresses {
            if rtype == address_type(*address) || rtype == rtype::ANY {
                push_address(reply, Section::Answer, name.wire(), STATIC_TTL, *address);
            }
        }
        if reply.count(Section::Answer) == before { Found::NoData } else { Found::Answer }
    }

    fn dynamic<W: Witness>(
        &mut self,
        reply: &mut Reply<'_>,
        asked: &Asked<'_>,
        kind: Kind,
        witness: &mut W,
    ) -> Found {
        let Asked { owner, labels, apex } = *asked;
        let room = reply.room();
        let asker = Asker {
            client: self.client,
            prefix: self.prefix,
            localities: Some(&self.served.localities),
            fit_v4: room / V4_RECORD,
            fit_v6: room / V6_RECORD,
            now: self.now,
            peek: W::PEEKS,
        };
        let client = self.prefix;
        // Without EDNS there is nowhere to say it.
        let tells = self.query.head.edns.is_some();
        let mut reason = None;
        let found = resolve(self.views, labels, kind, &asker, self.rng, |mut outcome, view| {
            if let Some(view) = view {
                if let Outcome::Answer(answer) = &mut outcome {
                    let writer = AnswerWriter { apex, owner, client, view };
                    if writer.can_name(answer) {
                        writer.write(reply, answer);
                    } else {
                        outcome = Outcome::NoData;
                    }
                }
                witness.found(view, labels, kind, &asker, &outcome);
                if tells {
                    reason = remark(view, labels, kind, &outcome);
                }
            }
            match outcome {
                Outcome::Answer(_) => Found::Answer,
                Outcome::NoData => Found::NoData,
                Outcome::NxDomain => Found::NxDomain,
            }
        });
        // ANY asks for several types.
        self.reason = self.reason.take().or(reason);
        found
    }

    fn push_soa(&self, reply: &mut Reply<'_>, section: Section, authority: &Authority) -> bool {
        let serial = self.views.revision().serial();
        let apex = authority.apex.wire();
        authority.push_soa(reply, section, apex, serial, self.served.negative_ttl)
    }
}

impl<'q> End<'q> {
    fn answered() -> Self {
        Self { rcode: Rcode::NoError, authoritative: true, negative: None }
    }

    fn negative(rcode: Rcode, authority: &'q Authority) -> Self {
        Self { rcode, authoritative: true, negative: Some(authority) }
    }

    fn refused() -> Self {
        Self { rcode: Rcode::Refused, authoritative: false, negative: None }
    }

    fn of(outcome: zones::Outcome, home: &'q Authority) -> Self {
        let zones::Outcome { rcode, authoritative, needs_soa, .. } = outcome;
        Self { rcode, authoritative, negative: needs_soa.then_some(home) }
    }
}

/// What people should know of an answer, or of none.
fn remark(
    view: &ServiceView,
    labels: &[&[u8]],
    kind: Kind,
    outcome: &Outcome<Answer>,
) -> Option<String> {
    let panic = || view.panic.as_ref().filter(|_| is_pooled(labels)).map(ToString::to_string);
    // Most services have no data of other types.
    let common = [Kind::A, Kind::Aaaa, Kind::Srv, Kind::Txt, Kind::Svcb].contains(&kind);
    match outcome {
        Outcome::Answer(_) => panic(),
        Outcome::NoData if common => panic().or_else(|| none_usable(view, labels)),
        Outcome::NoData | Outcome::NxDomain => None,
    }
}

/// Why a service has nobody to answer with, where that is the case. An instance's own name is there
/// whatever its status, so that it lacks data for another reason.
fn none_usable(view: &ServiceView, labels: &[&[u8]]) -> Option<String> {
    let instance = match labels {
        [id, _] => str::from_utf8(id).is_ok_and(|id| view.instance(id).is_some()),
        _ => false,
    };
    if instance || view.usable() > 0 {
        return None;
    }
    let counts = view.unusable.iter().map(|(reason, count)| format!("{count} {reason}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    Some(match &counts[..] {
        "" => "no instance".to_owned(),
        counts => format!("no usable instance: {counts}"),
    })
}

fn address_type(address: IpAddr) -> u16 {
    if address.is_ipv4() { rtype::A } else { rtype::AAAA }
}

fn kind(rtype: u16) -> Kind {
    match rtype {
        rtype::A => Kind::A,
        rtype::AAAA => Kind::Aaaa,
        rtype::SRV => Kind::Srv,
        rtype::TXT => Kind::Txt,
        rtype::SVCB => Kind::Svcb,
        rtype::HTTPS => Kind::Https,
        rtype::PTR => Kind::Ptr,
        _ => Kind::Other,
    }
}

/// What ANY looks for, in this order.
const ANY_KINDS: [Kind; 7] =
    [Kind::A, Kind::Aaaa, Kind::Srv, Kind::Txt, Kind::Svcb, Kind::Https, Kind::Ptr];
/// How often a static alias may lead back to the registry and on: a chain of registry names ends at
/// once, so only static aliases count.
const MAX_RESTARTS: usize = 4;
/// RFC 8914: other, which the text says. No code is about the health of what is answered: a stale
/// answer is one that a resolver kept.
const EDE_OTHER: u16 = 0;
/// RFC 8914: not authoritative.
const EDE_NOT_AUTHORITATIVE: u16 = 20;
