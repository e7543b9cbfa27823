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
