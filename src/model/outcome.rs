//! What clients saw of an instance.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::model::name::InstanceId;

/// How requests to an instance ended since the last report of the same client.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with an id and outcomes")]
pub struct Outcome {
    /// The instance.
    pub id: InstanceId,
    /// Requests that it answered well: 0-1000000000.
    #[serde(default, deserialize_with = "count")]
    #[schema(maximum = 1_000_000_000)]
    pub successes: u32,
    /// Requests that it did not: 0-1000000000.
    #[serde(default, deserialize_with = "count")]
    #[schema(maximum = 1_000_000_000)]
    pub failures: u32,
    /// How long a request took on average, in milliseconds, at most a day.
    #[serde(default, deserialize_with = "latency")]
    #[schema(minimum = 0, maximum = 86_400_000)]
    pub latency_ms: Option<f64>,
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(deserializer)?;
    u32::try_from(number).ok().filter(|number| *number <= MOST).ok_or_else(|| {
        D::Error::custom(format_args!("{number} is out of range, 0-{MOST} is allowed"))
    })
}

fn latency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(deserializer)? {
        Some(number) if !(0.0..=DAY).contains(&number) => {
            Err(D::Error::custom(format_args!("{number} is out of range, 0-{DAY} is allowed")))
        }
        legal => Ok(legal),
    }
}

const MOST: u32 = 1_000_000_000;
/// In milliseconds.
const DAY: f64 = 86_400_000.0;
