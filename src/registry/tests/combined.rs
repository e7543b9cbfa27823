//! All guards at once: checks, outcomes, overload, panic, protection, slow start, drains and
//! restarts of one service, in any order. Whatever happens, what is answered is what the rules say,
//! and when all is quiet again nothing is left of any of it.

use proptest::prelude::*;
use proptest::sample::select;
use tokio::runtime::Builder;

use super::*;
use crate::model::{PanicMode, Record, Tier};

/// What may happen to one of six instances, to the service or to time.
#[derive(Debug, Clone)]
enum Step {
    /// A registration with or without a check, in one of two tiers.
    Register(u8, bool, u16),
    Beat(u8, Option<Status>, Option<&'static str>),
    Patch(u8, &'static str),
    /// A check says this.
    Check(u8, Status),
    /// Clients report so many failures; a success where it is none.
    Report(u8, u32),
    Deregister(u8),
    Set(&'static str),
    Sleep(u16),
    Restart,
}

const SETTINGS: [&str; 8] = [
    r#"{}"#,
    r#"{"panic":0.5,"protect":0.5}"#,
    r#"{"panic":0.7,"panic_mode":"last_good","slow_start":"5s","balance":"random"}"#,
    r#"{"panic":0.5,"panic_mode":"closed","protect":0.3,"protect_for":"20s"}"#,
    r#"{"protect":0.5,"protect_for":"30s","slow_start":"20s"}"#,
    r#"{"protect":0.5,"checks":[{"kind":"http","name":"of-all"}]}"#,
    r#"{"ejection_max":0.9,"ejection_base":"5s","panic":0.2}"#,
    r#"{"ejection":"off","balance":"least_connections"}"#,
];

const LOADS: [&str; 3] = [r#"{"overloaded":true}"#, r#"{"overloaded":false}"#, r#"{"cpu":0.5}"#];

const PATCHES: [&str; 3] = [r#"{"admin":"draining"}"#, r#"{"admin":"enabled"}"#, r#"{"weight":9}"#];

fn step() -> impl Strategy<Value = Step> {
    let which = || 1..=6_u8;
    let status = || select(&[Status::Passing, Status::Warning, Status::Critical][..]);
    let load = select(&LOADS[..]);
    prop_oneof![
        6 => (which(), any::<bool>(), 0..2_u16).prop_map(|(i, c, tier)| Step::Register(i, c, tier)),
        8 => (which(), prop::option::of(status()), prop::option::of(load))
            .prop_map(|(i, status, load)| Step::Beat(i, status, load)),
        2 => (which(), select(&PATCHES[..])).prop_map(|(i, patch)| Step::Patch(i, patch)),
        6 => (which(), status()).prop_map(|(i, state)| Step::Check(i, state)),
        4 => (which(), 0..9_u32).prop_map(|(i, failures)| Step::Report(i, failures)),
        1 => which().prop_map(Step::Deregister),
        3 => select(&SETTINGS[..]).prop_map(Step::Set),
        5 => (0..6_000_u16).prop_map(Step::Sleep),
        1 => Just(Step::Sleep(12_000)),
        1 => Just(Step::Restart),
    ]
}

/// A process, and what the next one would find.
struct World {
    registry: Registry,
    settings: SettingsPatch,
}

impl World {
    fn start(image: Image) -> Self {
        let settings = image.overrides.first().map(|(_, patch)| patch.clone()).unwrap_or_default();
        let (registry, engine) =
            Registry::new(image, policy(), names(), TestStore::default().start());
        tokio::spawn(engine.run());
        Self { registry, settings }
    }

    fn restarted(&self) -> Self {
        let record = |view: &InstanceView| {
            let (instance, generation) = (Arc::clone(&view.instance), view.generation);
            (service("web"), Record { instance, generation, owner: None })
        };
        let view = self.view();
        Self::start(Image {
            instances: view.iter().flat_map(|view| view.instances.iter().map(record)).collect(),
            overrides: vec![(service("web"), self.settings.clone())],
            ..Image::default()
        })
    }

    fn view(&self) -> Option<Arc<ServiceView>> {
        self.registry.views().service("web")
    }

    /// Does what a client, a check or an operator may do. What is refused is their loss.
    async fn take(&mut self, step: Step) {
        let (registry, web) = (&self.registry, || service("web"));
        match step {
            Step::Register(i, checked, tier) => {
                let check = if checked { r#","checks":[{"kind":"tcp"}]"# } else { "" };
                let spec = spec(&format!(
                    r#"{{"addresses":["10.0.0.{i}"],"port":80,"ttl":"10s","tier":{tier}{check}}}"#
                ));
                registry.register(web(), name(i), spec).await.unwrap();
            }
            Step::Beat(i, status, load) => {
                let load = load.map(|load| serde_json::from_str(load).unwrap());
                let own = renewal(registry, "web", name(i).as_str());
                registry.renew(vec![Renewal { status, load, ..own }]).await.unwrap();
            }
            Step::Patch(i, patch) => {
                drop(registry.patch(web(), name(i), serde_json::from_str(patch).unwrap()).await);
            }
            Step::Check(i, state) => {
                let view = self.view();
                let own = view.iter().find_map(|view| view.instance(name(i).as_str()));
                let Some((_, own)) = own else { return };
                let observations = own.checks().iter().map(|check| Observation {
                    service: web(),
                    id: name(i),
                    generation: own.generation,
                    check: CheckView { state, basis: Basis::Known, ..check.clone() },
                });
                registry.observe(observations.collect()).await.unwrap();
            }
            Step::Report(i, failures) => {
                let successes = u32::from(failures == 0);
                let outcome = Outcome { id: name(i), successes, failures, latency_ms: None };
                drop(registry.report(web(), vec![outcome]).await);
            }
            Step::Deregister(i) => {
                registry.deregister(web(), name(i)).await.unwrap();
            }
            Step::Set(settings) => {
                self.settings = serde_json::from_str(settings).unwrap();
                registry.set_override(web(), self.settings.clone()).await.unwrap();
            }
            Step::Sleep(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
            Step::Restart => *self = self.restarted(),
        }
        // Until what has come due is done.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn assert_sound(&self) {
        let Some(view) = self.view() else { return };
        let now = self.registry.clock().now();
        let instances = &view.instances;
        let reasons: Vec<_> = instances.iter().map(InstanceView::reasons).collect();
        let seen = || format!("{reasons:?} {:?} {:?}", view.panic, view.settings);

        // Who would be answered if it was not ejected, and who of them is.
        let candidates = instances.iter().filter(|own| own.is_candidate()).count();
        let ejected = reasons.iter().filter(|reasons| **reasons == ["ejected"]).count();
        assert!(ejected <= view.settings.ejection_max.of(candidates), "{}", seen());
        for own in instances.iter() {
            let observed = own.observed.as_deref().cloned().unwrap_or_default();
            let over = observed.ejected.is_some_and(|ejected| ejected.until <= now);
            assert!(!over, "{} {}", own.instance.id, seen());
            let ends = own.remaining(now).is_some_and(|left| left > Duration::ZERO);
            assert!(ends || observed.suspect.is_none(), "{} {}", own.instance.id, seen());
            let all = self.settings.checks.iter().flat_map(|checks| checks.iter());
            let all = own.instance.checks().iter().chain(all).map(|check| check.name.clone());
            let has: Vec<_> = own.checks().iter().map(|check| check.check.name.clone()).collect();
            assert_eq!(has, all.collect::<Vec<_>>(), "{}", own.instance.id);
        }
        // Having too much to do takes nobody out where it would take all of a tier out.
        let tiers = |with: &str| -> std::collections::BTreeSet<Tier> {
            let of = instances.iter().zip(&reasons).filter(|(_, own)| own.join(" ") == with);
            of.map(|(own, _)| own.instance.tier).collect()
        };
        assert!(tiers("overloaded").is_subset(&tiers("")), "{}", seen());

        // Without a panic who is usable is answered, and else as its mode says.
        for (i, own) in (0..).zip(instances.iter()) {
            let answered = view.answers(i);
            match view.panic.as_ref().map(|panic| panic.mode) {
                None => assert_eq!(answered, own.usable(), "{} {}", own.instance.id, seen()),
                Some(PanicMode::Closed) => assert!(!answered),
                Some(PanicMode::Open | PanicMode::LastGood) => {
                    let out = own.lapsed || own.instance.admin != Admin::Enabled;
                    assert!(answered || !own.usable(), "{} {}", own.instance.id, seen());
                    assert!(!(answered && out), "{} {}", own.instance.id, seen());
                    let awaited = own.is_awaited() && !own.usable();
                    assert!(!(answered && awaited), "{} {}", own.instance.id, seen());
                }
            }
            let weighing = view.weighing(i);
            assert!(weighing.slow_start == 1000 || view.panic.is_none(), "{}", seen());
        }
        let stats = self.registry.stats();
        let counted = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        assert_eq!(counted(&stats.services_in_panic), u64::from(view.panic.is_some()));
        assert_eq!(counted(&stats.suspect), view.found.suspect as u64, "{}", seen());
        assert_eq!(counted(&stats.ejected), view.found.ejected as u64, "{}", seen());
    }

    /// Lets everybody be well for longer than anything lasts, and asserts that nothing is left.
    async fn assert_heals(&mut self) {
        for second in 0..400 {
            for i in 1..=6 {
                let status = Some(Status::Passing);
                self.take(Step::Beat(i, status, Some(LOADS[1]))).await;
            }
            if second < 3 {
                for i in 1..=6 {
                    self.take(Step::Patch(i, r#"{"admin":"enabled"}"#)).await;
                    self.take(Step::Check(i, Status::Passing)).await;
                    // A row of failures ends with a success alone.
                    self.take(Step::Report(i, 0)).await;
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.assert_sound();
        }
        let Some(view) = self.view() else { return };
        for (i, own) in (0..).zip(view.instances.iter()) {
            assert_eq!(own.reasons(), [""; 0], "{}", own.instance.id);
            assert_eq!((own.suspect(), view.weighing(i).slow_start), (None, 1000));
        }
        assert_eq!(view.panic, None);
        let outcomes = self.registry.outcomes(service("web")).await.unwrap();
        assert_eq!(outcomes, [], "the breaker has forgotten everything");
    }
}

fn name(i: u8) -> InstanceId {
    id(&format!("web-{i}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_comes_together_the_rules_hold_and_all_of_it_ends(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut runtime = Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let mut world = World::start(Image::default());
            for step in steps {
                world.take(step).await;
                world.assert_sound();
            }
            world.assert_heals().await;
        });
    }
}
