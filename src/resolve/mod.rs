//! From a question to an answer: the heart. Pure and without waiting; reads one service's view.
//!
//! It says which records, in which order, with which TTL, and whether the set is meant to be whole.
//! Writing them is the front's matter.

mod answer;
mod chance;
mod explain;
mod locality;
mod name;
mod pooled;
mod resolution;
mod reverse;
mod stages;
mod targets;

use std::net::IpAddr;
use std::time::Duration;

use rand::Rng;

pub use answer::{Answer, Data, Srv};
pub use explain::{Explanation, InstanceExplanation, explain};
pub use name::Listing;
pub use pooled::{Pooled, Records};
pub use resolution::{Resolution, ResolvedInstance, ResolvedRecord};
pub use reverse::pointers;
pub use stages::{Stages, WeightStages};

use crate::balance::hash::{client_hash, client_number, key_hash};
use crate::balance::pool::{Ask, Pool};
use crate::model::{AnswerMode, Balance, Localities, Millis, Network, Protocol, RecordTtl};
use crate::registry::{Family, PortChoice, Selector, ServiceView, Views};
use answer::{address_hash, first_by, mix};
use name::{Choice, Form, Name, Part};
use targets::{https, own_srv, ptr, srv, svcb};

/// A record type that services have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A.
    A,
    /// AAAA.
    Aaaa,
    /// SRV.
    Srv,
    /// TXT.
    Txt,
    /// SVCB.
    Svcb,
    /// HTTPS.
    Https,
    /// PTR.
    Ptr,
    /// Any other: no service has it.
    Other,
}

/// Who asks, and how much they can take.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'l> {
    /// The client: its address, or the network that it says it is in.
    pub client: Network,
    /// What counts as this client: the same or shorter.
    pub prefix: Network,
    /// Which clients are where; `None`: it makes no difference.
    pub localities: Option<&'l Localities>,
    /// How many A records fit the reply.
    pub fit_v4: usize,
    /// How many AAAA records fit the reply.
    pub fit_v6: usize,
    /// Now.
    pub now: Millis,
    /// Only look: move no counter, hand nothing out.
    pub peek: bool,
}

/// What there is to say to a question.
#[derive(Debug)]
pub enum Outcome<A> {
    /// These records.
    Answer(A),
    /// The name exists, but not with this type.
    NoData,
    /// The name does not exist.
    NxDomain,
}

/// Resolves the name made of `labels`, which are lower case and those left of the apex, at least
/// one; calls `write` with what there is to say and the view that it was said of.
pub fn resolve<R>(
    views: &Views,
    labels: &[&[u8]],
    kind: Kind,
    asker: &Asker<'_>,
    rng: &mut impl Rng,
    write: impl FnOnce(Outcome<Answer>, Option<&ServiceView>) -> R,
) -> R {
    match Name::parse(labels) {
        Name::Nothing => write(Outcome::NxDomain, None),
        Name::Branch | Name::Listed(_) => write(Outcome::NoData, None),
        Name::Of(service, part) => views.read(service, |view| match view {
            None => write(Outcome::NxDomain, None),
            Some(view) => write(answer(view, &part, kind, asker, rng), Some(view)),
        }),
    }
}

/// What of the zone as a whole the name made of `labels` lists.
#[must_use]
pub fn listing(labels: &[&[u8]]) -> Option<Listing> {
    match Name::parse(labels) {
        Name::Listed(listing) => Some(listing),
        Name::Of(_, _) | Name::Branch | Name::Nothing => None,
    }
}

/// Whether the name made of `labels` stands for the instances of a service that may be answered.
#[must_use]
pub fn is_pooled(labels: &[&[u8]]) -> bool {
    matches!(Name::parse(labels), Name::Of(_, Part::Pool(_, _)))
}

/// Whether the name made of `labels` exists, with or without data.
#[must_use]
pub fn exists(views: &Views, labels: &[&[u8]]) -> bool {
    match Name::parse(labels) {
        Name::Nothing => false,
        Name::Branch | Name::Listed(_) => true,
        Name::Of(service, part) => views.read(service, |view| {
            view.is_some_and(|view| match part {
                Part::Nothing => false,
                Part::Branch => true,
                Part::Instance(id) => view.instance(id).is_some(),
                Part::Browsed(id, protocol) => browsed(view, id, protocol).is_some(),
                Part::Pool(Choice::Whole, form) => has_form(view, form),
                Part::Pool(_, _) => true,
            })
        }),
    }
}

fn answer(
    view: &ServiceView,
    part: &Part<'_>,
    kind: Kind,
    asker: &Asker<'_>,
    rng: &mut impl Rng,
) -> Outcome<Answer> {
    match part {
        Part::Nothing => Outcome::NxDomain,
        Part::Branch => Outcome::NoData,
        Part::Instance(id) => match view.instance(id) {
            Some((index, _)) => of_instance(view, index, kind, asker.now),
            None => Outcome::NxDomain,
        },
        Part::Browsed(id, protocol) => match (browsed(view, id, *protocol), kind) {
            (None, _) => Outcome::NxDomain,
            (Some(index), Kind::Srv | Kind::Txt) => of_instance(view, index, kind, asker.now),
            (
                Some(_),
                Kind::A | Kind::Aaaa | Kind::Svcb | Kind::Https | Kind::Ptr | Kind::Other,
            ) => Outcome::NoData,
        },
        // Below `tag` and `key` any label may stand, also left of a port: those names exist.
        Part::Pool(Choice::Whole, form) if !has_form(view, *form) => Outcome::NxDomain,
        Part::Pool(choice, form) => {
            let answer = match (kind, *form) {
                (Kind::A, Form::Plain) => addresses(view, choice, Family::V4, asker, rng),
                (Kind::Aaaa, Form::Plain) => addresses(view, choice, Family::V6, asker, rng),
                (Kind::Txt, Form::Plain) => texts(view, choice, asker),
                (Kind::Srv, Form::Plain) => srv(view, choice, PortChoice::Main, asker, rng),
                (Kind::Srv, Form::Port(port)) => srv(view, choice, port, asker, rng),
                (Kind::Https, Form::Plain) => https(view, choice, asker, rng),
                (Kind::Svcb, Form::Binding(port)) => svcb(view, choice, port, asker, rng),
                (Kind::Ptr, Form::Port(PortChoice::MainOf(protocol))) => {
                    ptr(view, choice, protocol, asker, rng)
                }
                (Kind::A | Kind::Aaaa | Kind::Txt, Form::Port(_) | Form::Binding(_))
                | (Kind::Srv, Form::Binding(_))
                | (Kind::Svcb, Form::Plain | Form::Port(_))
                | (Kind::Https, Form::Port(_) | Form::Binding(_))
                | (Kind::Ptr, Form::Plain | Form::Port(_) | Form::Binding(_))
                | (Kind::Other, _) => None,
            };
            answer.map_or(Outcome::NoData, Outcome::Answer)
        }
    }
}

/// Where the instance is that browsing for main ports of `protocol` shows as `id`.
fn browsed(view: &ServiceView, id: &str, protocol: Protocol) -> Option<u32> {
    let (index, found) = view.instance(id)?;
    PortChoice::MainOf(protocol).of(&found.instance).map(|_| index)
}

/// Whether a name of this form, left of the service's own, exists: while a registered instance has
/// such a port, usable or not.
fn has_form(view: &ServiceView, form: Form<'_>) -> bool {
    match form {
        Form::Port(PortChoice::Named(name, protocol) | PortChoice::Bound(name, protocol)) => {
            view.has_port(name, protocol)
        }
        Form::Binding(name) => view.port_protocol(name).is_some(),
        Form::Plain | Form::Port(PortChoice::Main | PortChoice::MainOf(_)) => true,
    }
}

/// An instance's own name: there as long as it is registered, whatever its status.
fn of_instance(view: &ServiceView, index: u32, kind: Kind, now: Millis) -> Outcome<Answer> {
    let instance = &view.instances[index as usize].instance;
    let own = |family: Family| {
        let addresses = instance.addresses.iter().map(|address| address.ip());
        Data::Addresses(addresses.filter(|ip| family.has(*ip)).collect())
    };
    let data = match kind {
        Kind::A => own(Family::V4),
        Kind::Aaaa => own(Family::V6),
        Kind::Srv => {
            let port = PortChoice::Main.of(instance);
            Data::Srv(port.map(|port| own_srv(view, index, port)).into_iter().collect())
        }
        Kind::Txt => Data::Txt(vec![index]),
        Kind::Svcb | Kind::Https | Kind::Ptr | Kind::Other => return Outcome::NoData,
    };
    if data.is_empty() {
        return Outcome::NoData;
    }
    let ttl = ttl(view, [index], now);
    Outcome::Answer(Answer { data, ttl, scope: 0, whole: true })
}

fn addresses(
    view: &ServiceView,
    choice: &Choice<'_>,
    family: Family,
    asker: &Asker<'_>,
    rng: &mut impl Rng,
) -> Option<Answer> {
    let selection = view.select(choice.selector());
    let (selection, located) = asker.sees(view, choice, &selection);
    let addresses = view.addresses(selection, family, rng);
    let fit = match family {
        Family::V4 => asker.fit_v4,
        Family::V6 => asker.fit_v6,
    };
    let mode = addresses.pool.mode();
    let ask = asker.ask_of(view, &addresses.pool, fit);
    let mut units = Vec::new();
    match choice {
        Choice::Key(key) => units.extend(view.owner(addresses, key_hash(key), &ask)),
        Choice::Whole | Choice::Tags(_) | Choice::Zone(_)
            if mode == AnswerMode::All && addresses.pool.len() > fit =>
        {
            let hash = |unit| addresses.of(unit).next().map_or(0, address_hash);
            units = asker.cut(addresses.pool.len(), fit, |unit| (0, hash(unit)));
        }
        Choice::Whole | Choice::Tags(_) | Choice::Zone(_) => {
            addresses.pool.pick(&ask, rng, &mut units);
        }
    }
    let keyed = matches!(choice, Choice::Key(_));
    let records: Vec<IpAddr> = units.iter().flat_map(|unit| addresses.of(*unit)).collect();
    if records.is_empty() {
        return None;
    }
    let instances = units.iter().flat_map(|unit| addresses.instances(*unit)).copied();
    Some(Answer {
        ttl: ttl(view, instances, asker.now),
        data: Data::Addresses(records),
        scope: if !keyed && by_client(view, mode) { asker.prefix.length() } else { 0 }.max(located),
        whole: !keyed && mode == AnswerMode::All,
    })
}

/// One TXT record for each distinct set of published pairs among the active instances.
fn texts(view: &ServiceView, choice: &Choice<'_>, asker: &Asker<'_>) -> Option<Answer> {
    let selection = view.select(choice.selector());
    let instances = match choice {
        Choice::Key(key) => {
            let owner = view.owners(&selection).owner(key_hash(key), &asker.ask(usize::MAX, false));
            owner.map(|unit| selection.active()[unit as usize]).into_iter().collect()
        }
        Choice::Whole | Choice::Tags(_) | Choice::Zone(_) => view.texts(&selection).to_vec(),
    };
    if instances.is_empty() {
        return None;
    }
    let ttl = ttl(view, instances.iter().copied(), asker.now);
    Some(Answer { data: Data::Txt(instances), ttl, scope: 0, whole: true })
}

impl Asker<'_> {
    /// `by_client`: whether it makes a difference who asks.
    #[inline]
    fn ask(&self, fit: usize, by_client: bool) -> Ask {
        let client = if by_client { client_hash(self.prefix) } else { 0 };
        Ask { client, now: self.now, fit, peek: self.peek }
    }

    /// A look that moves nothing and has room for everything.
    fn look(&self) -> Ask {
        Ask { peek: true, ..self.ask(usize::MAX, false) }
    }

    /// As [`Asker::ask`], for a pool that may count who asks.
    #[inline(always)]
    fn ask_of(&self, view: &ServiceView, pool: &Pool, fit: usize) -> Ask {
        let by_client = by_client(view, pool.mode());
        let ask = self.ask(fit, by_client);
        // The whole address, not its prefix: two caches of one network are two.
        let counted = pool.counts() && !by_client;
        if counted { Ask { client: client_number(self.client), ..ask } } else { ask }
    }

    /// What is left of a set of `n` units that cannot fit: one more than fits, so that the writer
    /// cuts it and tells. Chosen by client as there, so that no order of all has to be made first.
    fn cut<K: Ord + Copy>(&self, n: usize, fit: usize, key: impl Fn(u32) -> (K, u64)) -> Vec<u32> {
        let client = client_hash(self.prefix);
        let mut units: Vec<u32> = (0..).take(n).collect();
        first_by(&mut units, fit.saturating_add(1), |unit| {
            let (rank, hash) = key(*unit);
            (rank, mix(client, hash))
        });
        units
    }
}

impl Choice<'_> {
    fn selector(&self) -> Selector<'_> {
        match self {
            Self::Whole | Self::Key(_) => Selector::Whole,
            Self::Tags(tags) => Selector::Tags(tags),
            Self::Zone(zone) => Selector::Zone(zone),
        }
    }
}

fn by_client(view: &ServiceView, mode: AnswerMode) -> bool {
    view.settings.balance == Balance::ConsistentHash || mode == AnswerMode::StickySubset
}

/// min(service ttl, shortest remaining lease) in whole seconds, rounded down, at least 1 unless the
/// service's ttl is 0.
#[inline(always)]
fn ttl(view: &ServiceView, instances: impl IntoIterator<Item = u32>, now: Millis) -> u32 {
    let configured = view.settings.ttl;
    if configured == RecordTtl::ZERO {
        0
    } else if view.leases_outlast_records(now) {
        seconds(configured.get())
    } else {
        seconds(shortest(view, instances, now))
    }
}

#[inline(never)]
fn shortest(view: &ServiceView, instances: impl IntoIterator<Item = u32>, now: Millis) -> Duration {
    let leases = instances.into_iter().map(|i| &view.instances[i as usize]);
    // A declared instance whose lease is over is still there; nothing of it runs out.
    let leases = leases.filter(|v| !v.lapsed).filter_map(|v| v.remaining(now));
    leases.fold(view.settings.ttl.get(), Duration::min)
}

fn seconds(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).max(1)
}
