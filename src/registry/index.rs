//! What readers ask of the registry as a whole and not of one service: which types of service there
//! are, and who has an address that is looked up. Kept up by the publisher with each view, so that no
//! query searches.

use std::collections::HashMap;
use std::net::IpAddr;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use crate::model::{Address, InstanceId, Network, Protocol, ServiceName};
use crate::registry::instance::InstanceView;
use crate::registry::shown::Shown;
use crate::registry::view::ServiceView;
use crate::registry::views::Views;

/// A service, and a protocol that the main port of an instance of it has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceType {
    /// The service.
    pub service: ServiceName,
    /// TCP or UDP: no other is in DNS-SD (RFC 6763 section 7).
    pub protocol: Protocol,
}

/// An instance that has an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its service.
    pub service: ServiceName,
    /// Its id.
    pub id: InstanceId,
}

/// The readers' side.
#[derive(Debug, Default)]
pub(crate) struct Index {
    types: ArcSwap<Box<[ServiceType]>>,
    owners: papaya::HashMap<IpAddr, Owners, RandomState>,
}

/// Nearly always one.
#[derive(Debug)]
enum Owners {
    One(Owner),
    /// Sorted, as many as are shown.
    Many(Box<[Owner]>),
}

impl Index {
    /// Calls `read` with the types of service, sorted, those that are shown.
    pub(crate) fn types<R>(&self, read: impl FnOnce(&[ServiceType]) -> R) -> R {
        read(&self.types.load())
    }

    /// Calls `read` with the instances that have `address`, sorted, those that are shown; none when
    /// nobody has it.
    pub(crate) fn owners<R>(&self, address: IpAddr, read: impl FnOnce(&[Owner]) -> R) -> R {
        let owners = self.owners.pin();
        match owners.get(&address) {
            None => read(&[]),
            Some(Owners::One(owner)) => read(std::slice::from_ref(owner)),
            Some(Owners::Many(owners)) => read(owners),
        }
    }
}

/// The writing side. Only the publisher holds it.
#[derive(Debug, Default)]
pub(crate) struct Indexer {
    types: Shown<ServiceType>,
    /// Where the addresses are that are looked up: of others no owners are kept.
    ranges: Vec<Network>,
    /// Addresses with more owners than are shown.
    crowds: HashMap<IpAddr, Shown<Owner>, RandomState>,
    changes: Vec<(IpAddr, Owner, bool)>,
}

impl Indexer {
    /// From now on keeps owners of the addresses in `ranges`. The only work here that grows with the
    /// registry.
    pub(crate) fn cover(&mut self, views: &Views, ranges: &[Network]) {
        if self.ranges == ranges {
            return;
        }
        let before = std::mem::replace(&mut self.ranges, ranges.to_vec());
        let index = views.index();
        for view in views.all() {
            for own in view.instances.iter() {
                for ip in own.instance.addresses.iter().map(|address| address.ip()) {
                    let has = within(&self.ranges, ip);
                    if has != within(&before, ip) {
                        let id = own.instance.id.clone();
                        self.changes.push((ip, Owner { service: view.name.clone(), id }, has));
                    }
                }
            }
            if self.changes.len() > MOST_CHANGES {
                self.move_owners(index);
            }
        }
        self.move_owners(index);
    }

    /// Takes note that the view of a service changed from `before` to `after`, each `None` when
    /// the service is not known.
    pub(crate) fn note(
        &mut self,
        index: &Index,
        before: Option<&ServiceView>,
        after: Option<&ServiceView>,
    ) {
        let Some(service) = after.or(before).map(|view| &view.name) else { return };
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            // `_dns-sd._udp` stands for other things (RFC 6763 section 9).
            if service.as_str() == "dns-sd" && protocol == Protocol::Udp {
                continue;
            }
            let has = |view: Option<&ServiceView>| view.is_some_and(|v| v.has_main(protocol));
            let of = || ServiceType { service: service.clone(), protocol };
            match (has(before), has(after)) {
                (false, true) => self.types.insert(of()),
                (true, false) => self.types.remove(&of()),
                (true, true) | (false, false) => {}
            }
        }
        if !self.ranges.is_empty() {
            self.note_addresses(service, instances(before), instances(after));
            // A start publishes everything at once.
            if self.changes.len() > MOST_CHANGES {
                self.move_owners(index);
            }
        }
    }

    /// Shows readers what was noted.
    pub(crate) fn publish(&mut self, index: &Index) {
        self.move_owners(index);
        if let Some(types) = self.types.news() {
            index.types.store(types.into());
        }
    }

    /// Both lists are sorted by id, so one walk finds what differs.
    fn note_addresses(
        &mut self,
        service: &ServiceName,
        mut before: &[InstanceView],
        mut after: &[InstanceView],
    ) {
        loop {
            let (old, new) = match (before.split_first(), after.split_first()) {
                (None, None) => return,
                (Some((old, rest)), None) => {
                    before = rest;
                    (Some(old), None)
                }
                (None, Some((new, rest))) => {
                    after = rest;
                    (None, Some(new))
                }
                (Some((old, old_rest)), Some((new, new_rest))) => {
                    let order = old.instance.id.cmp(&new.instance.id);
                    if order.is_le() {
                        before = old_rest;
                    }
                    if order.is_ge() {
                        after = new_rest;
                    }
                    (order.is_le().then_some(old), order.is_ge().then_some(new))
                }
            };
            let (had, has) = (addresses(old), addresses(new));
            let Some(id) = new.or(old).map(|view| &view.instance.id) else { return };
            if had == has {
                continue;
            }
            let owner = || Owner { service: service.clone(), id: id.clone() };
            let gone = had.iter().filter(|ip| !has.contains(ip)).map(|ip| (ip, false));
            let come = has.iter().filter(|ip| !had.contains(ip)).map(|ip| (ip, true));
            let both = gone.chain(come).map(|(address, has)| (address.ip(), has));
            let looked_up = both.filter(|(ip, _)| within(&self.ranges, *ip));
            self.changes.extend(looked_up.map(|(ip, has)| (ip, owner(), has)));
        }
    }

    fn move_owners(&mut self, index: &Index) {
        let mut changes = std::mem::take(&mut self.changes);
        changes.sort_unstable_by_key(|(ip, _, _)| *ip);
        let owners = index.owners.pin();
        for same in changes.chunk_by(|a, b| a.0 == b.0) {
            let address = same[0].0;
            let mut set = self.crowds.remove(&address).unwrap_or_else(|| {
                let known = owners.get(&address).map_or(&[][..], Owners::as_slice);
                known.iter().cloned().collect()
            });
            for (_, owner, has) in same {
                if *has {
                    set.insert(owner.clone());
                } else {
                    set.remove(owner);
                }
            }
            match set.news() {
                Some(shown) if shown.is_empty() => drop(owners.remove(&address)),
                Some(shown) => drop(owners.insert(address, Owners::of(shown))),
                None => {}
            }
            if set.len() > Shown::<Owner>::MOST {
                self.crowds.insert(address, set);
            }
        }
        // Kept for the next change, unless a start has made it large.
        changes.clear();
        changes.shrink_to(64);
        self.changes = changes;
    }
}

impl Owners {
    fn of(owners: Box<[Owner]>) -> Self {
        match <[Owner; 1]>::try_from(owners.into_vec()) {
            Ok([owner]) => Self::One(owner),
            Err(owners) => Self::Many(owners.into()),
        }
    }

    fn as_slice(&self) -> &[Owner] {
        match self {
            Self::One(owner) => std::slice::from_ref(owner),
            Self::Many(owners) => owners,
        }
    }
}

fn instances(view: Option<&ServiceView>) -> &[InstanceView] {
    view.map_or(&[], |view| &view.instances)
}

fn addresses(view: Option<&InstanceView>) -> &[Address] {
    view.map_or(&[], |view| &view.instance.addresses)
}

fn within(ranges: &[Network], ip: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(ip))
}

/// Changes that are gathered before they are made.
const MOST_CHANGES: usize = 65_536;
