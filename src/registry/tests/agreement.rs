//! That memory, the store and watchers agree in the end, whatever the store refused, whatever was on
//! its way, and whoever was overtaken.

use proptest::prelude::*;
use proptest::sample::select;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::*;
use crate::model::{OperatorState, Record};

#[derive(Debug, Clone)]
enum Step {
    Register(Item),
    Patch(u8, bool),
    /// A heartbeat with a status, of a registration or of whichever there is.
    Heartbeat(u8, Option<u64>, bool),
    Deregister(u8),
    Batch(Vec<u8>, Vec<Item>),
    Override(u8, bool),
    Forget(u8),
    /// Which instances the file declares.
    Declare(Vec<Item>),
    /// Whether the store is full, and whether it forgets what it refuses.
    Full(bool, bool),
    /// Whether commits stay on their way.
    Hold(bool),
    /// What a backup would hold is looked at.
    Capture,
    Wait(u64),
}

/// One of six instances of two services, where it is, and its lease in seconds; 0 is none.
#[derive(Debug, Clone, Copy)]
struct Item {
    instance: u8,
    address: u8,
    lease: u8,
}

impl Item {
    fn spec(self) -> InstanceSpec {
        let Self { instance, address, lease } = self;
        let ttl = if lease == 0 { "null".to_owned() } else { format!("\"{lease}s\"") };
        let id = name(instance).1;
        spec(&format!(r#"{{"id":"{id}","addresses":["10.0.0.{address}"],"ttl":{ttl}}}"#))
    }
}

fn name(instance: u8) -> (ServiceName, InstanceId) {
    (service(["a", "b"][usize::from(instance % 2)]), id(&format!("i-{instance}")))
}

fn item() -> impl Strategy<Value = Item> {
    let lease = select(&[0, 1, 3][..]);
    (0..6_u8, 1..4_u8, lease).prop_map(|(instance, address, lease)| Item {
        instance,
        address,
        lease,
    })
}

/// Some, no two of one instance.
fn items() -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(item(), 0..3).prop_map(|mut items| {
        items.sort_by_key(|item| item.instance);
        items.dedup_by_key(|item| item.instance);
        items
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => item().prop_map(Step::Register),
        2 => (0..6_u8, any::<bool>()).prop_map(|(i, drain)| Step::Patch(i, drain)),
        2 => (0..6_u8, prop::option::of(1..8_u64), any::<bool>())
            .prop_map(|(i, generation, sick)| Step::Heartbeat(i, generation, sick)),
        3 => (0..6_u8).prop_map(Step::Deregister),
        4 => (items(), items()).prop_map(|(gone, new)| {
            let gone = gone.iter().map(|item| item.instance);
            let gone = gone.filter(|i| new.iter().all(|item| item.instance != *i)).collect();
            Step::Batch(gone, new)
        }),
        1 => (0..2_u8, any::<bool>()).prop_map(|(i, random)| Step::Override(i, random)),
        1 => (0..2_u8).prop_map(Step::Forget),
        2 => items().prop_map(Step::Declare),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(full, forgetful)| Step::Full(full, forgetful)),
        4 => any::<bool>().prop_map(Step::Hold),
        1 => Just(Step::Capture),
        6 => select(&[1, 300, 1_000, 1_500][..]).prop_map(Step::Wait),
    ]
}

#[derive(Default)]
struct Calls {
    running: JoinSet<()>,
    held: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Calls {
    async fn take(&mut self, step: Step, registry: &Registry, store: &TestStore) {
        let r = registry.clone();
        // What is refused is none of this test's business.
        match step {
            Step::Register(item) => {
                let (service, id) = name(item.instance);
                self.go(async move { drop(r.register(service, id, item.spec()).await) });
            }
            Step::Patch(i, drain) => {
                let admin = Some(Some(if drain { Admin::Draining } else { Admin::Enabled }));
                let patch = InstancePatch { admin, ..InstancePatch::default() };
                let (service, id) = name(i);
                self.go(async move { drop(r.patch(service, id, patch).await) });
            }
            Step::Heartbeat(i, generation, sick) => {
                let (service, id) = name(i);
                let status = Some(if sick { Status::Critical } else { Status::Passing });
                let read_at = r.clock().now();
                let heartbeat = Renewal { service, id, generation, status, load: None, read_at };
                self.go(async move { drop(r.renew(vec![heartbeat]).await) });
            }
            Step::Deregister(i) => {
                let (service, id) = name(i);
                self.go(async move { drop(r.deregister(service, id).await) });
            }
            Step::Batch(gone, new) => {
                let gone = gone.into_iter().map(name).collect();
                let new = new.into_iter().map(|item| {
                    let (service, id) = name(item.instance);
                    (service, id, item.spec())
                });
                let new = new.collect();
                self.go(async move { drop(r.batch(gone, new).await) });
            }
            Step::Override(i, random) => {
                let json = if random { r#"{"balance":"random"}"# } else { "{}" };
                let patch = serde_json::from_str(json).unwrap();
                self.go(async move { drop(r.set_override(name(i).0, patch).await) });
            }
            Step::Forget(i) => self.go(async move { drop(r.forget(name(i).0).await) }),
            Step::Declare(items) => {
                let mut declared = Declared::default();
                for item in items {
                    let (service, id) = name(item.instance);
                    let instance = item.spec().build(id, None, Admin::Enabled).unwrap();
                    declared.services.entry(service).or_default().instances.push(instance);
                }
                let policy = Policy { declared: Arc::new(declared), ..policy() };
                registry.reload(policy, false).await.unwrap();
            }
            Step::Full(full, forgetful) => {
                store.full.store(full, Ordering::SeqCst);
                store.forgetful.store(forgetful, Ordering::SeqCst);
            }
            Step::Hold(false) => self.held = None,
            Step::Hold(true) => {
                if self.held.is_none() {
                    self.held = Arc::clone(&store.gate).try_lock_owned().ok();
                }
            }
            Step::Capture => drop(registry.capture().await.unwrap()),
            Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
        // Let it reach the engine.
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }

    fn go(&mut self, call: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(call);
    }
}

type Instances = BTreeMap<(ServiceName, InstanceId), (Instance, u64)>;

/// What a restart would find.
#[derive(Debug, Default, PartialEq)]
struct Found {
    instances: Instances,
    overrides: BTreeMap<ServiceName, SettingsPatch>,
    operators: BTreeMap<(ServiceName, InstanceId), OperatorState>,
}

fn stored(store: &TestStore) -> Found {
    let mut found = Found::default();
    for change in store.commits.lock().unwrap().iter().flat_map(|c| c.changes.clone()) {
        match change {
            Change::Put { service, record } => {
                let instance = (*record.instance).clone();
                let key = (service, instance.id.clone());
                found.instances.insert(key, (instance, record.generation));
            }
            Change::Remove { service, id } => drop(found.instances.remove(&(service, id))),
            Change::Override { service, patch: Some(patch) } => {
                found.overrides.insert(service, patch);
            }
            Change::Override { service, patch: None } => drop(found.overrides.remove(&service)),
            Change::Operator { service, id, state } if state.is_empty() => {
                found.operators.remove(&(service, id));
            }
            Change::Operator { service, id, state } => {
                found.operators.insert((service, id), state);
            }
            Change::Token { .. } => panic!("nobody made a token"),
        }
    }
    found
}

/// What a backup would hold.
async fn captured(registry: &Registry) -> (Revision, Found) {
    let Capture { revision, overrides, operators, owners, services } =
        registry.capture().await.unwrap();
    let mut found = Found {
        overrides: overrides.into_iter().map(|(s, patch)| (s, (*patch).clone())).collect(),
        operators: operators.into_iter().map(|(s, id, state)| ((s, id), state)).collect(),
        ..Found::default()
    };
    for (service, views) in services {
        let record = |view: &InstanceView| view.record(owners.of(view));
        for Record { instance, generation, .. } in views.iter().filter_map(record) {
            let key = (service.clone(), instance.id.clone());
            found.instances.insert(key, ((*instance).clone(), generation));
        }
    }
    (revision, found)
}

fn known(registry: &Registry, source: Source) -> Instances {
    let mut known = Instances::new();
    for view in registry.views().all() {
        for own in view.instances.iter().filter(|own| own.source == source) {
            let key = (view.name.clone(), own.instance.id.clone());
            known.insert(key, ((*own.instance).clone(), own.generation));
        }
    }
    known
}

/// What a watcher from the beginning has seen.
fn watched(registry: &Registry, from: Revision) -> Instances {
    let mut watched = Instances::new();
    let mut last = from;
    for event in registry.journal().after(from).unwrap() {
        assert!(event.revision >= last, "{last:?} before {event:?}");
        last = event.revision;
        let service = event.service.clone();
        match &event.kind {
            EventKind::Put(own) => {
                let key = (service, own.instance.id.clone());
                watched.insert(key, ((*own.instance).clone(), own.generation));
            }
            EventKind::Remove(id, _) => drop(watched.remove(&(service, id.clone()))),
            EventKind::Service(_) => {}
        }
    }
    watched
}

proptest! {
    #[test]
    fn memory_the_store_and_watchers_agree(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (registry, store) = start(policy());
            let from = registry.views().revision();
            let mut calls = Calls::default();
            for step in steps {
                calls.take(step, &registry, &store).await;
            }
            calls.held = None;
            store.full.store(false, Ordering::SeqCst);
            // All that was asked is answered, and the store is told again.
            let answered = async { while calls.running.join_next().await.is_some() {} };
            tokio::time::timeout(Duration::from_secs(5), answered).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1_500)).await;

            let found = stored(&store);
            let (api, file) = (known(&registry, Source::Api), known(&registry, Source::File));
            prop_assert_eq!(&found.instances, &api);
            let overrides = registry.views().all().into_iter().filter_map(|view| {
                Some((view.name.clone(), (**view.overrides.as_ref()?).clone()))
            });
            prop_assert_eq!(&found.overrides, &overrides.collect());
            for key in found.operators.keys() {
                prop_assert!(file.contains_key(key), "{key:?} is not declared");
            }
            for (key, (instance, _)) in &file {
                let said = found.operators.get(key).copied().unwrap_or_default();
                prop_assert_eq!(instance.admin, said.admin.unwrap_or_default());
                prop_assert_eq!(instance.status, said.status.unwrap_or_default());
            }
            let mut all = api;
            all.extend(file);
            let counted = registry.stats().instances.load(Ordering::Relaxed);
            prop_assert_eq!(usize::try_from(counted), Ok(all.len()));
            prop_assert_eq!(watched(&registry, from), all);
            let revision = registry.views().revision();
            let (captured_at, captured) = captured(&registry).await;
            // To ask takes a turn, in which a lease may end.
            if captured_at == revision {
                prop_assert_eq!(captured, found);
            }

            // All leases end, and the store hears of it.
            tokio::time::sleep(Duration::from_secs(4)).await;
            let left = known(&registry, Source::Api);
            prop_assert!(left.values().all(|(instance, _)| instance.ttl.is_none()), "{left:?}");
            prop_assert_eq!(stored(&store).instances, left);
            Ok(())
        })?;
    }
}
