//! That nobody is told of a lull while a lease is near its end, whatever happens to leases.

use proptest::prelude::*;
use proptest::sample::select;
use tokio::runtime::Builder;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// An instance, and its lease in seconds; 0 is none.
    Register(u8, u64),
    /// So many milliseconds after it was read.
    Renew(u8, u64),
    Deregister(u8),
    /// The TTL of records, in milliseconds.
    RecordTtl(u64),
    /// What the file says of an instance.
    Declare(u64),
    Wait(u64),
    /// The process is stopped.
    Stop(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let lease = || select(&[0, 1, 2, 3, 7, 30][..]);
    prop_oneof![
        3 => (0..4_u8, lease()).prop_map(|(i, lease)| Step::Register(i, lease)),
        4 => (0..5_u8, 0..400_u64).prop_map(|(i, late)| Step::Renew(i, late)),
        1 => (0..4_u8).prop_map(Step::Deregister),
        1 => select(&[1_000, 1_500, 5_000, 3_600_000][..]).prop_map(Step::RecordTtl),
        1 => lease().prop_map(Step::Declare),
        6 => select(&[1, 99, 100, 500, 1_000, 2_500][..]).prop_map(Step::Wait),
        1 => select(&[1_500, 4_000][..]).prop_map(Step::Stop),
    ]
}

fn leased(i: u8, lease: u64) -> String {
    let ttl = if lease == 0 { "null".to_owned() } else { format!("\"{lease}s\"") };
    format!(r#"{{"id":"web-{i}","addresses":["10.0.0.{i}"],"ttl":{ttl}}}"#)
}

async fn take(step: Step, registry: &Registry) {
    let web = |i: u8| (service("web"), id(&format!("web-{i}")));
    // What is refused, for it is declared or unknown, changes nothing.
    match step {
        Step::Register(i, lease) => {
            let (service, id) = web(i);
            registry.register(service, id, spec(&leased(i, lease))).await.ok();
        }
        Step::Renew(i, late) => {
            let mut renewal = renewal(registry, "web", &format!("web-{i}"));
            renewal.read_at = Millis(renewal.read_at.0 - late);
            registry.renew(vec![renewal]).await.ok();
        }
        Step::Deregister(i) => {
            let (service, id) = web(i);
            registry.deregister(service, id).await.ok();
        }
        Step::RecordTtl(ttl) => {
            let patch = serde_json::from_str(&format!(r#"{{"ttl":"{ttl}ms"}}"#)).unwrap();
            registry.set_override(service("web"), patch).await.unwrap();
        }
        Step::Declare(lease) => {
            let policy = Policy { declared: declared(&[&leased(4, lease)]), ..policy() };
            registry.reload(policy, false).await.unwrap();
        }
        Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        Step::Stop(millis) => tokio::time::advance(Duration::from_millis(millis)).await,
    }
}

proptest! {
    #[test]
    fn a_lull_outlasts_no_lease(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (registry, _) = start(policy());
            for step in steps {
                take(step.clone(), &registry).await;

                let Some(view) = registry.views().service("web") else { continue };
                let now = registry.clock().now();
                if view.leases_outlast_records(now) {
                    let ttl = view.settings.ttl.get();
                    for left in view.instances.iter().filter(|view| !view.lapsed) {
                        let left = left.remaining(now);
                        prop_assert!(left.is_none_or(|left| left >= ttl), "{left:?} {step:?}");
                    }
                }
            }
            Ok(())
        })?;
    }
}
