//! A reply and its reasons as a value for people and tools: what DNS would say, and why.
//!
//! The DNS front builds it, since only it knows what a reply looks like; the HTTP front prints it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{AnswerMode, Balance, InstanceId, Locality, ServiceName};
use crate::resolve::{Explanation, Stages};

/// What DNS would reply to a question.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct Resolution {
    /// The response code's name, e.g. `NOERROR`.
    pub rcode: String,
    /// Whether it is said with authority.
    pub aa: bool,
    /// Whether records of a set that is meant to be whole were left out.
    pub tc: bool,
    /// Seconds that the answer, or the absence of one, may be cached.
    pub ttl: u32,
    /// The answer section.
    pub answers: Vec<ResolvedRecord>,
    /// The additional section, without OPT.
    pub additional: Vec<ResolvedRecord>,
    /// Where the client is; `None` when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub locality: Option<Locality>,
    /// The service; `None` when the name is not one of a service.
    #[schema(required)]
    pub service: Option<ServiceName>,
    /// Its algorithm.
    #[schema(required)]
    pub balance: Option<Balance>,
    /// The answer mode in force, never auto.
    #[schema(required)]
    pub answer: Option<AnswerMode>,
    /// How many instances an answer of this kind holds.
    #[schema(required)]
    pub k: Option<usize>,
    /// What is wrong with the service, when health is not believed any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub panic: Option<String>,
    /// Every instance of the service, by id.
    pub instances: Vec<ResolvedInstance>,
}

/// A record in presentation form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResolvedRecord {
    /// The owner, with the trailing dot.
    pub name: String,
    /// The type's name, e.g. `SRV`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Seconds.
    pub ttl: u32,
    /// The data as a zone file writes it.
    pub data: String,
}

/// What became of one instance.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ResolvedInstance {
    /// The instance.
    pub id: InstanceId,
    /// Whether it is in the answer.
    #[serde(rename = "in")]
    pub included: bool,
    /// Why it is not; empty when it is.
    pub reasons: Vec<&'static str>,
    /// Its weight in force, for this client.
    pub weight: u32,
    /// What each stage made of it.
    pub stages: Stages,
}

impl Resolution {
    /// The same reply with the reasons for it.
    #[must_use]
    pub fn explained(self, explanation: Explanation) -> Self {
        let Explanation { service, balance, answer, k, panic, instances } = explanation;
        let instances = instances.into_iter().map(|instance| ResolvedInstance {
            id: instance.id,
            included: instance.included,
            reasons: instance.reasons,
            weight: instance.weight,
            stages: instance.stages,
        });
        Self {
            service: Some(service),
            balance: Some(balance),
            answer: Some(answer),
            k: Some(k),
            panic,
            instances: instances.collect(),
            ..self
        }
    }
}
