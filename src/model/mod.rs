//! The vocabulary of signpost as values: names, addresses, instances, settings, changes.
//!
//! Everything is checked where it is made (serde runs the same constructors), so a value that
//! exists is legal. No I/O, no clock, no randomness; every other module may import this one.

mod actor;
mod address;
mod audit_policy;
mod authentication;
mod author;
mod certificate_name;
mod change;
mod check;
mod check_form;
mod conduct;
mod declared;
mod duration;
mod ejection;
mod few;
mod footprint;
mod guards;
mod health;
mod http_address;
mod http_check;
mod identity;
mod instance;
mod lease;
mod limits;
mod load;
mod locality;
mod metadata;
mod metadata_service;
mod name;
mod network;
mod numbers;
mod outcome;
mod port;
mod rare;
mod schema;
mod scope;
mod service_pattern;
mod settings;
mod spans;
mod tags;
mod texts;
mod time;
mod token;
mod zone_name;

pub use actor::Actor;
pub use address::{Address, AddressError};
pub use audit_policy::AuditPolicy;
pub use authentication::{Authentication, ClientCertificates};
pub use author::Author;
pub use certificate_name::{CertificateName, CertificateNameError};
pub use change::{Change, Commit, CommitError, Image, OperatorState, Record, Revision};
pub use check::{Check, CheckKind, CheckPort, Checks, Means, Probe, Question};
pub use conduct::{Conduct, CookieSecret, CookieSecretError, RateLimit};
pub use declared::{Declared, DeclaredService};
pub use duration::{DurationError, DurationText};
pub use ejection::{Ejection, EjectionMax};
pub use few::Few;
pub use health::HealthPolicy;
pub use http_address::{HttpAddress, HttpAddressError};
pub use http_check::{CheckMethod, Content, Headers, Host, HttpCheck, RequestPath, StatusCodes};
pub use identity::Identity;
pub use instance::{Admin, Instance, InstancePatch, InstanceSpec, SpecError, Status};
pub use lease::LeaseTtl;
pub use limits::{Limit, Limits};
pub use load::Load;
pub use locality::{Localities, Locality, LocalityPolicy};
pub use metadata::Metadata;
pub use name::{InstanceId, Label, NameError, PortName, ServiceName};
pub use network::{Network, NetworkError};
pub use numbers::{NumberError, PortNumber, Tier, Weight};
pub use outcome::Outcome;
pub use port::{Port, Protocol};
pub use rare::Rare;
pub use scope::{Scope, ScopeError, Scopes};
pub use service_pattern::{ServicePattern, ServicePatternError};
pub use settings::{
    AnswerMode, Balance, EjectionFailures, HotKeyReplicas, MaxAnswers, PanicMode, RecordTtl,
    Settings, SettingsError, SettingsPatch, Share, SlowStart, SrvTiers, SrvWeightMax, TxtPolicy,
};
pub use spans::{EjectionBase, ProtectFor, SpanError};
pub use tags::Tags;
pub use time::{Millis, rfc3339};
pub use token::{Secret, Token, TokenHash, TokenId, TokenSpec, TokenTextError};
pub use zone_name::{ZoneName, ZoneNameError};
