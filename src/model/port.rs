//! A port that an instance listens on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::name::PortName;
use crate::model::numbers::PortNumber;

/// One port of an instance. `(name, protocol)` is unique in an instance; the first is the main one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with name, port and protocol")]
pub struct Port {
    /// The name clients ask for: `_http._tcp.web.service.local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PortName>,
    /// The port number.
    pub port: PortNumber,
    /// The transport protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

/// The transport of a port.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Every protocol there is.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The label of DNS names without its underscore: `tcp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}
