//! The server's JSON, as far as the tables show it.
//!
//! Fields that are not shown are not read, and unknown ones are ignored: a newer server's reply is
//! still a reply. `-o json` does not come through here.

use serde::Deserialize;

/// `GET /v1/services`.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceList {
    pub(super) services: Vec<ServiceSummary>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ServiceSummary {
    pub(super) service: String,
    pub(super) revision: u64,
    pub(super) instances: u64,
    pub(super) usable: u64,
    pub(super) declared: bool,
    /// Whether so few are healthy that health is not believed.
    #[serde(default)]
    pub(super) panic: bool,
}

/// `GET /v1/tokens`.
#[derive(Debug, Deserialize)]
pub(super) struct TokenList {
    pub(super) tokens: Vec<TokenReply>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TokenReply {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) scopes: Vec<String>,
    pub(super) services: Vec<String>,
    pub(super) networks: Vec<String>,
    pub(super) created_at: String,
    pub(super) expires_at: Option<String>,
}

/// `POST /v1/tokens`.
#[derive(Debug, Deserialize)]
pub(super) struct TokenCreated {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) token: String,
}

/// `GET /v1/services/{s}`.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceReply {
    pub(super) revision: u64,
    pub(super) service: String,
    pub(super) settings: SettingsReply,
    #[serde(default)]
    pub(super) overrides: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub(super) panic: bool,
    pub(super) instances: Vec<InstanceReply>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SettingsReply {
    pub(super) balance: String,
    pub(super) answer: String,
    pub(super) ttl: String,
}

/// One instance, wherever it is in a reply.
#[derive(Debug, Deserialize)]
pub(super) struct InstanceReply {
    pub(super) id: String,
    pub(super) addresses: Vec<String>,
    pub(super) ports: Vec<PortReply>,
    pub(super) weight: u64,
    pub(super) status: String,
    pub(super) usable: bool,
    /// Why it is not usable.
    pub(super) reasons: Vec<String>,
    /// `None` never expires.
    pub(super) expires_in_ms: Option<u64>,
    pub(super) source: String,
    /// What active checks say of it.
    #[serde(default)]
    pub(super) checks: Vec<CheckReply>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckReply {
    pub(super) name: String,
    pub(super) state: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct PortReply {
    pub(super) name: Option<String>,
    pub(super) port: u16,
    pub(super) protocol: String,
}

/// `PUT /v1/services/{s}/instances/{id}`. Of the instance, what every server has to say.
#[derive(Debug, Deserialize)]
pub(super) struct RegisterReply {
    pub(super) instance: RegisteredReply,
    pub(super) revision: u64,
    pub(super) expires_in_ms: Option<u64>,
    /// What the owner should know.
    #[serde(default)]
    pub(super) warning: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RegisteredReply {
    /// As the server spells it.
    pub(super) id: String,
    /// The lease; `None` never expires.
    pub(super) ttl: Option<String>,
}

/// `PUT .../heartbeat`.
#[derive(Debug, Deserialize)]
pub(super) struct HeartbeatReply {
    pub(super) expires_in_ms: Option<u64>,
}

/// `POST` and `DELETE .../drain`.
#[derive(Debug, Deserialize)]
pub(super) struct DrainReply {
    pub(super) revision: u64,
    pub(super) safe_in_ms: Option<u64>,
}

/// `GET /v1/resolve`.
#[derive(Debug, Deserialize)]
pub(super) struct ResolveReply {
    pub(super) rcode: String,
    pub(super) aa: bool,
    pub(super) tc: bool,
    pub(super) answers: Vec<RecordReply>,
    #[serde(default)]
    pub(super) additional: Vec<RecordReply>,
    /// `None` where the name belongs to no service; the fields below are then empty too.
    pub(super) service: Option<String>,
    pub(super) balance: Option<String>,
    pub(super) answer: Option<String>,
    pub(super) k: Option<u64>,
    /// `None` unless the service is in one.
    pub(super) panic: Option<String>,
    #[serde(default)]
    pub(super) instances: Vec<CandidateReply>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordReply {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) record_type: String,
    pub(super) ttl: u64,
    pub(super) data: String,
}

/// An instance that the answer could hold.
#[derive(Debug, Deserialize)]
pub(super) struct CandidateReply {
    pub(super) id: String,
    #[serde(rename = "in")]
    pub(super) included: bool,
    pub(super) reasons: Vec<String>,
    pub(super) weight: u64,
    /// `None` from servers that do not tell.
    pub(super) stages: Option<StagesReply>,
}

/// What became of it, stage by stage.
#[derive(Debug, Deserialize)]
pub(super) struct StagesReply {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) health: Vec<String>,
    pub(super) chance: Option<f64>,
    pub(super) last_handed_out_ms: Option<u64>,
    pub(super) weight: WeightsReply,
}

/// A weight after each transform.
#[derive(Debug, Deserialize)]
pub(super) struct WeightsReply {
    #[serde(rename = "static")]
    pub(super) fixed: u64,
    pub(super) balance: u64,
    pub(super) slow_start: u64,
    pub(super) locality: u64,
}
