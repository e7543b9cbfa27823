//! The instances that may be answered and that a selector matches, and what answers for them: a pool a record type,
//! made when the view is built or when it is first asked for.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::OnceLock;

use foldhash::fast::RandomState;
use rand::Rng;

use crate::balance::owners::Owners;
use crate::balance::pool::Member;
use crate::balance::traffic::Asked;
use crate::model::{AnswerMode, Instance, Locality, PortName, Protocol, SrvTiers};
use crate::registry::addresses::{Addresses, Kept};
use crate::registry::instance::InstanceView;
use crate::registry::locality::Outlook;
use crate::registry::pools::{Selector, Stock, member};
use crate::registry::targets::Targets;
use crate::registry::view::index;

/// Which port SRV is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortChoice<'q> {
    /// The main port.
    Main,
    /// The main port where it has this protocol.
    MainOf(Protocol),
    /// The port of this name and protocol.
    Named(&'q str, Protocol),
    /// The same, for service bindings: each record type takes turns of its own.
    Bound(&'q str, Protocol),
}

impl PortChoice<'_> {
    /// The number of that port of `instance`.
    #[must_use]
    pub fn of(self, instance: &Instance) -> Option<u16> {
        let port = match self {
            Self::Main => instance.main_port(),
            Self::MainOf(protocol) => instance.main_port().filter(|p| p.protocol == protocol),
            Self::Named(name, protocol) | Self::Bound(name, protocol) => {
                instance.named_port(name, protocol)
            }
        };
        port.map(|p| p.port.get())
    }
}

/// An address family, and so a record type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A.
    V4,
    /// AAAA.
    V6,
}

impl Family {
    /// What queries for it ask for.
    pub(super) fn asked(self) -> Asked {
        match self {
            Self::V4 => Asked::V4,
            Self::V6 => Asked::V6,
        }
    }

    /// Whether `address` is of it.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// The usable instances that match a selector, and their pools. What most queries need comes first.
#[derive(Debug)]
#[repr(C)]
pub struct Selection {
    outlook: Outlook,
    v4: OnceLock<Kept>,
    v6: OnceLock<Kept>,
    /// Sorted: instances may have very many between them.
    ports: Box<[(PortKey, OnceLock<Box<Targets>>)]>,
    /// Usable, lowest tier first; the first `active` of them are of the active tier.
    usable: Box<[u32]>,
    active: usize,
    owners: OnceLock<Box<Owners>>,
    texts: OnceLock<Box<[u32]>>,
}

/// A port that some instance of the selection has, or the main one; see [`PortChoice`], of which it
/// has the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum PortKey {
    Main,
    MainOf(Protocol),
    Named(PortName, Protocol),
    Bound(PortName, Protocol),
}

impl PortKey {
    fn choice(&self) -> PortChoice<'_> {
        match self {
            Self::Main => PortChoice::Main,
            Self::MainOf(protocol) => PortChoice::MainOf(*protocol),
            Self::Named(name, protocol) => PortChoice::Named(name.as_str(), *protocol),
            Self::Bound(name, protocol) => PortChoice::Bound(name.as_str(), *protocol),
        }
    }
}

impl Selection {
    pub(super) fn new(stock: Stock<'_>, selector: Selector<'_>) -> Self {
        let matches = |view: &InstanceView| match selector {
            Selector::Whole => true,
            Selector::Tags(tags) => tags.iter().all(|tag| view.instance.tags.contains(tag)),
            Selector::Zone(zone) => view.instance.zone() == Some(zone),
        };
        let all = stock.instances.iter().enumerate();
        let answered = all.filter(|(i, v)| stock.answers(*i) && matches(v)).map(|(i, _)| index(i));
        let answered = answered.collect();
        let outlook = match selector {
            Selector::Whole | Selector::Tags(_) => Outlook::new(stock, matches),
            // Who asks for a zone wants that one.
            Selector::Zone(_) => Outlook::Same,
        };
        Self::of(stock, answered, outlook)
    }

    /// One of nobody.
    pub(super) fn none(stock: Stock<'_>) -> Self {
        Self::of(stock, Vec::new(), Outlook::Same)
    }

    fn of(stock: Stock<'_>, mut usable: Vec<u32>, outlook: Outlook) -> Self {
        let tier = |i: &u32| stock.instances[*i as usize].instance.tier;
        usable.sort_by_key(tier);
        let active = usable.partition_point(|i| tier(i) == tier(&usable[0]));
        let mut ports = BTreeSet::from([PortKey::Main]);
        for i in &usable {
            let instance = &stock.instances[*i as usize].instance;
            ports.extend(instance.main_port().map(|port| PortKey::MainOf(port.protocol)));
            for port in &*instance.ports {
                let Some(name) = &port.name else { continue };
                ports.insert(PortKey::Named(name.clone(), port.protocol));
                ports.insert(PortKey::Bound(name.clone(), port.protocol));
            }
        }
        Self {
            usable: usable.into(),
            active,
            v4: OnceLock::new(),
            v6: OnceLock::new(),
            ports: ports.into_iter().map(|key| (key, OnceLock::new())).collect(),
            owners: OnceLock::new(),
            texts: OnceLock::new(),
            outlook,
        }
    }

    /// Whether clients at another locality may have another selection than this one.
    #[must_use]
    #[inline]
    pub fn goes_by_locality(&self) -> bool {
        matches!(self.outlook, Outlook::Elsewhere(_))
    }

    /// The selection of clients at `client`, once somebody there has asked; this one where no
    /// instance is near them.
    #[must_use]
    pub fn built_from(&self, client: &Locality) -> Option<&Self> {
        match &self.outlook {
            Outlook::Same | Outlook::From(_) => Some(self),
            Outlook::Elsewhere(places) => match places.of(client) {
                None => Some(self),
                Some((_, cell)) => cell.get().map(|selection| &**selection),
            },
        }
    }

    pub(super) fn seen_from(&self, stock: Stock<'_>, client: &Locality) -> &Self {
        let Outlook::Elsewhere(places) = &self.outlook else { return self };
        let Some((place, cell)) = places.of(client) else { return self };
        cell.get_or_init(|| {
            let vantage = places.vantage(place.clone()).into();
            Box::new(Self::of(stock, self.usable.to_vec(), Outlook::From(vantage)))
        })
    }

    /// See [`ServiceView::weighed`](crate::registry::ServiceView::weighed).
    pub(super) fn weighed(
        &self,
        stock: Stock<'_>,
        tiers: SrvTiers,
        has: impl Fn(&Instance) -> bool,
    ) -> Option<Vec<(u32, bool)>> {
        let Outlook::From(vantage) = &self.outlook else { return None };
        let weighed = vantage.weigh(stock, self.listed(tiers), stock.settings.answer, has);
        let of = |i| (weighed.weight(i), weighed.far(i));
        Some((0..index(stock.instances.len())).map(of).collect())
    }

    /// Whether no instance matches.
    pub(super) fn is_empty(&self) -> bool {
        self.usable.is_empty()
    }

    /// The usable instances of the active tier.
    #[must_use]
    pub fn active(&self) -> &[u32] {
        &self.usable[..self.active]
    }

    /// The pool that answers A or AAAA.
    pub(crate) fn addresses(
        &self,
        stock: Stock<'_>,
        family: Family,
        rng: &mut impl Rng,
    ) -> &Addresses {
        self.addresses_cell(family).get_or_init(|| {
            let Outlook::From(vantage) = &self.outlook else {
                return Addresses::new(stock, self.active(), family, rng).kept();
            };
            let has = |instance: &Instance| instance.addresses.iter().any(|a| family.has(a.ip()));
            let weighed = vantage.weigh(stock, self.active(), stock.settings.answer, has);
            let near = self.active().iter().copied().filter(|i| !weighed.far(*i));
            let near: Vec<u32> = near.collect();
            Addresses::new(weighed.stock(stock), &near, family, rng).kept()
        })
    }

    /// The pool that answers A or AAAA, once it is built; that of a whole service always is.
    #[must_use]
    pub fn built(&self, family: Family) -> Option<&Addresses> {
        self.addresses_cell(family).get().map(|addresses| &**addresses)
    }

    /// The pool that answers SRV for a port, once somebody asked for it; that of the main port
    /// always is.
    #[must_use]
    pub fn built_targets(&self, port: PortChoice<'_>) -> Option<&Targets> {
        self.targets_cell(port)?.1.get().map(|targets| &**targets)
    }

    /// The pool that answers SRV for a port; `None` when no instance here has it.
    pub(crate) fn targets(
        &self,
        stock: Stock<'_>,
        port: PortChoice<'_>,
        rng: &mut impl Rng,
    ) -> Option<&Targets> {
        let (key, cell) = self.targets_cell(port)?;
        let listed = self.listed(stock.settings.srv_tiers);
        Some(cell.get_or_init(|| {
            let Outlook::From(vantage) = &self.outlook else {
                return Targets::new(stock, listed, key.choice(), rng).into();
            };
            let has = |instance: &Instance| key.choice().of(instance).is_some();
            let weighed = vantage.weigh(stock, listed, AnswerMode::All, has);
            Targets::new(weighed.stock(stock), listed, key.choice(), rng).into()
        }))
    }

    fn listed(&self, tiers: SrvTiers) -> &[u32] {
        match tiers {
            SrvTiers::Active => self.active(),
            SrvTiers::All => &self.usable,
        }
    }

    fn addresses_cell(&self, family: Family) -> &OnceLock<Kept> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn targets_cell(&self, port: PortChoice<'_>) -> Option<&(PortKey, OnceLock<Box<Targets>>)> {
        let found = self.ports.binary_search_by(|(key, _)| key.choice().cmp(&port)).ok()?;
        Some(&self.ports[found])
    }

    /// The pool of the active instances that says who owns a key whatever they have.
    pub(crate) fn owners(&self, stock: Stock<'_>) -> &Owners {
        self.owners.get_or_init(|| {
            let members = (0..).zip(self.active()).map(|(unit, i)| member(stock, *i, unit));
            let members: Vec<Member<'_>> = members.collect();
            stock.owners(&members, self.active, Asked::Other)
        })
    }

    /// The first of the active instances with each distinct set of published pairs.
    pub(crate) fn texts(&self, stock: Stock<'_>) -> &[u32] {
        self.texts.get_or_init(|| {
            let mut seen: HashSet<Vec<(&str, &str)>, RandomState> = HashSet::default();
            let new = |i: &u32| seen.insert(stock.published(*i).collect());
            self.active().iter().copied().filter(new).collect()
        })
    }
}
