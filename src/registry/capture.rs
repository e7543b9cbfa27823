//! Everything durable as of one revision, to be read at leisure. The engine hands it out between two
//! changes at the cost of its services, not of its instances: views never change.

use std::sync::Arc;

use crate::model::{
    InstanceId, Label, OperatorState, Record, Revision, ServiceName, SettingsPatch,
};
use crate::registry::instance::{InstanceView, Source};
use crate::registry::owners::Owners;
use crate::registry::state::State;

/// Everything durable as of one revision, but tokens: these are nobody's to copy.
#[derive(Debug)]
pub struct Capture {
    /// Every change up to this is in it, none after.
    pub revision: Revision,
    /// Overrides of settings, in no order.
    pub overrides: Vec<(ServiceName, Arc<SettingsPatch>)>,
    /// What operators said of declared instances, in no order.
    pub operators: Vec<(ServiceName, InstanceId, OperatorState)>,
    /// Who owns instances.
    pub owners: Arc<Owners>,
    /// The instances of each service by id, declared ones too; services in no order.
    pub services: Vec<(ServiceName, Arc<[InstanceView]>)>,
}

impl State {
    /// All that is durable, as it is now.
    pub(crate) fn capture(&mut self) -> Capture {
        let operators = self.operators.iter();
        let mut capture = Capture {
            revision: self.revision,
            overrides: Vec::new(),
            operators: operators.map(|((s, id), state)| (s.clone(), id.clone(), *state)).collect(),
            owners: Arc::new(self.owners.clone()),
            services: Vec::with_capacity(self.services.len()),
        };
        for (name, service) in &mut self.services {
            if let Some(overrides) = &service.overrides {
                capture.overrides.push((name.clone(), Arc::clone(overrides)));
            }
            if !service.instances.is_empty() {
                capture.services.push((name.clone(), service.instances.show()));
            }
        }
        capture
    }
}

impl InstanceView {
    /// What is stored of it, whose owner this is; of a declared one nothing is.
    #[must_use]
    pub fn record(&self, owner: Option<&Label>) -> Option<Record> {
        let (instance, generation) = (Arc::clone(&self.instance), self.generation);
        let owner = owner.cloned();
        (self.source == Source::Api).then_some(Record { instance, generation, owner })
    }
}
