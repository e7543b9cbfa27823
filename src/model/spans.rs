//! Durations with a range of their own.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::model::duration::DurationText;
use crate::model::schema;

/// Why a duration is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is out of range, {legal} is allowed")]
pub struct SpanError {
    found: DurationText,
    legal: &'static str,
}

macro_rules! span {
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr, $legal:expr, default $default:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "DurationText", into = "DurationText")]
        pub struct $name(Duration);

        impl $name {
            /// Checks the range.
            ///
            /// # Errors
            /// When `duration` is out of range.
            pub fn new(duration: Duration) -> Result<Self, SpanError> {
                let legal = Duration::from_secs($min)..=Duration::from_secs($max);
                if legal.contains(&duration) {
                    Ok(Self(duration))
                } else {
                    Err(SpanError { found: DurationText(duration), legal: $legal })
                }
            }

            /// The duration.
            #[must_use]
            pub fn get(self) -> Duration {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self(Duration::from_secs($default))
            }
        }

        impl TryFrom<DurationText> for $name {
            type Error = SpanError;
            fn try_from(text: DurationText) -> Result<Self, SpanError> {
                Self::new(text.0)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                Schema::from(schema::span($legal)).into()
            }
        }

        impl ToSchema for $name {}

        impl From<$name> for DurationText {
            fn from(span: $name) -> Self {
                Self(span.0)
            }
        }
    };
}

span! {
    /// How long an instance whose lease ended in a mass failure is kept, unless it renews.
    ProtectFor, 1, 86_400, "1s-24h", default 600
}
span! {
    /// How long the first ejection of an instance takes.
    EjectionBase, 1, 3_600, "1s-1h", default 30
}
