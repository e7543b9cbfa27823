//! `[limits]` and `[rate_limit]`: how much of everything there may be.

use std::time::Duration;

use serde::Deserialize;

use crate::config::number::Number;
use crate::config::size::{Size, TotalSize};
use crate::model::{DurationText, Limits, Network, RateLimit};

/// `[limits]`; what is absent keeps the default of [`Limits`].
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    instances: Option<Number<1, MANY>>,
    services: Option<Number<1, MANY>>,
    instances_per_service: Option<Number<1, MANY>>,
    instances_per_identity: Option<Number<1, MANY>>,
    metadata: Option<Size>,
    metadata_total: Option<TotalSize>,
    watchers: Option<Number<1, MANY>>,
    headers: Option<HeadSize>,
    body: Option<Size>,
    bulk_body: Option<Size>,
    bulk_items: Option<Number<1, MANY>>,
    request_time: Option<RequestTime>,
    in_flight: Option<Size>,
    requests_per_address: Option<Number<0, OFTEN>>,
    requests_per_identity: Option<Number<0, OFTEN>>,
    connections: Option<Number<1, MANY>>,
    connections_per_client: Option<Number<1, MANY>>,
    tokens: Option<Number<1, MANY>>,
    allow: Vec<Network>,
}

impl From<LimitsSection> for Limits {
    fn from(section: LimitsSection) -> Self {
        let count = |given: Option<Number<1, MANY>>, default| given.map_or(default, Number::count);
        let size = |given: Option<Size>, default| given.map_or(default, Size::bytes);
        let rate = |given: Option<Number<0, OFTEN>>, default| given.map_or(default, Number::get);
        let default = Self::default();
        Self {
            instances: count(section.instances, default.instances),
            services: count(section.services, default.services),
            instances_per_service: count(
                section.instances_per_service,
                default.instances_per_service,
            ),
            instances_per_identity: count(
                section.instances_per_identity,
                default.instances_per_identity,
            ),
            metadata: size(section.metadata, default.metadata),
            metadata_total: section.metadata_total.map_or(default.metadata_total, TotalSize::bytes),
            watchers: count(section.watchers, default.watchers),
            headers: section.headers.map_or(default.headers, |headers| headers.0),
            body: size(section.body, default.body),
            bulk_body: size(section.bulk_body, default.bulk_body),
            bulk_items: count(section.bulk_items, default.bulk_items),
            request_time: section.request_time.map_or(default.request_time, |time| time.0),
            in_flight: size(section.in_flight, default.in_flight),
            requests_per_address: rate(section.requests_per_address, default.requests_per_address),
            requests_per_identity: rate(
                section.requests_per_identity,
                default.requests_per_identity,
            ),
            connections: count(section.connections, default.connections),
            connections_per_client: count(
                section.connections_per_client,
                default.connections_per_client,
            ),
            tokens: count(section.tokens, default.tokens),
            allow: section.allow,
        }
    }
}

/// `[rate_limit]`; what is absent keeps the default of [`RateLimit`].
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateLimitSection {
    per_address: Option<Number<0, OFTEN>>,
    per_prefix: Option<Number<0, OFTEN>>,
    slip: Option<Number<0, OFTEN>>,
    exempt: Option<Vec<Network>>,
}

impl From<RateLimitSection> for RateLimit {
    fn from(section: RateLimitSection) -> Self {
        let rate = |given: Option<Number<0, OFTEN>>, default| given.map_or(default, Number::get);
        let default = Self::default();
        Self {
            per_address: rate(section.per_address, default.per_address),
            per_prefix: rate(section.per_prefix, default.per_prefix),
            slip: rate(section.slip, default.slip),
            exempt: section.exempt.unwrap_or(default.exempt),
        }
    }
}

/// How large the head of a request may be: no more than is read of one.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "Size")]
struct HeadSize(usize);

impl TryFrom<Size> for HeadSize {
    type Error = String;
    fn try_from(size: Size) -> Result<Self, String> {
        let bytes = Some(size.bytes()).filter(|bytes| *bytes <= 64 << 10);
        bytes.map(Self).ok_or_else(|| "it is out of range, 1KiB-64KiB is allowed".to_owned())
    }
}

/// How long a request may take to arrive.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "DurationText")]
struct RequestTime(Duration);

impl TryFrom<DurationText> for RequestTime {
    type Error = String;
    fn try_from(text: DurationText) -> Result<Self, String> {
        let legal = Duration::from_secs(1)..=Duration::from_secs(600);
        if legal.contains(&text.0) {
            return Ok(Self(text.0));
        }
        Err(format!("{text} is out of range, 1s-10m is allowed"))
    }
}

/// The most that a limit on how many may be; it is at least one.
const MANY: u32 = 1_000_000_000;
/// The most in a second, or one in how many; 0 has a meaning of its own.
const OFTEN: u32 = 1_000_000;
