//! What active checks say of an instance, as its view shows it.
//!
//! The registry decides which checks an instance has; the health layer does them and says when a
//! state is another, which makes a new view. When one was done last, and what it said, changes in
//! place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Check, Checks, Instance, Means, Millis, Probe, ServiceName, Settings, Status};
use crate::registry::instance::InstanceView;
use crate::registry::observed::Observed;
use crate::registry::service::Service;
use crate::registry::state::State;

/// A check of an instance and what it says.
#[derive(Debug, Clone)]
pub struct CheckView {
    /// The check.
    pub check: Arc<Check>,
    /// What results have made of it.
    pub state: Status,
    /// Whether they have.
    pub basis: Basis,
    /// Since when.
    pub since: Millis,
    /// The last result. One and the same for as long as results belong together: another address
    /// or another check has another.
    pub latest: Arc<Latest>,
}

/// What the state of a check rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// On nothing: the instance is new, and left out until its first result.
    Awaited,
    /// On nothing: the instance was there before this process, and is left out until its first
    /// result.
    Resumed,
    /// On results, or on its being well until there are some.
    Known,
}

impl CheckView {
    /// One without results, which is in `state`; `waits` is its basis while it is critical.
    fn new(check: &Arc<Check>, state: Status, waits: Basis, now: Millis) -> Self {
        let basis = if state == Status::Critical { waits } else { Basis::Known };
        let latest = Arc::new(Latest::default());
        let view = Self { check: Arc::clone(check), state, basis, since: now, latest };
        // Who is to be heard of first has not been.
        if state != Status::Critical {
            view.hear(now);
        }
        view
    }

    /// Whether `instance` is out by this alone until it has a first result of this kind.
    fn waits(&self, basis: Basis) -> bool {
        self.state == Status::Critical && self.basis == basis
    }

    /// What is known by this of `check`, which asks the same: everything, but its results are its
    /// own, so that it is done as it says from now on.
    fn handed_on(&self, check: &Arc<Check>) -> Self {
        if self.check == *check {
            return self.clone();
        }
        Self { check: Arc::clone(check), latest: Arc::new(self.latest.copy()), ..self.clone() }
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
        (self.state, self.basis) == (other.state, other.basis)
            && Arc::ptr_eq(&self.latest, &other.latest)
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

    fn copy(&self) -> Self {
        let output = Mutex::new(self.output());
        Self { at: AtomicU64::new(self.at.load(Ordering::Relaxed)), output }
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

/// Why an instance gets its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// This process begins.
    Start,
    /// It is registered or declared as something else than before.
    Registration,
    /// Something else changes, mostly settings.
    Change,
}

impl InstanceView {
    /// Whether nobody knows yet how it is, since it is new.
    pub(crate) fn is_awaited(&self) -> bool {
        self.checks().iter().any(|view| view.waits(Basis::Awaited))
    }

    /// Whether nobody knows yet how it is, since this process is new.
    pub(crate) fn is_resumed(&self) -> bool {
        self.checks().iter().any(|view| view.waits(Basis::Resumed))
    }
}

impl State {
    /// Gives each instance of `service` the checks that it is to have now.
    pub(super) fn adopt_checks(&mut self, service: &ServiceName, now: Millis) {
        let Some(entry) = self.services.get(service) else { return };
        let checks = entry.checks(&self.defaults);
        let occasion = self.occasion(Occasion::Change);
        let adopt = |view: &InstanceView| {
            let observed = adopted(Some(view), &view.instance, checks, occasion, now);
            (observed != view.observed).then(|| (view.instance.id.clone(), observed))
        };
        let mut adopted: Vec<_> = entry.instances.iter().filter_map(adopt).collect();
        adopted.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (id, new) in adopted {
            let checks = new.map(|new| new.checks.clone()).unwrap_or_default();
            self.observe(service, &id, now, |observed| observed.checks = checks);
        }
    }

    /// `occasion`, but for what the start of the process makes of it.
    pub(super) fn occasion(&self, occasion: Occasion) -> Occasion {
        if self.begun { occasion } else { Occasion::Start }
    }
}

/// What is found out about `instance`, which takes the place of `before` in a service with these
/// checks: as before, but for its checks and, where it is registered, what was found out about
/// another. They are its own, and of those of its service the ones with other names.
///
/// | check | begins |
/// |---|---|
/// | asks the same at the same place | as it was |
/// | is new for an instance that is where it was, not registered, and of which no check is critical | passing |
/// | any other | by its `initial` |
pub(crate) fn adopted(
    before: Option<&InstanceView>,
    instance: &Instance,
    of_service: &[Arc<Check>],
    occasion: Occasion,
    now: Millis,
) -> Option<Arc<Observed>> {
    let registers = occasion == Occasion::Registration;
    let observed = before.and_then(|view| view.observed_after(registers));
    let known = observed.as_deref().map_or(&[][..], |observed| &observed.checks);
    let own = instance.checks();
    if known.is_empty() && own.is_empty() && of_service.is_empty() {
        return observed;
    }
    let well = known.iter().all(|view| view.state != Status::Critical);
    let stays = before.is_some_and(|before| {
        let before = &*before.instance;
        (&before.addresses, &before.ports) == (&instance.addresses, &instance.ports)
    });
    let new = |check: &Arc<Check>| {
        let (initial, waits) = match occasion {
            // Who has answered so far does not stop because it is asked for the first time.
            Occasion::Change if stays && well => (Status::Passing, Basis::Known),
            Occasion::Change | Occasion::Registration => (check.initial, Basis::Awaited),
            Occasion::Start => (check.initial, Basis::Resumed),
        };
        CheckView::new(check, initial, waits, now)
    };
    let view = |check: &Arc<Check>| {
        let known = known.iter().find(|view| view.check.name == check.name);
        let same = known.zip(before).filter(|(view, before)| {
            asks_the_same((&view.check, &before.instance), (check, instance))
        });
        same.map_or_else(|| new(check), |(view, _)| view.handed_on(check))
    };
    let others = of_service.iter().filter(|check| own.iter().all(|o| o.name != check.name));
    let checks: Box<[CheckView]> = own.iter().chain(others).map(view).collect();
    let mut new = observed.as_deref().cloned().unwrap_or_default();
    new.checks = checks;
    (new != Observed::default()).then(|| Arc::new(new))
}

/// Whether a check of one instance finds what that of the other does.
fn asks_the_same(one: (&Check, &Instance), other: (&Check, &Instance)) -> bool {
    match (&one.0.means, &other.0.means) {
        (Means::Heartbeat(_), Means::Heartbeat(_)) => true,
        (Means::Probe(a), Means::Probe(b)) => {
            let place = |probe: &Probe, of| (probe.target_address(of), probe.target_port(of).ok());
            a.question == b.question && place(a, one.1) == place(b, other.1)
        }
        (Means::Heartbeat(_), Means::Probe(_)) | (Means::Probe(_), Means::Heartbeat(_)) => false,
    }
}
