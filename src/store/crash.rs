//! A crash at any write loses nothing that was acknowledged, and leaves nothing half done.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::model::{Change, Commit, Image, InstanceId, Revision, ServiceName};
use crate::store::Store;
use crate::store::contract::{commit, name, put};
use crate::store::disk::{Disk, Operation, after_kill, after_power_loss};
use crate::store::embedded::recognise;
use crate::store::frame::{Frame, RESERVE};
use crate::store::reopen::reopen;
use crate::store::tables::Tables;

fn opened(disk: &Disk) -> Tables {
    recognise(Box::new(disk.clone()), Path::new("data"), Path::new("data/registry.redb")).unwrap()
}

/// A new registry on a disk of its own, as it is before it is renamed into place.
fn created() -> Vec<u8> {
    let disk = Disk::default();
    Tables::create(Frame::create(Box::new(disk.clone())).unwrap()).unwrap();
    disk.bytes()
}

/// Growth, replacement, and then removal of nearly all, so that the file shrinks as well.
fn workload() -> Vec<Commit> {
    let instance = |i: u64| format!("i{i:04}");
    let grow = |n: u64| (n * 30..n * 30 + 30).map(|i| put("web", &instance(i), i)).collect();
    let replace = |n: u64| vec![put("web", &instance(n), n + 1000), put("api", "a", n)];
    let clear = |n: u64| {
        let remove =
            |i| Change::Remove { service: name("web"), id: InstanceId::new(&instance(i)).unwrap() };
        ((n - 20) * 100..(n - 19) * 100).map(remove).collect()
    };
    let changes = |n| match n {
        0..15 => grow(n),
        15..20 => replace(n),
        _ => clear(n),
    };
    (0..25).map(|n| commit(n + 1, changes(n))).collect()
}

/// The image's instances, for comparison.
fn held(tables: &Tables) -> Vec<(ServiceName, String)> {
    let image: Image = tables.image().unwrap();
    let shown = |record| serde_json::to_string(&record).unwrap();
    image.instances.into_iter().map(|(service, record)| (service, shown(record))).collect()
}

#[test]
fn a_crash_at_any_write_loses_nothing_acknowledged() {
    let start = created();
    let disk = Disk::holding(start.clone());
    let mut tables = opened(&disk);
    tables.begin().unwrap();
    // What was held, and how far the disk was, when each commit was acknowledged.
    let mut acknowledged = vec![(disk.operations().len(), held(&tables))];
    for commit in workload() {
        tables.commit(&commit).unwrap();
        acknowledged.push((disk.operations().len(), held(&tables)));
    }
    tables.close(Revision(30)).unwrap();
    let operations = disk.operations();
    let mut rng = StdRng::seed_from_u64(3);

    for end in 0..=operations.len() {
        let done = &operations[..end];
        let before = acknowledged.iter().rposition(|(at, _)| *at <= end);
        let legal = &acknowledged[before.unwrap_or(0)..];
        let legal = &legal[..legal.len().min(2)];
        let lost = (0..2).map(|_| after_power_loss(&start, done, &mut rng));

        for bytes in [after_kill(&start, done)].into_iter().chain(lost) {
            let mut tables = opened(&Disk::holding(bytes));
            tables.begin().unwrap();

            let found = held(&tables);
            assert!(legal.iter().any(|(_, held)| *held == found), "after {end} operations");
        }
    }
}

#[test]
fn a_crash_never_repeats_a_revision() {
    let disk = Disk::holding(created());
    let mut tables = opened(&disk);
    assert_eq!(tables.begin().unwrap(), (Revision(0), true));
    tables.commit(&commit(5, vec![put("web", "a", 1)])).unwrap();

    // Three lives that end at once, each of which may have handed out numbers in memory.
    let mut revisions = Vec::new();
    let mut bytes = disk.bytes();
    for _ in 0..3 {
        let disk = Disk::holding(bytes);
        let mut tables = opened(&disk);
        revisions.push(tables.begin().unwrap());
        bytes = disk.bytes();
    }

    assert_eq!(revisions, [1, 2, 3].map(|n| (Revision(5 + n * RESERVE), false)));
}

/// What a commit waits for: one sync, after all that it wrote. Growth of the file is one more.
#[test]
fn a_commit_ends_with_one_sync() {
    let disk = Disk::holding(created());
    let mut tables = opened(&disk);
    tables.begin().unwrap();
    for n in 1..30 {
        let before = disk.operations().len();

        tables.commit(&commit(n, vec![put("web", &format!("i{n}"), n)])).unwrap();

        let mut done = disk.operations().split_off(before);
        done.retain(|operation| !matches!(operation, Operation::Write(..)));
        if let [Operation::SetLen(_), Operation::Sync, ..] = done[..] {
            done.drain(..2);
        }
        assert!(
            matches!(done[..], [Operation::Sync] | [Operation::Sync, Operation::SetLen(_)]),
            "{done:?}"
        );
    }
}

#[test]
fn a_creation_that_was_killed_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("registry.redb.new"), b"signpost\x1a\r\n").unwrap();

    let mut store = reopen(folder.path());

    assert_eq!(store.load().unwrap(), Image::default());
    assert!(!folder.path().join("registry.redb.new").exists());
}
