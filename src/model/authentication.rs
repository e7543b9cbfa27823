//! Who has to say who they are.

use serde::Deserialize;

/// What a call of the side-port needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Authentication {
    /// Whether calls need a token. Without, everybody may do everything; a token that is given is
    /// looked at all the same.
    pub required: bool,
    /// Whether calls that only read need none even so.
    pub anonymous_read: bool,
}

/// Whether clients that come by TLS are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// No.
    #[default]
    Off,
    /// Yes; who has none may come all the same.
    Optional,
    /// Yes; who has none is turned away, and whom it stands for has to be known.
    Required,
}
