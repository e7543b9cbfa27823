//! The embedded store: one redb file in the data folder, held by one process at a time.
//!
//! Why redb: damage to its file is found, where a log silently loses its tail. On one machine it
//! took 27-31k registrations/s, fjall 43-46k, a bare log 55-63k and etcd 4.7k, which is enough.

use std::any::Any;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Error, StorageBackend};
use tracing::info;

use crate::fence;
use crate::model::{Commit, CommitError, Image, Revision};
use crate::store::frame::{Frame, FrameError, VERSION};
use crate::store::tables::Tables;
use crate::store::{Store, StoreError};

/// The store in a data folder. Holds the folder's lock until it is dropped.
#[derive(Debug)]
pub struct Embedded {
    folder: PathBuf,
    file: PathBuf,
    /// Where this life of the registry began.
    start: Revision,
    /// `None` after a commit failed, until the next one opens the file again.
    tables: Option<Tables>,
    /// Whether the last commit failed.
    failing: bool,
    /// Held across such a failure too, so that no other process gets in between. Dropped last.
    _lock: File,
}

impl Embedded {
    /// Opens the registry in `folder`. Makes both when they are not there.
    ///
    /// # Errors
    /// When the folder cannot be used or another process uses it, and when the file in it is not
    /// ours, of another version, or damaged. It is never replaced or deleted.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::Folder { folder: folder.to_owned(), source };
        make_folder(folder).map_err(unusable)?;
        let lock = lock(folder)?;
        let file = folder.join(FILE);
        if !file.try_exists().map_err(unusable)? {
            create(folder, &file).map_err(|error| store_error(folder, &file, error))?;
            info!(file = %file.display(), "store created");
        }
        let mut tables = open(folder, &file)?;
        let began = contained(|| tables.begin());
        let (start, clean) = began.map_err(|error| store_error(folder, &file, error))?;
        info!(file = %file.display(), revision = start.0, after_crash = !clean, "store opened");
        let (folder, tables) = (folder.to_owned(), Some(tables));
        Ok(Self { folder, file, start, tables, failing: false, _lock: lock })
    }

    /// Whether there is a registry in `folder`, as far as its first page tells. Takes no lock and
    /// changes nothing, so that a server may have it open.
    ///
    /// # Errors
    /// When the file cannot be read, is not ours, of another version, or cut short.
    pub fn inspect(folder: &Path) -> Result<bool, StoreError> {
        let file = folder.join(FILE);
        let unreadable = |source| StoreError::Io { file: file.clone(), source };
        let mut head = Vec::new();
        match File::open(&file) {
            Ok(opened) => opened.take(BEGINNING).read_to_end(&mut head).map_err(unreadable)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(unreadable(error)),
        };
        let copy = InMemoryBackend::new();
        copy.set_len(head.len() as u64).and_then(|()| copy.write(0, &head)).map_err(unreadable)?;
        match Frame::open(Box::new(copy)) {
            Ok(_) => Ok(true),
            Err(error) => Err(frame_error(error, &file)),
        }
    }

    fn tables(&mut self) -> Result<Tables, StoreError> {
        match self.tables.take() {
            Some(tables) => Ok(tables),
            None => open(&self.folder, &self.file),
        }
    }
}

impl Store for Embedded {
    fn load(&mut self) -> Result<Image, StoreError> {
        let tables = self.tables()?;
        let image = contained(|| tables.image());
        self.tables = Some(tables);
        let mut image = image.map_err(|e| store_error(&self.folder, &self.file, e))?;
        image.revision = image.revision.max(self.start);
        Ok(image)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        let mut tables = self.tables().map_err(|error| commit_error(&error))?;
        match contained(|| tables.commit(commit)) {
            Ok(()) => {
                self.tables = Some(tables);
                if std::mem::take(&mut self.failing) {
                    info!(file = %self.file.display(), "store writes again");
                }
                Ok(())
            }
            Err(error) => {
                self.failing = true;
                discard(tables);
                Err(commit_error(&store_error(&self.folder, &self.file, error)))
            }
        }
    }

    fn close(mut self: Box<Self>, revision: Revision) -> Result<(), StoreError> {
        let tables = self.tables()?;
        let closed = contained(|| tables.close(revision));
        closed.map_err(|error| store_error(&self.folder, &self.file, error))
    }
}

/// Makes the folder, for this user only, and its name durable.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    match folder.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let unusable = |source| StoreError::Folder { folder: folder.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(folder.join(LOCK)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Makes the file under another name first, so that a crash leaves either a whole one or none.
fn create(folder: &Path, file: &Path) -> Result<(), Error> {
    let unfinished = folder.join(UNFINISHED);
    let mut options = OpenOptions::new();
    let new = options.read(true).write(true).create(true).truncate(true).open(&unfinished)?;
    let frame = Frame::create(Box::new(FileBackend::new(new)?))?;
    contained(|| Tables::create(frame))?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, file)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Opens the file, which must be there and whole.
fn open(folder: &Path, file: &Path) -> Result<Tables, StoreError> {
    let opened = OpenOptions::new().read(true).write(true).open(file);
    let opened = opened.map_err(Error::from).and_then(|file| Ok(FileBackend::new(file)?));
    let backend = opened.map_err(|error| store_error(folder, file, error))?;
    recognise(Box::new(backend), folder, file)
}

/// Opens what `backend` holds; the paths are for errors.
pub(super) fn recognise(
    backend: Box<dyn StorageBackend>,
    folder: &Path,
    file: &Path,
) -> Result<Tables, StoreError> {
    let (frame, mark) = Frame::open(backend).map_err(|error| frame_error(error, file))?;
    contained(|| Tables::open(frame, mark)).map_err(|e| store_error(folder, file, e))
}

fn frame_error(error: FrameError, file: &Path) -> StoreError {
    let file = file.to_owned();
    match error {
        FrameError::Foreign => StoreError::Foreign { file },
        FrameError::Version(found) => StoreError::Version { file, found, known: VERSION },
        FrameError::Damaged(reason) => StoreError::Damaged { file, reason: reason.to_owned() },
        FrameError::Io(source) => StoreError::Io { file, source },
    }
}

/// redb panics on some damage that its checksums do not cover.
pub(super) fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What `work` borrows is discarded after an error, so nobody sees it half done.
    fence::contain(work).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Error::Corrupted(text.unwrap_or("the database panicked").to_owned())
}

/// Drops what failed; its own attempt to close cleanly may fail in the same way.
fn discard(tables: Tables) {
    let _ = contained(|| {
        drop(tables);
        Ok(())
    });
}

fn store_error(folder: &Path, file: &Path, error: Error) -> StoreError {
    let file = file.to_owned();
    match error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => {
            StoreError::InUse { folder: folder.to_owned() }
        }
        // How redb says that the file is too short, or no database.
        Error::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
            ) =>
        {
            StoreError::Damaged { file, reason: error.to_string() }
        }
        Error::Io(source) => StoreError::Io { file, source },
        Error::Corrupted(reason) => StoreError::Damaged { file, reason },
        other => StoreError::Damaged { file, reason: other.to_string() },
    }
}

fn commit_error(error: &StoreError) -> CommitError {
    match error {
        StoreError::Io { file, source } => {
            let reason = format!("{}: {source}", file.display());
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    CommitError::Full(reason)
                }
                _ => CommitError::Unavailable(reason),
            }
        }
        other => CommitError::Unavailable(other.to_string()),
    }
}

const FILE: &str = "registry.redb";
/// What a file is called until it is whole. A crash may leave one; the next creation replaces it.
const UNFINISHED: &str = "registry.redb.new";
const LOCK: &str = "lock";
/// More than the first page, by which it is told apart.
const BEGINNING: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_for_this_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("a/b");

        let store = Embedded::open(&folder).unwrap();

        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(store);
    }

    #[test]
    fn a_folder_in_use_is_refused_by_name_and_free_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let store = Embedded::open(folder.path()).unwrap();

        let error = Embedded::open(folder.path()).unwrap_err();

        let expected =
            format!("the data folder {} is in use by another signpost", folder.path().display());
        assert_eq!(error.to_string(), expected);
        Box::new(store).close(Revision(1)).unwrap();
        assert!(Embedded::open(folder.path()).is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("file");
        fs::write(&folder, "").unwrap();

        let error = Embedded::open(&folder).unwrap_err();

        let expected = format!("cannot use the data folder {}", folder.display());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_file_of_another_version_is_refused_with_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        drop(Embedded::open(folder.path()).unwrap());
        let mut bytes = fs::read(&file).unwrap();
        Frame::stamp(&mut bytes, VERSION + 1);
        fs::write(&file, bytes).unwrap();

        let error = Embedded::open(folder.path()).unwrap_err();

        let expected = format!(
            "{} has format version 3, this signpost reads up to 2; run the signpost that wrote \
             it, or move it away to start empty",
            file.display()
        );
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_file_of_version_1_is_read_and_is_of_this_version_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let mut store = Embedded::open(folder.path()).unwrap();
        let changes = vec![crate::store::contract::put("web", "a", 2)];
        store.commit(&Commit { revision: Revision(7), changes }).unwrap();
        Box::new(store).close(Revision(7)).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        Frame::stamp(&mut bytes, 1);
        fs::write(&file, bytes).unwrap();

        let image = Embedded::open(folder.path()).unwrap().load().unwrap();

        assert_eq!((image.revision, image.instances.len()), (Revision(7), 1));
        let (mut page, mut now) = (fs::read(&file).unwrap(), fs::read(&file).unwrap());
        Frame::stamp(&mut now, VERSION);
        assert!(page == now);
        Frame::stamp(&mut page, 1);
        assert!(page != now);
    }

    #[test]
    fn a_file_that_vanished_fails_commits_and_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let mut store = Embedded::open(folder.path()).unwrap();
        store.tables = None;
        fs::remove_file(&file).unwrap();

        let error = store.commit(&Commit::default()).unwrap_err();

        assert!(matches!(error, CommitError::Unavailable(_)), "{error}");
        assert!(!file.exists());
    }
}
