//! What active checks say of an instance, as its view shows it.
//!
//! The registry decides which checks an instance has; the health layer does them and says when a
//! state is another, which makes a new view. When one was done last, and what it said, changes in
//! place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Check, Checks, Instance, Means, Millis, ServiceName, Settings, Status};
use crate::registry::observed::Observed;
use crate::registry::state::{Service, State};
use crate::registry::view::InstanceView;

/// A check of an instance and what it says.
#[derive(Debug, Clone)]
pub struct CheckView {
    /// The check.
    pub check: Arc<Check>,
    /// What results have made of it.
    pub state: Status,
    /// Since when.
    pub since: Millis,
    /// The last result. One and the same for as long as results belong together: another address
    /// or another check has another.
    pub latest: Arc<Latest>,
}

impl CheckView {
    fn new(check: &Arc<Check>, now: Millis) -> Self {
        let latest = Arc::new(Latest::default());
        let view = Self { check: Arc::clone(check), state: check.initial, since: now, latest };
        // Who is to be heard of first has not been.
        if check.initial != Status::Critical {
            view.hear(now);
        }
        view
    }

    /// Takes note of a heartbeat that was read `at` this time.
    pub(crate) fn hear(&self, at: Millis) {
        match self.check.means {
            Means::Heartbeat(_) => self.latest.at.fetch_max(at.0, Ordering::Relaxed),
            Means::Probe(_) => 0,
        };
    }
}

impl PartialEq for CheckView {
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state && Arc::ptr_eq(&self.latest, &other.latest)
    }
}

/// When a check was done last, or a heartbeat came last, and what it said.
#[derive(Debug, Default)]
pub struct Latest {
    /// Zero: never.
    at: AtomicU64,
    output: Mutex<Box<str>>,
}

impl Latest {
    /// When; `None` before the first time.
    #[must_use]
    pub fn at(&self) -> Option<Millis> {
        Some(Millis(self.at.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// What it said, for people.
    #[must_use]
    pub fn output(&self) -> Box<str> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a result. `output` is cut to 200 characters that can be printed.
    pub fn set(&self, at: Millis, output: &str) {
        self.at.store(at.0, Ordering::Relaxed);
        self.say(output);
    }

    /// Notes what is to be said, without a result.
    pub fn say(&self, output: &str) {
        let visible = output.chars().map(|c| if c.is_control() { ' ' } else { c });
        let output: String = visible.take(200).collect();
        *self.output.lock().unwrap_or_else(PoisonError::into_inner) = output.into();
    }
}

impl Service {
    /// The checks of its instances, of the settings in force.
    pub(crate) fn checks<'s>(&'s self, defaults: &'s Settings) -> &'s Checks {
        let layers = [self.overrides.as_deref(), self.declared.as_deref()];
        let given = layers.into_iter().flatten().find_map(|patch| patch.checks.as_ref());
        given.unwrap_or(&defaults.checks)
    }
}

impl State {
    /// Gives each instance of `service` the checks that it is to have now.
    pub(super) fn adopt_checks(&mut self, service: &ServiceName, now: Millis) {
        let Some(entry) = self.services.get(service) else { return };
        let checks = entry.checks(&self.defaults);
        let adopt = |view: &InstanceView| {
            let observed = adopted(Some(view), &view.instance, checks, false, now);
            (observed != view.observed).then(|| (view.instance.id.clone(), observed))
        };
        let mut adopted: Vec<_> = entry.instances.iter().filter_map(adopt).collect();
        adopted.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (id, new) in adopted {
            let checks = new.map(|new| new.checks.clone()).unwrap_or_default();
            self.observe(service, &id, now, |observed| observed.checks = checks);
        }
    }
}

/// What is found out about `instance`, which takes the place of `before` in a service with these
/// checks: as before, but for its checks and, if it `registers`, what was found out about another.
/// They are its own, and of those of its service the ones with
/// other names. What is known of a check stays while the same is asked at the same place.
pub(crate) fn adopted(
    before: Option<&InstanceView>,
    instance: &Instance,
    of_service: &[Arc<Check>],
    registers: bool,
    now: Millis,
) -> Option<Arc<Observed>> {
    let observed = before.and_then(|view| view.observed_after(registers));
    let known = observed.as_deref().map_or(&[][..], |observed| &observed.checks);
    let own = instance.checks();
    if known.is_empty() && own.is_empty() && of_service.is_empty() {
        return observed;
    }
    let same = |check: &Arc<Check>| {
        let known = known.iter().find(|view| view.check == *check);
        known.filter(|_| before.is_some_and(|b| asks_the_same(check, &b.instance, instance)))
    };
    let others = of_service.iter().filter(|check| own.iter().all(|o| o.name != check.name));
    let view = |check| same(check).cloned().unwrap_or_else(|| CheckView::new(check, now));
    let checks: Box<[CheckView]> = own.iter().chain(others).map(view).collect();
    let mut new = observed.as_deref().cloned().unwrap_or_default();
    new.checks = checks;
    (new != Observed::default()).then(|| Arc::new(new))
}

/// Whether `check` finds the same in the place of both.
fn asks_the_same(check: &Check, one: &Instance, other: &Instance) -> bool {
    match &check.means {
        Means::Heartbeat(_) => true,
        Means::Probe(probe) => {
            probe.target_address(one) == probe.target_address(other)
                && probe.target_port(one).ok() == probe.target_port(other).ok()
        }
    }
}
