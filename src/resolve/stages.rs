//! How far an instance got on its way into an answer, stage by stage, and what became of its weight.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Millis;
use crate::registry::ServiceView;

/// What each stage made of one instance.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Stages {
    /// Whether its lease is alive.
    pub lease: bool,
    /// What is left of the lease, in milliseconds; `None` without one.
    #[schema(required)]
    pub expires_in_ms: Option<u64>,
    /// What it says of itself, or "suspect" where its lease ended with too many others.
    pub status: &'static str,
    /// Whether it may be answered by lease, operator and health. A panic does not change this.
    pub usable: bool,
    /// Why it may not; empty when it may.
    pub health: Vec<&'static str>,
    /// Whether it may be answered in spite of health, or not at all, since the service is in panic.
    pub panic: bool,
    /// Its tier.
    pub tier: u16,
    /// Whether that is the tier that is answered.
    pub active: bool,
    /// Its weight, transform by transform.
    pub weight: WeightStages,
    /// The chance of being the first record of an answer to this client, 0-1; `None` where the
    /// records have no order that means anything. Of a random set with the same odds every time:
    /// what this very answer holds does not move it, but for what goes by client.
    #[schema(required)]
    pub chance: Option<f64>,
    /// How long ago one of its addresses was last the first of an answer, in milliseconds; `None`
    /// when that is not known any more.
    #[schema(required)]
    pub last_handed_out_ms: Option<u64>,
}

/// A weight after each transform. Only the ratios of a service count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct WeightStages {
    /// As registered.
    #[serde(rename = "static")]
    pub fixed: u16,
    /// What the algorithm makes of it: of load where that is reported, and 1 for each in turn.
    pub balance: u32,
    /// After slow start.
    pub slow_start: u32,
    /// After locality: the weight in force for this client.
    pub locality: u32,
}

impl Stages {
    /// Of the instance at `index` of `view`; `in_force` is its weight for this client.
    pub(super) fn new(
        view: &ServiceView,
        index: u32,
        active: bool,
        in_force: u32,
        chance: Option<f64>,
        now: Millis,
    ) -> Self {
        let own = &view.instances[index as usize];
        let weighing = view.weighing(index);
        Self {
            lease: !own.lapsed,
            expires_in_ms: own.remaining(now).map(millis),
            status: own.suspect().map_or(own.instance.status.as_str(), |_| "suspect"),
            usable: own.usable(),
            health: own.reasons(),
            panic: view.panic.is_some() && view.answers(index) != own.usable(),
            tier: own.instance.tier.get(),
            active,
            weight: WeightStages {
                fixed: weighing.fixed,
                balance: weighing.balanced,
                slow_start: weighing.in_force,
                locality: in_force,
            },
            chance,
            last_handed_out_ms: None,
        }
    }

    /// Adds when it was last handed out.
    pub fn handed_out(&mut self, ago: Option<Duration>) {
        self.last_handed_out_ms = ago.map(millis);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
