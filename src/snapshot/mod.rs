//! A snapshot: everything durable of a registry as lines of JSON, and back.
//!
//! The first line says what it is, of which zone and revision, and how much there is of what; then
//! overrides, what operators said, and instances, each in the order of names; the last line has the
//! number and the hash of all others, so that a file that is cut short or altered is seen.
//! Only the form: no I/O of its own, no clock. `http` writes it, `cli` keeps it, `server` reads it.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{InstanceId, OperatorState, Record, Revision, ServiceName, SettingsPatch};

pub use read::{ReadError, Reader, Snapshot};
pub use write::Writer;

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u64,
    /// The apex of the server that it was taken of.
    pub zone: String,
    /// What it is as of: every change up to this, none after it.
    pub revision: Revision,
    /// When it was taken, in seconds since 1970. For people.
    pub unix_time: u64,
    /// How many lines there are of settings by API.
    pub overrides: u64,
    /// How many of what operators said of declared instances.
    pub operators: u64,
    /// How many of registered instances.
    pub instances: u64,
}

/// One thing that is durable, as a line of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Settings by API.
    Override(Override),
    /// What an operator said of a declared instance.
    Operator(Operator),
    /// A registered instance.
    Instance(Registered),
}

/// The override of a service's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The service.
    pub service: ServiceName,
    /// The whole override.
    pub settings: Arc<SettingsPatch>,
}

/// What an operator said of a declared instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Its service.
    pub service: ServiceName,
    /// Its id.
    pub id: InstanceId,
    /// What was said.
    pub state: OperatorState,
}

/// A registered instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// Its service.
    pub service: ServiceName,
    /// Everything that is stored of it.
    pub record: Record,
}

/// What the last line says of all lines before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// How many they are.
    lines: u64,
    /// Their XXH3 hash, 16 hexadecimal digits.
    xxh3: String,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    end: End,
}

/// What a snapshot calls itself.
pub const FORMAT: &str = "signpost-snapshot";
/// The only version that this program writes and reads. It moves with every change of the form.
pub const VERSION: u64 = 1;
/// The media type.
pub const MEDIA_TYPE: &str = "application/jsonl";
