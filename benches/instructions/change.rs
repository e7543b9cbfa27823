//! A registry whose store acknowledges at once, and what is written to it.

use std::sync::Arc;
use std::time::Duration;

use signpost::model::{
    Declared, HealthPolicy, Image, InstanceId, InstanceSpec, Limits, ServiceName, Share,
};
use signpost::registry::{Names, PersistRequest, Policy, Registry, Renewal};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// A service of four instances, of which one changes.
pub(crate) struct Changing {
    runtime: Runtime,
    registry: Registry,
    service: ServiceName,
    id: InstanceId,
    turn: u8,
}

impl Changing {
    /// With all of its instances.
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (commits, mut requests) = mpsc::channel::<PersistRequest>(1);
        runtime.spawn(async move {
            while let Some(request) = requests.recv().await {
                request.done.send(Ok(())).ok();
            }
        });
        let policy = Policy {
            declared: Arc::new(Declared::default()),
            limits: Limits::default(),
            forget_after: Duration::from_secs(600),
            reverse: Vec::new(),
            health: HealthPolicy::default(),
            protect: Share::default(),
        };
        let names = Names { zone_length: 13, server: "ns1".into() };
        let (registry, engine) = Registry::new(Image::default(), policy, names, commits);
        runtime.spawn(engine.run());
        let service = ServiceName::new("web").expect("a legal name");
        let id = InstanceId::new("i1").expect("a legal id");
        let mut changing = Self { runtime, registry, service, id, turn: 0 };
        for id in ["i4", "i3", "i2", "i1"] {
            changing.id = InstanceId::new(id).expect("a legal id");
            changing.register();
        }
        changing
    }

    /// Registers the instance again with another address, and waits until it is visible.
    pub(crate) fn register(&mut self) {
        self.turn = 1 + self.turn % 250;
        let spec = spec(self.turn);
        let register = self.registry.register(self.service.clone(), self.id.clone(), spec);
        self.runtime.block_on(register).expect("registered");
    }

    /// Renews the lease.
    pub(crate) fn renew(&self) {
        let renewal = Renewal {
            service: self.service.clone(),
            id: self.id.clone(),
            generation: None,
            status: None,
            load: None,
            read_at: self.registry.clock().now(),
        };
        self.runtime.block_on(self.registry.renew(vec![renewal])).expect("renewed");
    }
}

fn spec(octet: u8) -> InstanceSpec {
    let json = format!(r#"{{"addresses":["10.0.0.{octet}"],"port":80,"ttl":"24h"}}"#);
    serde_json::from_str(&json).expect("a legal instance")
}
