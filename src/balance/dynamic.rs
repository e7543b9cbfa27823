//! Dynamic weights of `weighted_round_robin`.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::meter::Meter;
use crate::model::{InstanceId, Millis};

/// The dynamic weights of one service.
#[derive(Debug, Default)]
pub struct Dynamic {}

impl Dynamic {
    /// Nothing known yet: static weights are in force.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The members' new weights, in their order, when they moved by a step and 5 s have passed
    /// since the last publication.
    pub fn update(
        &mut self,
        members: &[(InstanceId, u16, Arc<Meter>)],
        record_ttl: Duration,
        now: Millis,
    ) -> Option<Vec<u32>> {
        let _ = (members, record_ttl, now);
        None
    }

    /// The weight now in force of an instance.
    #[must_use]
    pub fn current(&self, id: &InstanceId, static_weight: u16) -> u32 {
        let _ = id;
        u32::from(static_weight)
    }
}
