//! Active checks: what is asked of an instance to know whether it works, and how often.
//!
//! Made from their form alone (`check_form`), which checks what the fields must agree on.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::model::address::Address;
use crate::model::check_form::CheckForm;
use crate::model::http_check::HttpCheck;
use crate::model::instance::{SpecError, Status};
use crate::model::lease::LeaseTtl;
use crate::model::name::{Label, PortName};
use crate::model::numbers::PortNumber;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CheckForm", into = "CheckForm")]
pub struct Check {
    /// Unique in its list; its kind unless given.
    pub name: Label,
    /// What its state is before it was ever done: critical leaves the instance out until then.
    pub initial: Status,
    /// How it finds out.
    pub means: Means,
}

impl Check {
    /// What is asked of the instance; `None` when it is heard.
    #[must_use]
    pub fn probe(&self) -> Option<&Probe> {
        match &self.means {
            Means::Heartbeat(_) => None,
            Means::Probe(probe) => Some(probe),
        }
    }

    /// What kind of check it is.
    #[must_use]
    pub fn kind(&self) -> CheckKind {
        match self.probe().map(|probe| &probe.question) {
            None => CheckKind::Ttl,
            Some(Question::Http(_)) => CheckKind::Http,
            Some(Question::Tcp) => CheckKind::Tcp,
            Some(Question::Grpc(_)) => CheckKind::Grpc,
        }
    }
}

/// How a check finds out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// A heartbeat must come within this time of the one before it.
    Heartbeat(LeaseTtl),
    /// The instance is asked.
    Probe(Box<Probe>),
}

/// What is asked, where and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub question: Question,
    /// In place of the instance's first address.
    pub address: Option<Address>,
    /// The port.
    pub port: CheckPort,
    /// From one probe to the next: 1s-1h.
    pub interval: Duration,
    /// How long a probe may take: at most 1m, less than `interval`.
    pub timeout: Duration,
    /// Each interval is longer or shorter by up to this; at most half of it.
    pub jitter: Duration,
    /// How many successes in a row end a critical state, 1-10.
    pub rise: u8,
    /// How many failures begin one, 1-10.
    pub fall: u8,
}

/// What is asked of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// An HTTP/1.1 request.
    Http(HttpCheck),
    /// That it accepts a connection.
    Tcp,
    /// `grpc.health.v1.Health/Check` of this service; empty: of the server as a whole.
    Grpc(String),
}

/// The port that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the number or the name of a port")]
pub enum CheckPort {
    /// The instance's first.
    #[serde(skip)]
    Main,
    /// This one, registered or not.
    Number(PortNumber),
    /// The instance's port of that name.
    Name(PortName),
}

/// The kinds of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// An HTTP request is answered as expected.
    Http,
    /// A TCP connection is accepted.
    Tcp,
    /// The standard health service of gRPC says SERVING.
    Grpc,
    /// Heartbeats come in time.
    Ttl,
}

impl CheckKind {
    /// Every kind there is.
    pub const ALL: [Self; 4] = [Self::Http, Self::Tcp, Self::Grpc, Self::Ttl];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Grpc => "grpc",
            Self::Ttl => "ttl",
        }
    }

    /// Why an instance is left out while a check of this kind is critical.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Http => "check http critical",
            Self::Tcp => "check tcp critical",
            Self::Grpc => "check grpc critical",
            Self::Ttl => "check ttl critical",
        }
    }
}

/// Checks in the order given: at most 8, names unique. Cheap to clone; none take no memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checks(Option<Arc<[Arc<Check>]>>);

impl Checks {
    /// How many there may be.
    pub const MAX: usize = 8;

    /// Checks what they must agree on.
    ///
    /// # Errors
    /// When there are too many, or two have one name.
    pub fn new(checks: Vec<Check>) -> Result<Self, SpecError> {
        if checks.len() > Self::MAX {
            let reason = format!("{} entries, at most {} are allowed", checks.len(), Self::MAX);
            return Err(SpecError::new("checks", reason));
        }
        for (i, check) in checks.iter().enumerate() {
            if checks[..i].iter().any(|other| other.name == check.name) {
                let reason = format!("a second check is named {}, give it a name", check.name);
                return Err(SpecError::new("checks", reason));
            }
        }
        let some = !checks.is_empty();
        Ok(Self(some.then(|| checks.into_iter().map(Arc::new).collect())))
    }
}

impl Deref for Checks {
    type Target = [Arc<Check>];
    fn deref(&self) -> &[Arc<Check>] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Serialize for Checks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Checks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let checks = Vec::deserialize(deserializer)?;
        Self::new(checks).map_err(|error| serde::de::Error::custom(error.reason))
    }
}
