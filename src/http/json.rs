//! Views as the JSON of the contract.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::{
    CheckKind, Instance, Load, Millis, Rare, Revision, ServiceName, Settings, SettingsPatch, Status,
};
use crate::registry::{Cause, CheckView, InstanceView, ServiceView, Source};

/// A reply with `value` as its body.
pub(crate) fn reply(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("our views have only string keys, and no failures");
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An instance.
#[derive(Serialize)]
pub(crate) struct InstanceJson<'a> {
    #[serde(flatten)]
    instance: Fields<'a>,
    usable: bool,
    reasons: Vec<&'static str>,
    load: Option<Load>,
    expires_in_ms: Option<u64>,
    source: Source,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<CheckJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ejected: Option<EjectedJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspect: Option<SuspectJson>,
}

/// The fields of an instance. That of a suspect one is not what it said itself.
#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    Own(Cow<'a, Instance>),
    Suspect(Map<String, Value>),
}

impl<'a> Fields<'a> {
    fn of(view: &'a InstanceView) -> Self {
        let own = plain(&view.instance);
        if view.suspect().is_none() {
            return Self::Own(own);
        }
        let Ok(Value::Object(mut fields)) = serde_json::to_value(&*own) else {
            return Self::Own(own);
        };
        fields.insert("status".to_owned(), "suspect".into());
        Self::Suspect(fields)
    }
}

/// That its lease ended and it is kept.
#[derive(Serialize, ToSchema)]
#[schema(as = Suspect)]
pub(crate) struct SuspectJson {
    reason: &'static str,
    #[schema(required)]
    ends_in_ms: Option<u64>,
}

/// That it is not answered for what clients report of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Ejected)]
pub(crate) struct EjectedJson {
    cause: Cause,
    ends_in_ms: u64,
}

impl<'a> InstanceJson<'a> {
    /// `view` as it is `now`.
    pub(crate) fn new(view: &'a InstanceView, now: Millis) -> Self {
        Self {
            instance: Fields::of(view),
            usable: view.usable(),
            reasons: view.reasons().into_iter().chain(view.suspect().map(|_| "suspect")).collect(),
            load: view.load(),
            expires_in_ms: expires_in_ms(view, now),
            source: view.source,
            checks: view.checks().iter().map(|check| CheckJson::new(check, now)).collect(),
            ejected: view.observed.as_ref().and_then(|observed| observed.ejected).map(|ejected| {
                EjectedJson { cause: ejected.cause, ends_in_ms: millis(ejected.until.since(now)) }
            }),
            suspect: view.suspect().map(|suspect| SuspectJson {
                reason: suspect.reason(),
                ends_in_ms: expires_in_ms(view, now),
            }),
        }
    }
}

/// `instance` without how it is checked, in place of which its checks are shown.
fn plain(instance: &Instance) -> Cow<'_, Instance> {
    if instance.checks.is_default() {
        return Cow::Borrowed(instance);
    }
    Cow::Owned(Instance { checks: Rare::default(), ..instance.clone() })
}

/// A check and what it says.
#[derive(Serialize, ToSchema)]
#[schema(as = CheckState)]
pub(crate) struct CheckJson<'a> {
    name: &'a str,
    kind: CheckKind,
    state: Status,
    output: Box<str>,
    /// How long it has been in this state.
    since_ms: u64,
    /// How long ago it was done; `None` when it never was.
    #[schema(required)]
    last_ms: Option<u64>,
}

impl<'a> CheckJson<'a> {
    fn new(view: &'a CheckView, now: Millis) -> Self {
        Self {
            name: view.check.name.as_str(),
            kind: view.check.kind(),
            state: view.state,
            output: view.latest.output(),
            since_ms: millis(now.since(view.since)),
            last_ms: view.latest.at().map(|at| millis(now.since(at))),
        }
    }
}

/// A service with everything about it.
#[derive(Serialize, ToSchema)]
#[schema(as = Service)]
pub(crate) struct ServiceJson<'a> {
    revision: Revision,
    service: &'a ServiceName,
    settings: &'a Settings,
    overrides: SettingsPatch,
    /// Only while it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    panic: bool,
    instances: Vec<InstanceJson<'a>>,
}

impl<'a> ServiceJson<'a> {
    /// `view` as it is `now`.
    pub(crate) fn new(view: &'a ServiceView, now: Millis) -> Self {
        Self {
            revision: view.revision,
            service: &view.name,
            settings: &view.settings,
            overrides: view.overrides.as_deref().cloned().unwrap_or_default(),
            panic: view.panic.is_some(),
            instances: view.instances.iter().map(|i| InstanceJson::new(i, now)).collect(),
        }
    }
}

/// A service in the list of all.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceSummary<'a> {
    pub(crate) service: &'a ServiceName,
    revision: Revision,
    instances: usize,
    usable: usize,
    declared: bool,
    /// Only while it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    panic: bool,
    #[serde(skip_serializing_if = "is_zero")]
    ejected: usize,
    #[serde(skip_serializing_if = "is_zero")]
    suspect: usize,
}

impl<'a> ServiceSummary<'a> {
    /// What the list says of `view`.
    pub(crate) fn new(view: &'a ServiceView) -> Self {
        Self {
            service: &view.name,
            revision: view.revision,
            instances: view.instances.len(),
            usable: view.usable(),
            declared: view.declared,
            panic: view.panic.is_some(),
            ejected: view.found.ejected,
            suspect: view.found.suspect,
        }
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What is left of the lease of `view`; `None` when it has none.
pub(crate) fn expires_in_ms(view: &InstanceView, now: Millis) -> Option<u64> {
    view.remaining(now).map(millis)
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time since 1970 as RFC 3339 in UTC with milliseconds: `2026-11-23T01:02:03.456Z`.
pub(crate) fn rfc3339(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin on 1 March have their leap day at the end; 400 of them are 146,097 days.
    let day_of_era = (days + 719_468) % 146_097;
    let era = (days + 719_468) / 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March: 31, 30, 31, 30, 31 days, and again.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    let (second, milli) = (second % 60, since_1970.subsec_millis());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_the_calendar_has_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_795_395_723_456, "2026-11-23T01:02:03.456Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_millis(millis)), text);
        }
    }
}
