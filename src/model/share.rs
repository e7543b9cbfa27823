//! A part of a whole.

use serde::{Deserialize, Serialize, Serializer};

/// A number from 0 to 1. As a setting, 0 is off.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share(f64);

/// Why a number is no share.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0} is out of range, 0-1 is allowed")]
pub struct ShareError(f64);

impl Share {
    /// Nothing of it.
    pub const NONE: Self = Self(0.0);

    /// Checks the range.
    ///
    /// # Errors
    /// When `number` is not within 0-1.
    pub fn new(number: f64) -> Result<Self, ShareError> {
        // Not a number is in no range.
        if (0.0..=1.0).contains(&number) { Ok(Self(number)) } else { Err(ShareError(number)) }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// Whether `part` of `whole` is more than this share; of a share of nothing it never is, since
    /// that is off.
    #[must_use]
    pub fn is_exceeded(self, part: usize, whole: usize) -> bool {
        self != Self::NONE && part as f64 > self.0 * whole as f64
    }
}

impl TryFrom<f64> for Share {
    type Error = ShareError;
    fn try_from(number: f64) -> Result<Self, ShareError> {
        Self::new(number)
    }
}

impl Serialize for Share {
    /// As people write it: 0 and 1 without a point.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::NONE {
            serializer.serialize_u8(0)
        } else if self.0 == 1.0 {
            serializer.serialize_u8(1)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for text in ["0", "0.5", "1"] {
            let share: Share = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&share).unwrap(), text);
        }
        for number in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Share::new(number).is_err(), "{number}");
        }
    }

    #[test]
    fn a_share_of_nothing_is_off() {
        let half = Share::new(0.5).unwrap();

        assert!(!Share::NONE.is_exceeded(10, 10));
        assert!(!half.is_exceeded(5, 10));
        assert!(half.is_exceeded(6, 10));
        assert!(!Share::new(1.0).unwrap().is_exceeded(10, 10));
    }
}
