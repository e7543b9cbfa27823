//! What a durable commit costs, by how many registrations share it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use signpost::model::{Change, Commit, Instance, Record, Revision, ServiceName};
use signpost::store::{Embedded, Store};

/// A registration of about 300 bytes, into one of 100 services.
fn put(n: u64) -> Change {
    let instance = serde_json::json!({
        "id": format!("instance-{n}"),
        "addresses": [format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)],
        "ports": [{"name": "http", "port": 8080, "protocol": "tcp"}],
        "metadata": {"version": "1.2.3", "commit": "0123456789abcdef"},
        "ttl": "30s",
    });
    let instance: Instance = serde_json::from_value(instance).expect("a legal instance");
    let service = ServiceName::new(&format!("service-{}", n % 100)).expect("a legal name");
    Change::Put {
        service,
        record: Record { instance: Arc::new(instance), generation: n, owner: None },
    }
}

fn commits(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Embedded::open(folder.path()).expect("a new store");
    let mut revision = Revision(0);
    let mut registered = 0;

    let mut group = criterion.benchmark_group("commit");
    for size in [1, 64, 256] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_batched(
                || {
                    revision = revision.next();
                    registered += size;
                    let changes = (registered - size..registered).map(put).collect();
                    Commit { revision, changes }
                },
                |commit| store.commit(black_box(&commit)).expect("a commit"),
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
