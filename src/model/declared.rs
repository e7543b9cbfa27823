//! What the configuration file declares: settings and static instances.

use std::collections::BTreeMap;

use crate::model::instance::Instance;
use crate::model::name::ServiceName;
use crate::model::settings::{Settings, SettingsPatch};

/// Everything the file says about services. Replaced as a whole by a reload.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declared {
    /// What a service gets that says nothing: `[dns]` and then `[defaults]`, over the built-ins.
    pub defaults: Settings,
    /// The declared services.
    pub services: BTreeMap<ServiceName, DeclaredService>,
}

/// One `[services.NAME]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeclaredService {
    /// The settings it gives.
    pub settings: SettingsPatch,
    /// Its static instances, ids unique.
    pub instances: Vec<Instance>,
}
