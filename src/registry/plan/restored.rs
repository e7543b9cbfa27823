//! Whether what was saved may be restored under this configuration: the checks that every write of
//! it would have to pass, before any of it is stored.

use crate::model::{Image, Millis, Record, ServiceName};
use crate::registry::instance::Source;
use crate::registry::plan::{Names, Planner, Policy};
use crate::registry::refusal::Refusal;
use crate::registry::state::State;

/// What of an image may not be, and why.
#[derive(Debug)]
pub struct Misfit {
    /// Which entry: overrides, then what operators said, then instances, from 0.
    pub entry: usize,
    /// Its service, or `service/id`.
    pub name: String,
    /// What it breaks.
    pub refusal: Refusal,
}

impl Image {
    /// Whether all of it may be registered where `policy` holds.
    ///
    /// # Errors
    /// Names the first that may not.
    pub fn admitted(&self, policy: &Policy, names: &Names) -> Result<(), Misfit> {
        let mut generation = 0;
        let declared = |overrides| {
            let image = Self { overrides, ..Self::default() };
            let mut state = State::new(image, policy.forget_after, NOW);
            state.declare(&policy.declared, NOW);
            state
        };
        let state = declared(Vec::new());
        let mut planner = Planner::new(&state, policy, names, &mut generation);
        for (entry, (service, patch)) in self.overrides.iter().enumerate() {
            let planned = planner.set_override(service.clone(), patch.clone());
            planned.map_err(|refusal| Misfit { entry, name: service.to_string(), refusal })?;
        }
        // Which checks an instance has depends on the overrides.
        let state = declared(self.overrides.clone());
        let mut planner = Planner::new(&state, policy, names, &mut generation);
        let before = self.overrides.len() + self.operators.len();
        for (i, (service, record)) in self.instances.iter().enumerate() {
            planner.readmit(service, record).map_err(|refusal| {
                let name = format!("{service}/{}", record.instance.id);
                Misfit { entry: before + i, name, refusal }
            })?;
        }
        Ok(())
    }
}

impl Planner<'_> {
    fn readmit(&mut self, service: &ServiceName, record: &Record) -> Result<(), Refusal> {
        let Record { instance, owner, .. } = record;
        // What the file has declared since takes its place at the next start.
        let known = self.known(service, &instance.id);
        if known.is_some_and(|known| known.source == Source::File) {
            return Ok(());
        }
        if service.as_str() == self.names.server {
            return Err(Refusal::invalid("service", "is the name of this server, choose another"));
        }
        self.check_addresses(instance)?;
        self.check_names(service, instance)?;
        self.check_checks(service, instance)?;
        self.check_metadata(instance, None)?;
        self.check_identity(None, owner.as_ref())?;
        self.check_room(service)?;
        self.overlay.count(service, 1);
        self.overlay.change_owner(None, owner.as_ref());
        self.overlay.change_metadata(None, Some(&instance.metadata));
        Ok(())
    }
}

/// Nothing of it is kept, so any time will do.
const NOW: Millis = Millis(1);
