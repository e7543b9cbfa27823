//! The questions that come most: addresses of a whole service, and SRV of one of its ports.
//!
//! What there is to say is found first, without moving anything, so that a front can see whether it
//! can write the answer; choosing comes second. Neither allocates. The same names, pools and rules
//! as those of [`resolve`](crate::resolve::resolve), which answers everything else.

use rand::Rng;

use crate::balance::pool::Pool;
use crate::model::Balance;
use crate::registry::{Addresses, Family, Pinned, PortChoice, ServiceView, Targets};
use crate::resolve::name::{Choice, Form, Name, Part};
use crate::resolve::targets::listed;
use crate::resolve::{Asker, Kind, Srv, by_client, ttl};

/// What a whole service has to say to a question, not chosen from yet; at least one record.
#[derive(Debug, Clone, Copy)]
pub struct Pooled<'v> {
    /// The service.
    pub view: &'v ServiceView,
    /// What it has of the type.
    pub records: Records<'v>,
}

/// Records of one type.
#[derive(Debug, Clone, Copy)]
pub enum Records<'v> {
    /// A or AAAA.
    Addresses(Family, &'v Addresses),
    /// SRV.
    Targets(&'v Targets),
}

impl<'v> Pooled<'v> {
    /// Finds the pool that answers for the name made of `labels`, which are lower case and those
    /// left of the apex. `None` when the question is not of this kind, has no records for an
    /// answer, or is the first to ask for its port or from its locality.
    #[must_use]
    #[inline(always)]
    pub fn find(
        views: &'v Pinned<'_>,
        labels: &[&[u8]],
        kind: Kind,
        asker: &Asker<'_>,
    ) -> Option<Self> {
        let (service, form) = match Name::service(labels) {
            Some(service) => (service, Form::Plain),
            None => match Name::parse(labels) {
                Name::Of(service, Part::Pool(Choice::Whole, form)) => (service.as_bytes(), form),
                Name::Of(..) | Name::Listed(_) | Name::Branch | Name::Nothing => return None,
            },
        };
        let view = views.view(service)?;
        let selection = asker.sees_built(view.whole())?;
        let addresses = |family| Some(Records::Addresses(family, selection.built(family)?));
        let targets = |port| Some(Records::Targets(selection.built_targets(port)?));
        let records = match (kind, form) {
            (Kind::A, Form::Plain) => addresses(Family::V4),
            (Kind::Aaaa, Form::Plain) => addresses(Family::V6),
            (Kind::Srv, Form::Plain) => targets(PortChoice::Main),
            (Kind::Srv, Form::Port(port)) => targets(port),
            (Kind::A | Kind::Aaaa, Form::Port(_) | Form::Binding(_))
            | (Kind::Srv, Form::Binding(_))
            | (Kind::Txt | Kind::Svcb | Kind::Https | Kind::Ptr | Kind::Other, _) => None,
        };
        let pooled = Self { view, records: records? };
        (!pooled.pool().is_empty()).then_some(pooled)
    }

    /// Chooses the units of the answer, in its order, into `units`, and says its TTL in seconds.
    /// Takes turns unless `asker` peeks.
    #[inline(always)]
    pub fn choose(&self, asker: &Asker<'_>, rng: &mut impl Rng, units: &mut Vec<u32>) -> u32 {
        match self.records {
            Records::Addresses(family, addresses) => {
                let fit = match family {
                    Family::V4 => asker.fit_v4,
                    Family::V6 => asker.fit_v6,
                };
                let known = addresses.pool.counts() || by_client(self.view, addresses.pool.mode());
                let ask = asker.ask(fit, known);
                addresses.pool.pick(&ask, rng, units);
                let instances = units.iter().flat_map(|unit| addresses.instances(*unit)).copied();
                ttl(self.view, instances, asker.now)
            }
            Records::Targets(targets) => {
                let ranked = self.ranked();
                targets.pool.order(&asker.ask(usize::MAX, ranked), rng, units);
                if ranked {
                    // Rank becomes priority, and no backup may come before the active tier.
                    units.sort_by_key(|unit| targets.targets[*unit as usize].tier);
                }
                let instances = units.iter().map(|unit| targets.targets[*unit as usize].instance);
                ttl(self.view, instances, asker.now)
            }
        }
    }

    /// The SRV record of a unit that came at this place of the order.
    #[must_use]
    pub fn srv(&self, targets: &Targets, place: usize, unit: u32) -> Srv {
        listed(targets.targets[unit as usize], place, self.ranked())
    }

    fn ranked(&self) -> bool {
        self.view.settings.balance == Balance::ConsistentHash
    }

    fn pool(&self) -> &'v Pool {
        match self.records {
            Records::Addresses(_, addresses) => &addresses.pool,
            Records::Targets(targets) => &targets.pool,
        }
    }
}
