//! One service as the state has it: its instances, its settings and what both are made of.

use std::sync::Arc;

use crate::balance::dynamic::Dynamic;
use crate::balance::traffic::Traffic;
use crate::model::{Millis, Revision, Settings, SettingsPatch};
use crate::registry::instance::InstanceView;
use crate::registry::panic::Panicking;
use crate::registry::roster::Roster;

/// One service and its instances.
#[derive(Default)]
pub(crate) struct Service {
    pub(crate) revision: Revision,
    /// What the file gives; `None` when the file does not declare it.
    pub(crate) declared: Option<Box<SettingsPatch>>,
    /// The override by API; `None` when there is none.
    pub(crate) overrides: Option<Arc<SettingsPatch>>,
    pub(crate) instances: Roster,
    /// What loads reported make of weights; `None` until one was reported.
    pub(crate) dynamic: Option<Box<Dynamic>>,
    /// What queries show of its traffic; `None` where nothing depends on it.
    pub(crate) traffic: Option<Arc<Traffic>>,
    /// When it lost its last instance or was made without one.
    pub(crate) empty_since: Millis,
    /// Whether the state has it among those that only time keeps known.
    pub(crate) listed: bool,
    /// `None` while health is believed.
    pub(crate) panic: Option<Box<Panicking>>,
    /// Until when caches may hold answers of a longer ttl than the service has now.
    pub(crate) held_until: Millis,
}

impl Service {
    /// Whether it stays known without instances.
    pub(crate) fn is_declared(&self) -> bool {
        self.declared.is_some() || self.overrides.is_some()
    }

    /// Whether nothing but time keeps it known.
    pub(crate) fn is_idle(&self) -> bool {
        self.instances.is_empty() && !self.is_declared()
    }

    /// Whether an instance of it may be answered, as readers were told last.
    pub(crate) fn answers(&self, view: &InstanceView) -> bool {
        self.panic.as_ref().map_or_else(|| view.usable(), |panic| panic.answers(view))
    }

    /// Notes that from `now` on `view` is not answered, if it `was`.
    pub(crate) fn note_withdrawal(&self, was: bool, view: &InstanceView, now: Millis) {
        if was && !self.answers(view) {
            view.vitals.withdraw(now);
        }
    }

    /// Notes that its settings were these until `now`.
    pub(crate) fn note_settings(&mut self, before: &Settings, after: &Settings, now: Millis) {
        if before.ttl > after.ttl {
            self.held_until = self.held_until.max(now + before.ttl.get());
        }
    }

    /// The settings in force: override, else file, else defaults, key by key.
    pub(crate) fn settings(&self, defaults: &Settings) -> Settings {
        let layers = [self.declared.as_deref(), self.overrides.as_deref()];
        layers.into_iter().flatten().fold(defaults.clone(), |below, patch| below.patched(patch))
    }
}
