//! Panic: where too few of a service's instances are healthy, health is not believed.
//!
//! It decides who is answered, never who is healthy: what instances say of themselves stays as it
//! is. Pure; the state keeps one [`Panicking`] for each service in panic, the view says what it is.

use std::fmt;

use crate::model::{Admin, InstanceId, PanicMode, Settings, Share, Tier};
use crate::registry::instance::InstanceView;

/// A panic as readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// Who is answered.
    pub mode: PanicMode,
    /// The tier that is counted: the active one.
    pub tier: Tier,
    /// The weight of its healthy instances.
    pub healthy: u64,
    /// The weight of its enabled instances.
    pub total: u64,
    /// Whether each instance of the view may be answered, by the same index.
    pub(super) answered: Box<[bool]>,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, healthy, total, .. } = self;
        write!(f, "panic: {}, {healthy} of {total} healthy by weight", mode.as_str())
    }
}

/// What a service in panic remembers from one change to the next.
#[derive(Debug)]
pub(crate) struct Panicking {
    mode: PanicMode,
    tier: Tier,
    /// The last set that was answered before, sorted; empty when nothing is left of it.
    last: Box<[InstanceId]>,
}

impl Panicking {
    /// Whether the service is in panic with these instances, which are sorted by id, and what that
    /// is. `before` is what it was; `answered` says who was answered until now.
    pub(crate) fn next(
        before: Option<Box<Self>>,
        settings: &Settings,
        instances: &[InstanceView],
        answered: impl FnOnce() -> Vec<InstanceId>,
    ) -> Option<(Box<Self>, Panic)> {
        if settings.panic == Share::default() {
            return None;
        }
        let Tally { tier, healthy, total } = Tally::of(instances)?;
        // Another tier has a panic of its own.
        let before = before.filter(|before| before.tier == tier);
        if !panics(settings.panic, before.is_some(), healthy, total) {
            return None;
        }
        let mut last = before.map_or_else(|| answered().into(), |before| before.last);
        last.sort_unstable();
        let mut state = Self { mode: settings.panic_mode, tier, last };
        let left = |view: &InstanceView| state.may(view) && state.had(&view.instance.id);
        if !instances.iter().any(left) {
            state.last = Box::default();
        }
        let answered = instances.iter().map(|view| state.answers(view)).collect();
        let panic = Panic { mode: state.mode, tier, healthy, total, answered };
        Some((Box::new(state), panic))
    }

    /// Whether an instance is answered.
    ///
    /// | mode | instance | answered |
    /// |---|---|---|
    /// | closed | | no |
    /// | open, last_good | usable | yes |
    /// | open, last_good | lapsed, not enabled, of another tier, or new and not yet checked | no |
    /// | open | any other | yes |
    /// | last_good | any other that was answered before, or nobody is left who was | yes |
    /// | last_good | any other | no |
    pub(crate) fn answers(&self, view: &InstanceView) -> bool {
        match self.mode {
            PanicMode::Closed => false,
            PanicMode::Open => view.usable() || self.may(view),
            PanicMode::LastGood => {
                let known = self.last.is_empty() || self.had(&view.instance.id);
                view.usable() || (self.may(view) && known)
            }
        }
    }

    fn may(&self, view: &InstanceView) -> bool {
        let instance = &view.instance;
        let there = !view.lapsed && instance.admin == Admin::Enabled && !view.is_awaited();
        there && instance.tier == self.tier
    }

    fn had(&self, id: &InstanceId) -> bool {
        self.last.binary_search(id).is_ok()
    }
}

/// The enabled instances of the active tier, by weight. One that is new and was not yet checked is
/// neither healthy nor the contrary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tally {
    tier: Tier,
    healthy: u64,
    total: u64,
}

impl Tally {
    /// Counts the lowest tier with a usable instance; without any, the lowest with an enabled one.
    fn of(instances: &[InstanceView]) -> Option<Self> {
        let counts = |v: &&InstanceView| v.instance.admin == Admin::Enabled && !v.is_awaited();
        let enabled = || instances.iter().filter(counts);
        let tier = |view: &InstanceView| view.instance.tier;
        let usable = enabled().filter(|view| view.usable()).map(tier).min();
        let active = usable.or_else(|| enabled().map(tier).min())?;
        let mut tally = Self { tier: active, healthy: 0, total: 0 };
        for view in enabled().filter(|view| tier(view) == active) {
            let weight = u64::from(view.instance.weight.get());
            tally.total += weight;
            tally.healthy += if view.usable() { weight } else { 0 };
        }
        Some(tally)
    }
}

/// Whether a service is in panic.
///
/// | threshold | was in panic | healthy of total | panic |
/// |---|---|---|---|
/// | 0 | | | no |
/// | t | no | under t | yes |
/// | t | no | t or more | no |
/// | t | yes | under t + 5 %, at most all | yes |
/// | t | yes | that or more | no |
fn panics(threshold: Share, panicking: bool, healthy: u64, total: u64) -> bool {
    let threshold = u64::from(threshold.millionths());
    let whole = u64::from(Share::MILLION);
    let enough = if panicking { (threshold + MARGIN).min(whole) } else { threshold };
    threshold > 0 && healthy * whole < enough * total
}

/// What must be healthy above the threshold for a panic to end, in millionths.
const MARGIN: u64 = 50_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{InstanceSpec, Revision};
    use crate::registry::instance::{Source, Vitals};

    fn share(share: f64) -> Share {
        Share::new(share).unwrap()
    }

    #[test]
    fn a_panic_begins_under_the_threshold_and_ends_five_percent_above() {
        for (threshold, panicking, healthy, total, panic) in [
            (0.0, false, 0, 10, false),
            (0.0, true, 0, 10, false),
            (0.5, false, 49, 100, true),
            (0.5, false, 50, 100, false),
            (0.5, false, 0, 0, false),
            (0.5, true, 54, 100, true),
            (0.5, true, 55, 100, false),
            // No rounding: 0.55 x 20 is 11.
            (0.5, true, 11, 20, false),
            (0.3, false, 3, 10, false),
            (1.0, false, 9, 10, true),
            (1.0, false, 10, 10, false),
            (1.0, true, 9, 10, true),
            (1.0, true, 10, 10, false),
        ] {
            let case = (threshold, panicking, healthy, total);
            assert_eq!(panics(share(threshold), panicking, healthy, total), panic, "{case:?}");
        }
    }

    /// Instances a, b, ... of these: weight, tier, admin and status.
    fn views(instances: &[(u16, u16, &str, &str)]) -> Vec<InstanceView> {
        let view = |(i, (weight, tier, admin, status)): (u8, &(u16, u16, &str, &str))| {
            let spec: InstanceSpec = serde_json::from_value(serde_json::json!({
                "addresses": ["10.0.0.1"], "weight": weight, "tier": tier, "status": status,
            }))
            .unwrap();
            let lapsed = *admin == "lapsed";
            let admin = if lapsed { "enabled" } else { admin };
            let admin = serde_json::from_value(admin.into()).unwrap();
            let id = InstanceId::new(&char::from(b'a' + i).to_string()).unwrap();
            InstanceView {
                instance: Arc::new(spec.build(id, None, admin).unwrap()),
                source: Source::File,
                generation: 0,
                owner: None,
                revision: Revision(1),
                lapsed,
                observed: None,
                vitals: Arc::new(Vitals::new()),
            }
        };
        (0..).zip(instances).map(view).collect()
    }

    fn ids(text: &str) -> Vec<InstanceId> {
        text.chars().map(|c| InstanceId::new(&c.to_string()).unwrap()).collect()
    }

    fn settings(mode: PanicMode) -> Settings {
        Settings { panic: share(0.5), panic_mode: mode, ..Settings::default() }
    }

    /// Who is answered, and the tally; `None` without a panic.
    fn panic(mode: PanicMode, views: &[InstanceView], last: &str) -> Option<(String, u64, u64)> {
        let (_, panic) = Panicking::next(None, &settings(mode), views, || ids(last))?;
        let answered = views.iter().zip(&panic.answered).filter(|(_, answered)| **answered);
        let answered = answered.map(|(view, _)| view.instance.id.as_str()).collect();
        Some((answered, panic.healthy, panic.total))
    }

    const ON: &str = "enabled";
    const UP: &str = "passing";
    const DOWN: &str = "critical";

    #[test]
    fn only_enabled_instances_of_the_active_tier_count_by_weight() {
        // Of tier 0 is 3 of 7: c and d are not enabled, e has lapsed.
        let views = views(&[
            (3, 0, ON, UP),
            (1, 0, ON, DOWN),
            (9, 0, "draining", UP),
            (9, 0, "disabled", DOWN),
            (3, 0, "lapsed", UP),
            (9, 1, ON, UP),
            (9, 1, ON, DOWN),
        ]);

        // The usable ones of the other tier stand by as ever.
        let said = |answered: &str| Some((answered.to_owned(), 3, 7));
        assert_eq!(panic(PanicMode::Open, &views, "ab"), said("abf"));
        assert_eq!(panic(PanicMode::Closed, &views, "ab"), said(""));
        assert_eq!(panic(PanicMode::LastGood, &views, "ab"), said("abf"));
        assert_eq!(panic(PanicMode::LastGood, &views, "acde"), said("af"));
        // Nobody of the last set is left but those who may not be answered: as open.
        assert_eq!(panic(PanicMode::LastGood, &views, "cdex"), said("abf"));
    }

    #[test]
    fn a_healthy_tier_takes_over_before_there_is_a_panic() {
        let healthy = views(&[(1, 0, ON, DOWN), (1, 5, ON, UP)]);
        assert_eq!(panic(PanicMode::Open, &healthy, ""), None);

        let none = views(&[(1, 3, ON, DOWN), (1, 5, ON, DOWN), (1, 0, "disabled", UP)]);
        assert_eq!(panic(PanicMode::Open, &none, ""), Some(("a".into(), 0, 1)));
        assert_eq!(panic(PanicMode::Open, &views(&[(1, 0, "draining", UP)]), ""), None);
        assert_eq!(panic(PanicMode::Open, &[], ""), None);
    }

    #[test]
    fn the_last_set_is_that_of_the_start_of_the_panic() {
        let settings = settings(PanicMode::LastGood);
        let down = views(&[(1, 0, ON, DOWN), (1, 0, ON, DOWN), (1, 0, ON, UP)]);
        let (state, first) = Panicking::next(None, &settings, &down, || ids("ac")).unwrap();
        let worse = views(&[(1, 0, ON, DOWN), (1, 0, ON, DOWN), (1, 0, ON, DOWN)]);
        let (_, second) =
            Panicking::next(Some(state), &settings, &worse, || unreachable!()).unwrap();

        assert_eq!(*first.answered, [true, false, true]);
        assert_eq!(*second.answered, [true, false, true]);
        assert_eq!(second.to_string(), "panic: last_good, 0 of 3 healthy by weight");
    }
}
