//! The length of a lease.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::duration::DurationText;
use crate::model::instance::SpecError;

/// How long a lease lasts without a heartbeat: 1s-24h, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "DurationText", into = "DurationText")]
pub struct LeaseTtl(NonZeroU32);

impl LeaseTtl {
    /// What a registration gets that names none.
    pub const DEFAULT: Self = Self(NonZeroU32::new(30_000).expect("not zero"));

    /// Checks the range; parts of a millisecond are dropped.
    ///
    /// # Errors
    /// When `duration` is not within 1s-24h.
    pub fn new(duration: Duration) -> Result<Self, SpecError> {
        let legal = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
        let millis = u32::try_from(duration.as_millis()).ok().and_then(NonZeroU32::new);
        millis.filter(|_| legal.contains(&duration)).map(Self).ok_or_else(|| {
            let found = DurationText(duration);
            SpecError::new("ttl", format!("{found} is out of range, 1s-24h is allowed"))
        })
    }

    /// The duration.
    #[must_use]
    pub fn get(self) -> Duration {
        Duration::from_millis(self.0.get().into())
    }
}

impl TryFrom<DurationText> for LeaseTtl {
    type Error = String;
    fn try_from(text: DurationText) -> Result<Self, String> {
        Self::new(text.0).map_err(|error| error.reason)
    }
}

impl From<LeaseTtl> for DurationText {
    fn from(ttl: LeaseTtl) -> Self {
        Self(ttl.get())
    }
}
