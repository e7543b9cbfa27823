//! The instances that SRV lists for one port, and what their records say.

use std::sync::OnceLock;

use rand::Rng;

use crate::balance::owners::Owners;
use crate::balance::pool::{Member, Pool};
use crate::balance::traffic::Asked;
use crate::balance::weights::srv_weights;
use crate::model::AnswerMode;
use crate::registry::pools::{Stock, member, spec};
use crate::registry::selection::PortChoice;
use crate::registry::view::index;

/// The instances that SRV lists for one port.
#[derive(Debug)]
pub struct Targets {
    /// Orders them; each is a unit of its own.
    pub pool: Pool,
    /// By unit.
    pub targets: Box<[Target]>,
    /// For names with a key, where the pool has none.
    owners: OnceLock<Box<Owners>>,
}

/// One SRV record without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The instance.
    pub instance: u32,
    /// The port asked for.
    pub port: u16,
    /// The instance's tier.
    pub tier: u16,
    /// The SRV weight.
    pub weight: u16,
    /// For clients at some locality: a spare, since nearer ones are enough.
    pub far: bool,
}

impl Targets {
    pub(super) fn new(
        stock: Stock<'_>,
        listed: &[u32],
        port: PortChoice<'_>,
        rng: &mut impl Rng,
    ) -> Self {
        let instance = |i: u32| &stock.instances[i as usize].instance;
        let with_port: Vec<(u32, u16)> =
            listed.iter().filter_map(|&i| Some((i, port.of(instance(i))?))).collect();
        let in_force: Vec<u32> =
            with_port.iter().map(|(i, _)| stock.weights[*i as usize]).collect();
        let mut weights = Vec::with_capacity(in_force.len());
        srv_weights(&in_force, stock.settings.srv_weight_max.get(), &mut weights);

        let members = with_port.iter().enumerate();
        let members = members.map(|(unit, (i, _))| member(stock, *i, index(unit))).collect();
        let records = vec![1; with_port.len()];
        let targets = with_port.iter().zip(weights).map(|(&(i, port), weight)| Target {
            instance: i,
            port,
            tier: instance(i).tier.get(),
            weight,
            far: stock.far(i),
        });
        let spec = spec(stock, AnswerMode::All, members, records);
        Self {
            targets: targets.collect(),
            pool: stock.pool(spec, Asked::Other, rng),
            owners: OnceLock::new(),
        }
    }

    pub(super) fn owners(&self, stock: Stock<'_>) -> &Owners {
        self.pool.owners().unwrap_or_else(|| {
            self.owners.get_or_init(|| {
                let units = (0..).zip(&self.targets);
                let members: Vec<Member<'_>> =
                    units.map(|(unit, target)| member(stock, target.instance, unit)).collect();
                stock.owners(&members, members.len(), Asked::Other)
            })
        })
    }
}
