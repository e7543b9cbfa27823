//! What one change costs: in an empty registry, and among 100,000 services.
//!
//! The store acknowledges at once, so that only the registry's own work is measured.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use signpost::model::{Declared, HealthPolicy, Image, InstanceId, Limits, ServiceName, Share};
use signpost::registry::{Names, PersistRequest, Policy, Registry, Renewal};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

fn start(runtime: &Runtime) -> Registry {
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
    registry
}

fn spec(octet: usize) -> signpost::model::InstanceSpec {
    let json = format!(r#"{{"addresses":["10.0.0.{octet}"],"port":80,"ttl":"24h"}}"#);
    serde_json::from_str(&json).expect("a legal instance")
}

async fn fill(registry: &Registry, services: usize) {
    for chunk in (0..services).collect::<Vec<_>>().chunks(1_000) {
        let instances = chunk.iter().flat_map(|s| (1..=3).map(move |i| (*s, i)));
        let register = instances.map(|(s, i)| {
            let service = ServiceName::new(&format!("s{s}")).expect("a legal name");
            (service, InstanceId::new(&format!("i{i}")).expect("a legal id"), spec(i))
        });
        registry.batch(Vec::new(), register.collect()).await.expect("registered");
    }
}

fn one_change(c: &mut Criterion) {
    let mut group = c.benchmark_group("change of a service of 3");
    for services in [1, 1_000, 100_000] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let registry = start(&runtime);
        runtime.block_on(fill(&registry, services));
        let (service, id) = (ServiceName::new("s0"), InstanceId::new("i1"));
        let (service, id) = (service.expect("legal"), id.expect("legal"));
        let mut turn = 0;
        group.bench_function(BenchmarkId::new("services", services), |b| {
            b.iter(|| {
                turn = 1 + turn % 250;
                let register = registry.register(service.clone(), id.clone(), spec(turn));
                black_box(runtime.block_on(register)).expect("registered")
            });
        });
        group.bench_function(BenchmarkId::new("heartbeat, services", services), |b| {
            b.iter(|| {
                let renewal = Renewal {
                    service: service.clone(),
                    id: id.clone(),
                    generation: None,
                    status: None,
                    load: None,
                    read_at: registry.clock().now(),
                };
                black_box(runtime.block_on(registry.renew(vec![renewal]))).expect("renewed")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_change);
criterion_main!(benches);
