//! Numbers with a range of their own.

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::model::schema;

/// Why a number is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is out of range, {min}-{max} is allowed")]
pub struct NumberError {
    found: i64,
    min: u16,
    max: u16,
}

fn ranged(found: i64, min: u16, max: u16) -> Result<u16, NumberError> {
    u16::try_from(found).ok().filter(|n| (min..=max).contains(n)).ok_or(NumberError {
        found,
        min,
        max,
    })
}

macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr, default $default:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "u16")]
        pub struct $name(u16);

        impl $name {
            /// Checks the range.
            ///
            /// # Errors
            /// When `number` is out of range.
            pub fn new(number: i64) -> Result<Self, NumberError> {
                ranged(number, $min, $max).map(Self)
            }

            /// The number.
            #[must_use]
            pub fn get(self) -> u16 {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl TryFrom<i64> for $name {
            type Error = NumberError;
            fn try_from(number: i64) -> Result<Self, NumberError> {
                Self::new(number)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                Schema::from(schema::number($min, $max)).into()
            }
        }

        impl ToSchema for $name {}

        impl From<$name> for u16 {
            fn from(number: $name) -> Self {
                number.0
            }
        }
    };
}

ranged! {
    /// An instance's static weight: how much of the traffic it takes, relative to the others.
    Weight, 1, 65535, default 1
}
ranged! {
    /// A tier: instances of the lowest tier with a usable instance are answered. SRV priority.
    Tier, 0, 65535, default 0
}
ranged! {
    /// A port number.
    PortNumber, 1, 65535, default 1
}
ranged! {
    /// How many records an address answer may hold.
    MaxAnswers, 1, 4096, default 8
}
ranged! {
    /// Over how many of its owners a key goes that is too much for one.
    HotKeyReplicas, 1, 8, default 1
}
ranged! {
    /// The SRV weight that the heaviest instance gets when weights differ.
    SrvWeightMax, 1, 65535, default 65535
}
ranged! {
    /// How many failures in a row eject an instance.
    EjectionFailures, 1, 65535, default 5
}
