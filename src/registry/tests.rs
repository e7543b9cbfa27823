//! The engine through its handle, on virtual time, over a store that acknowledges or refuses.

mod agreement;
mod bounds;
mod bursts;
mod checks;
mod combined;
mod declared;
mod guards;
mod in_flight;
mod leases;
mod lull;
mod narrow;
mod near;
mod observed;
mod outages;
mod outcomes;
mod owners;
mod protect;
mod readers;
mod upkeep;
mod writes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::model::{
    Admin, Change, CommitError, Declared, DeclaredService, HealthPolicy, Instance, InstancePatch,
    LeaseTtl, Limit, Limits, Load, Millis, Share, Status,
};

/// A store that keeps what it is given and refuses while it is told to.
#[derive(Clone, Default)]
struct TestStore {
    commits: Arc<Mutex<Vec<crate::model::Commit>>>,
    full: Arc<AtomicBool>,
    /// Whether a refused batch leaves nothing behind; else it is kept all the same.
    forgetful: Arc<AtomicBool>,
    /// While a test holds it, batches stay on their way.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl TestStore {
    fn start(&self) -> mpsc::Sender<PersistRequest> {
        let (sender, mut requests) = mpsc::channel::<PersistRequest>(1);
        let store = self.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                // Even a store that refuses may have kept the batch.
                store.commits.lock().unwrap().push(request.commit);
                drop(store.gate.lock().await);
                let full = store.full.load(Ordering::SeqCst);
                if full && store.forgetful.load(Ordering::SeqCst) {
                    store.commits.lock().unwrap().pop();
                }
                let result = if full { Err(CommitError::Full("test".into())) } else { Ok(()) };
                request.done.send(result).ok();
            }
        });
        sender
    }

    /// What a restart would find.
    fn instances(&self) -> Vec<String> {
        let mut image = BTreeMap::new();
        for change in self.commits.lock().unwrap().iter().flat_map(|c| &c.changes) {
            match change {
                Change::Put { service, record } => {
                    image.insert(format!("{service}/{}", record.instance.id), ());
                }
                Change::Remove { service, id } => {
                    image.remove(&format!("{service}/{id}"));
                }
                Change::Override { .. } | Change::Operator { .. } | Change::Token { .. } => {}
            }
        }
        image.into_keys().collect()
    }
}

fn policy() -> Policy {
    Policy {
        declared: Arc::new(Declared::default()),
        limits: Limits::default(),
        forget_after: Duration::from_secs(600),
        reverse: Vec::new(),
        health: HealthPolicy::default(),
        protect: Share::default(),
    }
}

fn names() -> Names {
    Names { zone_length: "service.local".len(), server: "ns1".into() }
}

fn start(policy: Policy) -> (Registry, TestStore) {
    let store = TestStore::default();
    let (registry, engine) = Registry::new(Image::default(), policy, names(), store.start());
    tokio::spawn(engine.run());
    (registry, store)
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

fn id(name: &str) -> InstanceId {
    InstanceId::new(name).unwrap()
}

fn spec(json: &str) -> InstanceSpec {
    serde_json::from_str(json).unwrap()
}

fn at(address: &str) -> InstanceSpec {
    spec(&format!(r#"{{"addresses":["{address}"],"port":80,"ttl":"10s"}}"#))
}

fn renewal(registry: &Registry, service_name: &str, id_name: &str) -> Renewal {
    Renewal {
        service: service(service_name),
        id: id(id_name),
        generation: None,
        status: None,
        load: None,
        read_at: registry.clock().now(),
    }
}

fn ids(registry: &Registry, name: &str) -> Vec<String> {
    let view = registry.views().service(name);
    let view = view.iter().flat_map(|view| view.instances.iter());
    view.map(|i| i.instance.id.to_string()).collect()
}

fn declared(json: &[&str]) -> Arc<Declared> {
    let instances = json.iter().map(|json| {
        let spec = spec(json);
        let id = spec.id.clone().unwrap();
        spec.build(id, None, Admin::Enabled).unwrap()
    });
    let web = DeclaredService { instances: instances.collect(), ..DeclaredService::default() };
    Arc::new(Declared { services: [(service("web"), web)].into(), ..Declared::default() })
}
