//! What an instance says about its own load.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A load report, as heartbeats carry it. Every field is optional, finite and not negative.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, expecting = "an object with load figures")]
pub struct Load {
    /// Open connections or requests in flight.
    #[serde(deserialize_with = "measure", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub connections: Option<f64>,
    /// How many connections it can hold; default: weight x 100.
    #[serde(deserialize_with = "measure", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub capacity: Option<f64>,
    /// Utilisation, 1 = all of it; may exceed 1.
    #[serde(deserialize_with = "measure", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub cpu: Option<f64>,
    /// Completed requests per second.
    #[serde(deserialize_with = "measure", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub qps: Option<f64>,
    /// Failed requests per second.
    #[serde(deserialize_with = "measure", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub eps: Option<f64>,
    /// Latency of a request in milliseconds.
    #[serde(deserialize_with = "measure", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub latency_ms: Option<f64>,
    /// It wants no more clients for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overloaded: Option<bool>,
}

fn measure<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    match number {
        Some(n) if !n.is_finite() || n < 0.0 => {
            Err(serde::de::Error::custom(format_args!("{n} must be finite and not negative")))
        }
        legal => Ok(legal),
    }
}
