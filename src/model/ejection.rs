//! Whether and how instances are ejected for the outcomes that clients report.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::guards::Share;

/// Whether outcomes eject instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ejection {
    /// They do. Where nobody reports any, nothing happens.
    #[default]
    On,
    /// They are only added up.
    Off,
}

/// The largest share of a service's instances that may be ejected at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Share", into = "Share")]
pub struct EjectionMax(Share);

impl EjectionMax {
    /// How many of `candidates`, the instances that were answered if none was ejected, may be
    /// ejected: the share of them, but at least one, and never all.
    ///
    /// | share | candidates | may be ejected |
    /// |---|---|---|
    /// | 0 | any | 0 |
    /// | any | 0 or 1 | 0 |
    /// | over 0 | 2 or more | the share, rounded down, at least 1, at most all but one |
    #[must_use]
    pub fn of(self, candidates: usize) -> usize {
        if self.0.is_off() || candidates < 2 {
            return 0;
        }
        self.0.of(candidates).clamp(1, candidates - 1)
    }
}

impl Default for EjectionMax {
    fn default() -> Self {
        Self(Share::new(0.3).expect("between 0 and 1"))
    }
}

impl From<Share> for EjectionMax {
    fn from(share: Share) -> Self {
        Self(share)
    }
}

impl From<EjectionMax> for Share {
    fn from(max: EjectionMax) -> Self {
        max.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_may_be_ejected_and_never_all() {
        let max = |share: f64| EjectionMax::from(Share::new(share).unwrap());

        let default = [0, 1, 2, 3, 6, 7, 10, 100].map(|n| EjectionMax::default().of(n));
        assert_eq!(default, [0, 0, 1, 1, 1, 2, 3, 30]);
        assert_eq!([2, 3, 10].map(|n| max(1.0).of(n)), [1, 2, 9]);
        assert_eq!([2, 3, 10].map(|n| max(0.0).of(n)), [0, 0, 0]);
    }
}
