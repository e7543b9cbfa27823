//! Why the registry refuses a write. The HTTP front turns each into one status and type.

use crate::model::{
    CommitError, InstanceId, Label, Limit, NameError, ServiceName, SpecError, TokenId,
};

/// A write that did not happen, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field is illegal, alone or together with others.
    #[error("{0}")]
    Invalid(SpecError),
    /// No such service.
    #[error("no service {0} is known")]
    UnknownService(ServiceName),
    /// No such instance.
    #[error("no instance {id} of service {service} is registered")]
    UnknownInstance {
        /// The service asked for.
        service: ServiceName,
        /// The instance asked for.
        id: InstanceId,
    },
    /// The file declares it, so the file must change it.
    #[error("instance {id} of service {service} is declared in the configuration file; {allowed}")]
    StaticInstance {
        /// Its service.
        service: ServiceName,
        /// Its id.
        id: InstanceId,
        /// What may be done with it instead.
        allowed: &'static str,
    },
    /// The file declares it, so the file must change it.
    #[error("service {0} is declared in the configuration file, remove it there")]
    StaticService(ServiceName),
    /// A service that still has instances cannot be forgotten.
    #[error("service {service} still has {instances} instances, deregister them first")]
    NotEmpty {
        /// The service.
        service: ServiceName,
        /// How many it has.
        instances: usize,
    },
    /// Registered by somebody else since.
    #[error(
        "generation {given} of {service}/{id} is over, the current one belongs to a later registration"
    )]
    Owned {
        /// Its service.
        service: ServiceName,
        /// Its id.
        id: InstanceId,
        /// The generation that was given.
        given: u64,
    },
    /// Registered first by somebody else, and still there.
    #[error(
        "instance {id} of service {service} belongs to {owner}, who registered it first: choose \
         another id, or have it deregistered"
    )]
    OwnedBy {
        /// Its service.
        service: ServiceName,
        /// Its id.
        id: InstanceId,
        /// Whose it is.
        owner: Label,
    },
    /// No such token.
    #[error("there is no token {0}")]
    UnknownToken(TokenId),
    /// A limit of `[limits]` is reached.
    #[error("the limit {name} = {max} is reached")]
    Limit {
        /// Which.
        name: Limit,
        /// Its value.
        max: usize,
    },
    /// More in one field than a limit of `[limits]` allows: no other time will do.
    #[error("{field}: {size} bytes, the limit {name} = {max} is reached")]
    TooMuch {
        /// The field.
        field: String,
        /// How many it has.
        size: usize,
        /// Which limit.
        name: Limit,
        /// Its value.
        max: usize,
    },
    /// No more of one field is to be had under a limit of `[limits]`, for now.
    #[error("{field}: the limit {name} = {max} is reached")]
    NoRoom {
        /// The field.
        field: String,
        /// Which limit.
        name: Limit,
        /// Its value.
        max: usize,
    },
    /// More writes wait for the store than may.
    #[error("the store is behind and too many writes wait for it, try again later")]
    Behind,
    /// The store could not make it durable. It may be tried again.
    #[error(transparent)]
    Store(#[from] CommitError),
    /// The server is going down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Refusal {
    /// The refusal of `field` for `reason`.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(SpecError::new(field, reason))
    }

    /// The refusal to change an instance that the file declares.
    pub(crate) fn of_static(service: &ServiceName, id: &InstanceId) -> Self {
        let allowed = "it can be renewed and drained, and its admin and status patched";
        Self::StaticInstance { service: service.clone(), id: id.clone(), allowed }
    }

    /// The refusal to change an instance that is not there.
    pub(crate) fn of_unknown(service: &ServiceName, id: &InstanceId) -> Self {
        Self::UnknownInstance { service: service.clone(), id: id.clone() }
    }

    /// The same refusal with its field named as part of `prefix`, e.g. `register[3].weight`.
    #[must_use]
    pub fn within(self, prefix: &str) -> Self {
        match self {
            Self::Invalid(SpecError { field, reason }) => {
                let field =
                    if field.is_empty() { prefix.to_owned() } else { format!("{prefix}.{field}") };
                Self::Invalid(SpecError { field, reason })
            }
            Self::TooMuch { field, size, name, max } => {
                Self::TooMuch { field: format!("{prefix}.{field}"), size, name, max }
            }
            Self::NoRoom { field, name, max } => {
                Self::NoRoom { field: format!("{prefix}.{field}"), name, max }
            }
            other => other,
        }
    }
}

impl From<SpecError> for Refusal {
    fn from(error: SpecError) -> Self {
        Self::Invalid(error)
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::invalid("", error.to_string())
    }
}
