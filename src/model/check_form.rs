//! A check as a client or the file gives it: which fields belong to which kind, their defaults, and
//! what they must agree on. The same form is stored and shown.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::address::Address;
use crate::model::check::{Check, CheckKind, CheckPort, Means, Probe, Question};
use crate::model::duration::DurationText;
use crate::model::http_check::{
    CheckMethod, Content, Headers, Host, HttpCheck, RequestPath, StatusCodes,
};
use crate::model::instance::{SpecError, Status};
use crate::model::lease::LeaseTtl;
use crate::model::name::Label;

/// Defines the form from one list of its optional fields, and what knows which of them are given.
macro_rules! form {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// The fields of a check.
        #[derive(Clone, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, expecting = "an object with the fields of a check")]
        pub(super) struct CheckForm {
            kind: CheckKind,
            $($(#[$doc])* #[serde(default, skip_serializing_if = "Option::is_none")]
            $field: Option<$type>,)*
        }

        impl CheckForm {
            fn empty(kind: CheckKind) -> Self {
                Self { kind, $($field: None,)* }
            }

            /// A field that is given and that checks of this kind do not have.
            fn surplus(&self) -> Option<&'static str> {
                let given = [$((stringify!($field), self.$field.is_some()),)*];
                let mut given = given.iter().filter(|(_, given)| *given);
                given.find(|(field, _)| !has(self.kind, field)).map(|(field, _)| *field)
            }
        }
    };
}

form! {
    /// Unique in its list; without: its kind.
    name: Label,
    /// Its state before it was ever done: passing or critical.
    initial: Status,
    /// Of `ttl`, and needed there: how long after a heartbeat the next may come.
    ttl: LeaseTtl,
    /// In place of the instance's first address; this and the next ones not of `ttl`.
    address: Address,
    /// In place of the instance's first port.
    port: CheckPort,
    /// From one probe to the next: 1s-1h; without: 10s.
    interval: DurationText,
    /// How long a probe may take: 10ms-1m, less than the interval.
    timeout: DurationText,
    /// By how much an interval may be longer or shorter: at most half of it.
    jitter: DurationText,
    /// How many successes in a row end a critical state: 1-10; without: 2.
    #[schema(minimum = 1, maximum = 10)]
    rise: u8,
    /// How many failures in a row begin one: 1-10; without: 3.
    #[schema(minimum = 1, maximum = 10)]
    fall: u8,
    /// Of `http`, as the next ones.
    method: CheckMethod,
    /// What is asked for; without: `/`.
    path: RequestPath,
    /// The Host header; without: the instance's DNS name.
    host: Host,
    /// Further headers.
    headers: Headers,
    /// Status codes that pass; at most 16 entries.
    #[schema(max_items = 16)]
    expect: Vec<StatusCodes>,
    /// Status codes that pass with a warning; at most 16 entries.
    #[schema(max_items = 16)]
    warn: Vec<StatusCodes>,
    /// What the body must contain.
    contains: Content,
    /// Of `grpc`: the service that is asked about.
    #[schema(max_length = 256)]
    service: String,
}

/// Whether checks of a kind have the field.
///
/// | fields | http | tcp | grpc | ttl |
/// |---|---|---|---|---|
/// | name, initial | yes | yes | yes | yes |
/// | ttl | no | no | no | yes |
/// | address, port, interval, timeout, jitter, rise, fall | yes | yes | yes | no |
/// | method, path, host, headers, expect, warn, contains | yes | no | no | no |
/// | service | no | no | yes | no |
fn has(kind: CheckKind, field: &str) -> bool {
    match field {
        "name" | "initial" => true,
        "ttl" => kind == CheckKind::Ttl,
        "address" | "port" | "interval" | "timeout" | "jitter" | "rise" | "fall" => {
            kind != CheckKind::Ttl
        }
        "service" => kind == CheckKind::Grpc,
        _ => kind == CheckKind::Http,
    }
}

impl TryFrom<CheckForm> for Check {
    type Error = SpecError;
    fn try_from(form: CheckForm) -> Result<Self, SpecError> {
        let kind = form.kind;
        if let Some(field) = form.surplus() {
            let reason = format!("a check of kind {} has no such field", kind.as_str());
            return Err(SpecError::new(field, reason));
        }
        let initial = match (form.initial, kind) {
            (Some(Status::Warning), _) => {
                return Err(SpecError::new("initial", "write \"passing\" or \"critical\""));
            }
            (Some(initial), _) => initial,
            // Who registers is there, and says so as with a heartbeat.
            (None, CheckKind::Ttl) => Status::Passing,
            (None, CheckKind::Http | CheckKind::Tcp | CheckKind::Grpc) => Status::Critical,
        };
        let name = form.name.clone();
        let means = match kind {
            CheckKind::Ttl => {
                let missing = || SpecError::new("ttl", "is missing: how often heartbeats come");
                Means::Heartbeat(form.ttl.ok_or_else(missing)?)
            }
            CheckKind::Http | CheckKind::Tcp | CheckKind::Grpc => {
                Means::Probe(Box::new(probe(form)?))
            }
        };
        let own_name = || Label::new(kind.as_str()).expect("kinds are small letters");
        Ok(Self { name: name.unwrap_or_else(own_name), initial, means })
    }
}

fn probe(form: CheckForm) -> Result<Probe, SpecError> {
    let interval = form.interval.map_or(INTERVAL, |text| text.0);
    if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&interval) {
        return Err(out_of_range("interval", interval, "1s-1h"));
    }
    let timeout = form.timeout.map_or_else(|| TIMEOUT.min(interval / 2), |text| text.0);
    if timeout < Duration::from_millis(10) || timeout >= interval || timeout > LONGEST {
        let allowed = "10ms-1m, less than the interval";
        return Err(out_of_range("timeout", timeout, allowed));
    }
    let jitter = form.jitter.map_or(interval / 10, |text| text.0);
    if jitter > interval / 2 {
        return Err(out_of_range("jitter", jitter, "at most half of the interval"));
    }
    Ok(Probe {
        address: form.address,
        port: form.port.clone().unwrap_or(CheckPort::Main),
        interval,
        timeout,
        jitter,
        rise: times("rise", form.rise.unwrap_or(2))?,
        fall: times("fall", form.fall.unwrap_or(3))?,
        question: question(form)?,
    })
}

fn question(form: CheckForm) -> Result<Question, SpecError> {
    Ok(match form.kind {
        CheckKind::Http => Question::Http(HttpCheck {
            method: form.method.unwrap_or_default(),
            path: form.path.unwrap_or_default(),
            host: form.host,
            headers: form.headers.unwrap_or_default(),
            expect: codes("expect", form.expect.unwrap_or_else(|| vec![StatusCodes::SUCCESS]))?,
            warn: codes("warn", form.warn.unwrap_or_else(|| vec![StatusCodes::BUSY]))?,
            contains: form.contains,
        }),
        CheckKind::Grpc => {
            let service = form.service.unwrap_or_default();
            if service.len() > 256 {
                let reason = format!("a name of {} bytes, at most 256 are allowed", service.len());
                return Err(SpecError::new("service", reason));
            }
            Question::Grpc(service)
        }
        CheckKind::Tcp | CheckKind::Ttl => Question::Tcp,
    })
}

fn codes(field: &str, codes: Vec<StatusCodes>) -> Result<Vec<StatusCodes>, SpecError> {
    if codes.len() > 16 {
        let reason = format!("{} entries, at most 16 are allowed", codes.len());
        return Err(SpecError::new(field, reason));
    }
    Ok(codes)
}

fn times(field: &str, number: u8) -> Result<u8, SpecError> {
    if (1..=10).contains(&number) {
        return Ok(number);
    }
    Err(SpecError::new(field, format!("{number} is out of range, 1-10 is allowed")))
}

fn out_of_range(field: &str, found: Duration, allowed: &str) -> SpecError {
    let found = DurationText(found);
    SpecError::new(field, format!("{found} is out of range, {allowed} is allowed"))
}

impl From<Check> for CheckForm {
    fn from(check: Check) -> Self {
        let empty = Self::empty(check.kind());
        let named = Self { name: Some(check.name), initial: Some(check.initial), ..empty };
        let probe = match check.means {
            Means::Heartbeat(ttl) => return Self { ttl: Some(ttl), ..named },
            Means::Probe(probe) => *probe,
        };
        let timed = Self {
            address: probe.address,
            port: Some(probe.port).filter(|port| *port != CheckPort::Main),
            interval: Some(DurationText(probe.interval)),
            timeout: Some(DurationText(probe.timeout)),
            jitter: Some(DurationText(probe.jitter)),
            rise: Some(probe.rise),
            fall: Some(probe.fall),
            ..named
        };
        match probe.question {
            Question::Tcp => timed,
            Question::Grpc(service) => Self { service: Some(service), ..timed },
            Question::Http(http) => Self {
                method: Some(http.method),
                path: Some(http.path),
                host: http.host,
                headers: Some(http.headers),
                expect: Some(http.expect),
                warn: Some(http.warn),
                contains: http.contains,
                ..timed
            },
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(2);
/// A probe that waits has a place that others wait for.
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::check::Checks;

    fn check(json: &str) -> Result<Check, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_kind_alone_is_a_check() {
        let check = check(r#"{"kind":"http"}"#).unwrap();

        assert_eq!(
            serde_json::to_value(&check).unwrap(),
            serde_json::json!({
                "kind": "http", "name": "http", "initial": "critical", "interval": "10s",
                "timeout": "2s", "jitter": "1s", "rise": 2, "fall": 3, "method": "GET",
                "path": "/", "headers": {}, "expect": ["200-299"], "warn": [429],
            })
        );
    }

    #[test]
    fn every_check_comes_back_from_its_form() {
        for json in [
            r#"{"kind":"http","name":"live","port":"admin","path":"/live","host":"x:80",
                "headers":{"a":"b"},"expect":[204],"warn":[],"contains":"ok","initial":"passing"}"#,
            r#"{"kind":"tcp","port":5432,"address":"10.0.0.9","interval":"1s","rise":1,"fall":1}"#,
            r#"{"kind":"grpc","service":"a.B","timeout":"500ms","jitter":"0s"}"#,
            r#"{"kind":"ttl","ttl":"15s"}"#,
        ] {
            let check = check(json).unwrap();

            let form = serde_json::to_string(&check).unwrap();
            assert_eq!(serde_json::from_str::<Check>(&form).unwrap(), check, "{form}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_named() {
        for (json, named) in [
            (r#"{}"#, "kind"),
            (r#"{"kind":"script"}"#, "script"),
            (r#"{"kind":"tcp","args":["rm"]}"#, "args"),
            (r#"{"kind":"tcp","path":"/"}"#, "path: a check of kind tcp"),
            (r#"{"kind":"http","service":"a"}"#, "service: a check of kind http"),
            (r#"{"kind":"ttl","ttl":"10s","interval":"5s"}"#, "interval: a check of kind ttl"),
            (r#"{"kind":"ttl"}"#, "ttl: is missing"),
            (r#"{"kind":"http","ttl":"10s"}"#, "ttl: a check of kind http"),
            (r#"{"kind":"tcp","interval":"999ms"}"#, "interval: 999ms is out of range"),
            (r#"{"kind":"tcp","interval":"2h"}"#, "interval: 2h is out of range"),
            (r#"{"kind":"tcp","interval":"2s","timeout":"2s"}"#, "timeout: 2s is out of range"),
            (r#"{"kind":"tcp","jitter":"6s"}"#, "jitter: 6s is out of range"),
            (r#"{"kind":"tcp","rise":0}"#, "rise: 0 is out of range"),
            (r#"{"kind":"tcp","fall":11}"#, "fall: 11 is out of range"),
            (r#"{"kind":"tcp","initial":"warning"}"#, "initial"),
            (r#"{"kind":"tcp","address":"169.254.169.254"}"#, "link-local"),
            (r#"{"kind":"tcp","address":"example.net"}"#, "not an IP address"),
            (r#"{"kind":"tcp","port":0}"#, "port"),
            (r#"{"kind":"http","method":"POST"}"#, "POST"),
        ] {
            let error = check(json).unwrap_err().to_string();

            assert!(error.contains(named), "{json}: {error}");
        }
    }

    #[test]
    fn names_are_unique_and_few() {
        let twice = r#"[{"kind":"tcp"},{"kind":"tcp"}]"#;
        let error = serde_json::from_str::<Checks>(twice).unwrap_err().to_string();
        assert!(error.contains("a second check is named tcp"), "{error}");

        let many: Vec<String> =
            (0..9).map(|i| format!(r#"{{"kind":"tcp","name":"t{i}"}}"#)).collect();
        let error = serde_json::from_str::<Checks>(&format!("[{}]", many.join(","))).unwrap_err();
        assert!(error.to_string().contains("at most 8"), "{error}");
    }
}
