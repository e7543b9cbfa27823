//! Who is ejected, for how long, and that never too many are.

use proptest::prelude::*;

use super::*;
use crate::model::{SettingsPatch, Share};

/// A service of `web-0` to `web-9` or fewer, none of them out for other reasons.
struct Service {
    outliers: Outliers,
    rules: Rules,
    instances: usize,
    now: Millis,
}

impl Service {
    fn of(instances: usize) -> Self {
        let rules = Rules::of(&Settings::default());
        Self { outliers: Outliers::default(), rules, instances, now: Millis(1_000) }
    }

    fn report(&mut self, instance: usize, successes: u32, failures: u32) -> Vec<Step> {
        self.note(instance, successes, failures);
        self.settle()
    }

    fn note(&mut self, instance: usize, successes: u32, failures: u32) {
        let outcome = Outcome { id: id(instance), successes, failures, latency_ms: None };
        self.outliers.report(7, &outcome, &self.rules, self.now);
    }

    fn settle(&mut self) -> Vec<Step> {
        let count = self.instances;
        let is_candidate = |other: &InstanceId| (0..count).any(|instance| id(instance) == *other);
        self.outliers.settle(&self.rules, || count, is_candidate, self.now)
    }

    fn wait(&mut self, seconds: u64) -> Vec<Step> {
        let end = self.now + Duration::from_secs(seconds);
        let mut steps = Vec::new();
        while let Some(next) = self.outliers.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            steps.extend(self.settle());
        }
        self.now = end;
        steps
    }

    fn ejected(&self) -> usize {
        self.outliers.ejected.len()
    }
}

fn id(instance: usize) -> InstanceId {
    InstanceId::new(&format!("web-{instance}")).unwrap()
}

fn eject(instance: usize, cause: Cause, until: Millis) -> Step {
    Step::Eject { id: id(instance), cause, until }
}

#[test]
fn five_failures_in_a_row_eject_for_30_s() {
    let mut service = Service::of(3);

    assert_eq!(service.report(0, 0, 4), []);
    let until = service.now + Duration::from_secs(30);
    assert_eq!(service.report(0, 0, 1), [eject(0, Cause::Failures, until)]);
    assert_eq!(service.wait(29), []);
    assert_eq!(service.wait(1), [Step::Return { id: id(0) }]);
}

#[test]
fn a_success_ends_the_run() {
    let mut service = Service::of(3);

    service.report(0, 0, 4);
    service.report(0, 1, 4);

    assert_eq!(service.report(0, 0, 4), []);
}

#[test]
fn each_ejection_is_longer_and_quiet_intervals_make_them_shorter() {
    let mut service = Service::of(3);
    let mut times = Vec::new();
    for _ in 0..12 {
        let steps = service.report(0, 0, 5);
        let [Step::Eject { until, .. }] = steps[..] else { panic!("{steps:?}") };
        times.push(until.since(service.now).as_secs());
        service.wait(times[times.len() - 1]);
    }
    assert_eq!(times, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);

    // The interval of the return is not quiet, and nor is the one that has begun.
    service.wait(60);
    let steps = service.report(0, 0, 5);

    let [Step::Eject { until, .. }] = steps[..] else { panic!("{steps:?}") };
    let time = until.since(service.now).as_secs();
    assert!((150..=180).contains(&time), "{time}");
}

#[test]
fn what_caches_still_send_to_an_ejected_instance_changes_nothing() {
    let mut service = Service::of(3);
    service.report(0, 0, 5);

    assert_eq!(service.report(0, 0, 100), []);
    assert_eq!(service.wait(30), [Step::Return { id: id(0) }]);
    assert_eq!(service.report(0, 0, 4), []);
}

#[test]
fn success_rates_far_below_the_others_eject() {
    let mut service = Service::of(6);
    for instance in 0..5 {
        service.note(instance, 99, 1);
    }
    service.note(5, 80, 20);

    let until = service.now + Duration::from_secs(40);
    assert_eq!(service.wait(10), [eject(5, Cause::SuccessRate, until)]);
}

#[test]
fn few_requests_few_instances_and_small_differences_tell_nothing() {
    for (instances, requests, failures) in [(4, 100, 50), (5, 99, 50), (5, 1_000, 40)] {
        let mut service = Service::of(instances + 1);
        for instance in 1..instances {
            service.note(instance, requests, 0);
        }
        // The last report is one with a success, whatever came before.
        service.note(0, requests - failures, failures);

        assert_eq!(service.wait(10), [], "{instances} {requests} {failures}");
    }
}

#[test]
fn one_of_two_may_be_ejected_and_the_other_is_held() {
    let mut service = Service::of(2);
    service.report(0, 0, 5);

    assert_eq!(service.report(1, 0, 5), [Step::Hold { id: id(1) }]);
    assert_eq!(service.report(1, 0, 5), []);
    assert_eq!(service.ejected(), 1);
}

#[test]
fn one_that_is_held_is_ejected_when_there_is_room() {
    let mut service = Service::of(2);
    service.report(0, 0, 5);
    service.report(1, 0, 5);
    service.instances = 10;

    let until = service.now + Duration::from_secs(30);
    assert_eq!(service.settle(), [eject(1, Cause::Failures, until)]);
}

#[test]
fn an_ejection_ends_when_too_few_others_are_left() {
    let mut service = Service::of(10);
    for instance in 0..3 {
        service.report(instance, 0, 5);
        service.wait(1);
    }
    service.instances = 3;

    assert_eq!(service.settle(), [0, 1].map(|instance| Step::Return { id: id(instance) }));
    service.instances = 1;
    assert_eq!(service.settle(), []);
    assert_eq!(service.ejected(), 1, "web-2 is out for another reason by now");
}

#[test]
fn switched_off_it_takes_everybody_back() {
    let mut service = Service::of(3);
    service.report(0, 0, 5);
    let off: SettingsPatch = serde_json::from_str(r#"{"ejection":"off"}"#).unwrap();
    service.rules = Rules::of(&Settings::default().patched(&off));

    assert_eq!(service.settle(), [Step::Return { id: id(0) }]);
    assert_eq!(service.report(1, 0, 50), []);
}

#[test]
fn a_new_registration_starts_anew() {
    let mut service = Service::of(3);
    service.report(0, 0, 4);
    let outcome = Outcome { id: id(0), successes: 0, failures: 1, latency_ms: None };

    service.outliers.report(8, &outcome, &service.rules, service.now);

    assert_eq!(service.settle(), []);
}

#[test]
fn nothing_is_remembered_of_who_does_well() {
    let mut service = Service::of(3);
    service.report(0, 10, 0);
    service.report(1, 0, 5);
    assert!(!service.outliers.is_empty());

    service.wait(120);

    assert!(service.outliers.is_empty());
    assert_eq!(service.outliers.next(), None);
}

#[derive(Debug, Clone)]
enum Event {
    Report(usize, u32, u32),
    Wait(u64),
    Instances(usize),
    Max(f64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..12_usize, 0..200_u32, 0..200_u32).prop_map(|(i, s, f)| Event::Report(i, s, f)),
        4 => (0..12_usize, 1..20_u32).prop_map(|(i, f)| Event::Report(i, 0, f)),
        2 => (0..40_u64).prop_map(Event::Wait),
        1 => (0..13_usize).prop_map(Event::Instances),
        1 => (0..=10_u8).prop_map(|max| Event::Max(f64::from(max) / 10.0)),
    ]
}

proptest! {
    #[test]
    fn never_more_are_ejected_than_the_cap_allows_and_never_all(
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut service = Service::of(12);
        let mut ejected = BTreeSet::new();
        for event in events {
            let steps = match event {
                Event::Report(instance, successes, failures) => {
                    service.report(instance, successes, failures)
                }
                Event::Wait(seconds) => service.wait(seconds),
                Event::Instances(instances) => {
                    service.instances = instances;
                    service.settle()
                }
                Event::Max(max) => {
                    service.rules.max = EjectionMax::from(Share::new(max).unwrap());
                    service.settle()
                }
            };
            for step in steps {
                match step {
                    Step::Eject { id, until, .. } => {
                        let time = until.since(service.now);
                        prop_assert!(time <= Duration::from_secs(300), "{time:?}");
                        prop_assert!(ejected.insert(id));
                    }
                    Step::Return { id } => prop_assert!(ejected.remove(&id)),
                    Step::Hold { id } => prop_assert!(!ejected.contains(&id)),
                }
            }
            // What the steps say is what is remembered.
            prop_assert_eq!(&ejected, &service.outliers.ejected);
            let (count, max) = (service.instances, service.rules.max);
            let counted = (0..count).filter(|instance| ejected.contains(&id(*instance))).count();
            prop_assert!(counted <= max.of(count), "{} of {}", counted, count);
            prop_assert!(counted < count.max(1));
            // And it never sleeps over an end.
            prop_assert!(service.outliers.next().is_none_or(|next| next > service.now));
        }
    }
}
