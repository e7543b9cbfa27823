//! What lists every instance that has a port: SRV, SVCB, HTTPS, and PTR of DNS-SD.

use rand::Rng;

use crate::balance::hash::{instance_hash, key_hash};
use crate::model::{Balance, Protocol};
use crate::registry::{PortChoice, ServiceView, Target};
use crate::resolve::name::Choice;
use crate::resolve::{Answer, Asker, Data, Srv, ttl};

/// SRV of a port; `None` when no instance of the choice has it.
pub(super) fn srv(
    view: &ServiceView,
    choice: &Choice<'_>,
    port: PortChoice<'_>,
    asker: &Asker<'_>,
    rng: &mut impl Rng,
) -> Option<Answer> {
    list(view, choice, port, asker, rng)?.answer(view, asker, Data::Srv)
}

/// SVCB of the port `name`.
pub(super) fn svcb(
    view: &ServiceView,
    choice: &Choice<'_>,
    name: &str,
    asker: &Asker<'_>,
    rng: &mut impl Rng,
) -> Option<Answer> {
    let port = PortChoice::Bound(name, view.port_protocol(name)?);
    list(view, choice, port, asker, rng)?.bound().answer(view, asker, Data::Svcb)
}

/// HTTPS of the port `https`, over TCP only: the record promises HTTP/1.1 unless it says otherwise
/// (RFC 9460 section 9.5).
pub(super) fn https(
    view: &ServiceView,
    choice: &Choice<'_>,
    asker: &Asker<'_>,
    rng: &mut impl Rng,
) -> Option<Answer> {
    list(view, choice, HTTPS_PORT, asker, rng)?.bound().answer(view, asker, Data::Https)
}

/// PTR to the instances that SRV of the main port lists, in the same order; it takes no turn of
/// that, since browsing is followed by SRV. Who browses wants them all, near or not.
pub(super) fn ptr(
    view: &ServiceView,
    choice: &Choice<'_>,
    protocol: Protocol,
    asker: &Asker<'_>,
    rng: &mut impl Rng,
) -> Option<Answer> {
    let asker = Asker { peek: true, localities: None, ..*asker };
    let mut list = list(view, choice, PortChoice::MainOf(protocol), &asker, rng)?;
    for srv in &mut list.records {
        *srv = own_srv(view, srv.instance, srv.port);
    }
    list.answer(view, &asker, Data::Ptr)
}

/// The SRV record of an instance's own name.
pub(super) fn own_srv(view: &ServiceView, instance: u32, port: u16) -> Srv {
    let priority = view.instances[instance as usize].instance.tier.get();
    Srv { priority, weight: 256, port, instance, far: false }
}

/// Instances with a port, in the algorithm's order.
struct List {
    records: Vec<Srv>,
    /// How many bits of the client's address order, weights and priorities depended on.
    scope: u8,
}

fn list(
    view: &ServiceView,
    choice: &Choice<'_>,
    port: PortChoice<'_>,
    asker: &Asker<'_>,
    rng: &mut impl Rng,
) -> Option<List> {
    let selection = view.select(choice.selector());
    let keyed = matches!(choice, Choice::Key(_));
    let (selection, located) = asker.sees(view, choice, &selection);
    let targets = view.targets(selection, port, rng)?;
    let mut units = Vec::new();
    let ranked = keyed || view.settings.balance == Balance::ConsistentHash;
    let ask = asker.ask(usize::MAX, ranked);
    // No record is smaller than A.
    let fit = asker.fit_v4;
    match choice {
        Choice::Key(key) => view.ranked(targets, key_hash(key), &ask, &mut units),
        Choice::Whole | Choice::Tags(_) | Choice::Zone(_)
            if !ranked && targets.pool.len() > fit =>
        {
            let hash = |unit: u32| {
                let instance = targets.targets[unit as usize].instance;
                instance_hash(view.instances[instance as usize].instance.id.as_str())
            };
            let rank = |unit: u32| {
                let target = targets.targets[unit as usize];
                (target.tier, target.far)
            };
            units = asker.cut(targets.pool.len(), fit, |unit| (rank(unit), hash(unit)));
        }
        Choice::Whole | Choice::Tags(_) | Choice::Zone(_) => {
            targets.pool.order(&ask, rng, &mut units);
        }
    }
    if ranked {
        // Rank becomes priority, and no backup may come before the active tier.
        units.sort_by_key(|unit| targets.targets[*unit as usize].tier);
    }
    let records = units
        .iter()
        .enumerate()
        .map(|(rank, unit)| listed(targets.targets[*unit as usize], rank, ranked));
    let ranked_by = if ranked && !keyed { asker.prefix.length() } else { 0 };
    Some(List { records: records.collect(), scope: located.max(ranked_by) })
}

/// The SRV record of a target that came at this place of the order.
pub(super) fn listed(target: Target, place: usize, ranked: bool) -> Srv {
    // Rank survives every cache as priority, which order does not.
    let rank = u16::try_from(place).unwrap_or(u16::MAX);
    Srv {
        priority: if ranked { rank } else { target.tier },
        weight: target.weight,
        port: target.port,
        instance: target.instance,
        far: target.far && !ranked,
    }
}

impl List {
    /// The same with priorities of SVCB, where 0 is an alias (RFC 9460 section 2.4.1): all move up
    /// by one, and the last two tiers are one. Weights are not told, so that spares of a tier get a
    /// priority of their own behind it.
    fn bound(mut self) -> Self {
        let each = if self.records.iter().any(|record| record.far) { 2 } else { 1 };
        for record in &mut self.records {
            let tier = record.priority.saturating_mul(each).saturating_add(u16::from(record.far));
            record.priority = tier.saturating_add(1);
        }
        self
    }

    fn answer(
        self,
        view: &ServiceView,
        asker: &Asker<'_>,
        data: impl FnOnce(Vec<Srv>) -> Data,
    ) -> Option<Answer> {
        if self.records.is_empty() {
            return None;
        }
        let ttl = ttl(view, self.records.iter().map(|srv| srv.instance), asker.now);
        Some(Answer { data: data(self.records), ttl, scope: self.scope, whole: true })
    }
}

/// The port that HTTPS records are of.
pub(super) const HTTPS_PORT: PortChoice<'static> = PortChoice::Bound("https", Protocol::Tcp);
