//! A disk that fills up fails commits and nothing else, and works again once there is space.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use redb::Error;

use crate::model::{Change, Commit, CommitError, Image, Revision, ServiceName};
use crate::store::contract::{commit, name, put, record};
use crate::store::disk::Disk;
use crate::store::embedded::{contained, recognise};
use crate::store::frame::Frame;
use crate::store::reopen::reopen;
use crate::store::tables::Tables;
use crate::store::{Embedded, Store, StoreError};

fn opened(disk: &Disk) -> Result<Tables, StoreError> {
    recognise(Box::new(disk.clone()), Path::new("data"), Path::new("data/registry.redb"))
}

fn is_full(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::StorageFull
}

/// The instances `i0000`... of `web`, in order, as changes and as an image holds them.
fn instances(count: u64) -> (Vec<Change>, Vec<(ServiceName, crate::model::Record)>) {
    let id = |i: u64| format!("i{i:04}");
    let changes = (0..count).map(|i| put("web", &id(i), i)).collect();
    (changes, (0..count).map(|i| (name("web"), record(&id(i), i))).collect())
}

/// The disk fills at every single operation of a commit that grows the file, and of the two
/// attempts to open the file again that follow.
#[test]
fn a_commit_that_fails_at_any_write_can_be_stated_again() {
    let (changes, whole) = instances(300);
    for space in 0.. {
        let disk = Disk::default();
        Tables::create(Frame::create(Box::new(disk.clone())).unwrap()).unwrap();
        let mut tables = opened(&disk).unwrap();
        tables.begin().unwrap();
        tables.commit(&commit(1, changes[..10].to_vec())).unwrap();
        disk.fill_after(space);
        let failed = contained(|| tables.commit(&commit(2, changes.clone())));
        let Err(error) = failed else { break };
        assert!(matches!(&error, Error::Io(error) if is_full(error)), "{space}: {error:?}");
        drop(tables);
        let left = disk.bytes();

        // Still full, and a little later full again at another point.
        for space in [0, space % 7] {
            disk.fill_after(space);
            match opened(&disk) {
                Ok(tables) => drop(tables),
                Err(StoreError::Io { source, .. }) => assert!(is_full(&source), "{source:?}"),
                Err(other) => panic!("{space}: {other}"),
            }
        }
        assert!(disk.heal());
        let mut tables = opened(&disk).unwrap();
        tables.commit(&commit(3, changes.clone())).unwrap();
        assert_eq!(tables.image().unwrap().instances, whole);
        tables.close(Revision(3)).unwrap();
        assert_eq!(opened(&disk).unwrap().image().unwrap().instances, whole);

        // Or the server is killed instead: all of the commit is there, or nothing of it.
        let found = opened(&Disk::holding(left)).unwrap().image().unwrap().instances;
        assert!(found == whole || found == whole[..10], "{space}");
    }
}

/// A file system of 2 MiB, for as long as this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount one.
    fn mount(at: &Path) -> Option<Self> {
        let at = at.join("disk");
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(&at).output();
        let output = output.unwrap();
        if output.status.success() {
            return Some(Self(at));
        }
        eprintln!("skipped: cannot mount: {}", String::from_utf8_lossy(&output.stderr));
        None
    }

    /// Fills it but for `free` bytes.
    fn fill(&self, free: u64) {
        let mut ballast = fs::File::create(self.0.join("ballast")).unwrap();
        let mut size = 0;
        while ballast.write_all(&[1; 4096]).is_ok() {
            size += 4096;
        }
        ballast.set_len(u64::saturating_sub(size, free)).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_fails_commits_until_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else { return };
    let data = disk.0.join("data");
    let (changes, whole) = instances(600);
    let mut store = Box::new(reopen(&data));
    let mut revision = 0;
    let mut failures = 0;

    for free in (0..40).map(|pages| pages * 4096) {
        disk.fill(free);
        // Ever more, until it is refused or all of it fits.
        let mut at = 0;
        let refused = loop {
            revision += 1;
            let next = changes[at..at + 20].to_vec();
            match store.commit(&commit(revision, next)) {
                Ok(()) if at + 20 == changes.len() => break false,
                Ok(()) => at += 20,
                Err(CommitError::Full(_)) => break true,
                Err(other) => panic!("{free}: {other}"),
            }
        };
        if refused {
            failures += 1;
            let again = store.commit(&commit(revision, changes[at..at + 20].to_vec()));
            assert!(matches!(again, Ok(()) | Err(CommitError::Full(_))), "{free}: {again:?}");
        }
        disk.free();
        revision += 1;
        store.commit(&commit(revision, changes[at..].to_vec())).unwrap();
        assert_eq!(store.load().unwrap().instances, whole, "{free}");

        // Back to a small file, so that the next round must grow it again.
        let small = changes.iter().skip(1).map(|change| match change {
            Change::Put { service, record } => {
                Change::Remove { service: service.clone(), id: record.instance.id.clone() }
            }
            other => other.clone(),
        });
        store.commit(&commit(revision, small.collect())).unwrap();
        store.close(Revision(revision)).unwrap();
        store = Box::new(reopen(&data));
        assert_eq!(
            store.load().unwrap(),
            Image {
                revision: Revision(revision),
                instances: whole[..1].to_vec(),
                ..Image::default()
            }
        );
    }

    assert!(failures > 5, "the disk was full {failures} times");
}

#[test]
fn the_folder_stays_locked_after_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else { return };
    let data = disk.0.join("data");
    let (changes, _) = instances(1500);
    let mut store = reopen(&data);
    disk.fill(0);

    let failed = store.commit(&commit(1, changes));

    assert!(matches!(failed, Err(CommitError::Full(_))), "{failed:?}");
    assert!(matches!(Embedded::open(&data), Err(StoreError::InUse { folder }) if folder == data));
}

/// DNS must be back after a restart, whatever fills the disk.
#[test]
fn a_store_starts_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else { return };
    let data = disk.0.join("data");
    let (changes, whole) = instances(300);
    let mut store = reopen(&data);
    store.commit(&commit(1, changes.clone())).unwrap();
    Box::new(store).close(Revision(1)).unwrap();
    disk.fill(0);

    // After a clean end, and then after a crash.
    for clean in [true, false] {
        let mut store = reopen(&data);
        let image = store.load().unwrap();
        assert_eq!(image.instances, whole);
        assert_eq!(image.revision == Revision(1), clean);
        let failed = store.commit(&commit(image.revision.0 + 1, changes.clone()));
        assert!(matches!(failed, Err(CommitError::Full(_))), "{failed:?}");
    }
    disk.free();
    let mut store = reopen(&data);
    let revision = store.load().unwrap().revision.next();
    store.commit(&Commit { revision, changes }).unwrap();
    assert_eq!(store.load().unwrap(), Image { revision, instances: whole, ..Image::default() });
}
