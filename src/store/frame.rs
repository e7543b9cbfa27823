//! The first page of the registry file: what the file is, its format version, and the number of
//! the last acknowledged commit. redb sees only what follows this page.
//!
//! redb drops a last commit that does not verify, as a torn write must be. That would silently
//! lose an acknowledged commit when the file was damaged after a crash. So each acknowledged
//! commit leaves its number here, without a sync of its own: it survives `kill -9`, and after a
//! power loss it is at most behind. A database that is older than this number has lost something.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{BackendError, StorageBackend};
use xxhash_rust::xxh3::xxh3_64;

/// A registry file behind its first page.
#[derive(Debug)]
pub(super) struct Frame {
    file: Box<dyn StorageBackend>,
}

/// Why a file is not opened.
#[derive(Debug)]
pub(super) enum FrameError {
    /// It says that it is something else.
    Foreign,
    /// It is ours, of another version.
    Version(u32),
    /// It is ours, and altered.
    Damaged(&'static str),
    /// It cannot be read.
    Io(io::Error),
}

impl Frame {
    /// Writes the first page of the new, empty `file`.
    pub(super) fn create(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let mut page = vec![0; PAGE];
        page[..HEAD].copy_from_slice(&head(VERSION));
        for mark in MARKS {
            page[mark..mark + MARK].copy_from_slice(&encode_mark(0));
        }
        file.set_len(PAGE as u64)?;
        file.write(0, &page)?;
        Ok(Self { file })
    }

    /// Reads the first page of `file`: the frame, and the number of the last acknowledged commit.
    pub(super) fn open(file: Box<dyn StorageBackend>) -> Result<(Self, u64), FrameError> {
        let length = file.len()?;
        let mut page = vec![0; usize::try_from(length).unwrap_or(PAGE).min(PAGE)];
        file.read(0, &mut page)?;
        let known = page.len().min(MAGIC.len());
        if page[..known] != MAGIC[..known] {
            return Err(FrameError::Foreign);
        }
        // Nothing but the first page would be taken for a database that is still to be made.
        if length <= PAGE as u64 {
            return Err(FrameError::Damaged("the file is cut short"));
        }
        let version = u32::from_le_bytes(array(&page[MAGIC.len()..]));
        if page[..HEAD] != head(version) {
            return Err(FrameError::Damaged("its first page is altered"));
        }
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        // A power loss may tear one mark, never both: they are written in turn.
        let acknowledged = MARKS.iter().filter_map(|mark| decode_mark(&page[*mark..])).max();
        let acknowledged = acknowledged.ok_or(FrameError::Damaged("its marks are altered"))?;
        Ok((Self { file }, acknowledged))
    }

    /// Notes that the commit of this number is durable. To be called when it is, in order.
    pub(super) fn acknowledge(&self, commit: u64) -> io::Result<()> {
        let mark = MARKS[usize::from(commit % 2 == 1)];
        self.file.write(mark as u64, &encode_mark(commit))
    }

    /// Makes the notes durable too.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Makes a file say that it is of `version`.
    #[cfg(test)]
    pub(super) fn stamp(file: &mut [u8], version: u32) {
        file[..HEAD].copy_from_slice(&head(version));
    }

    /// What redb sees of the file.
    pub(super) fn body(self: &Arc<Self>) -> Body {
        Body { frame: Arc::clone(self) }
    }
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The file behind its first page, as storage of its own.
#[derive(Debug)]
pub(super) struct Body {
    frame: Arc<Frame>,
}

impl StorageBackend for Body {
    fn len(&self) -> io::Result<u64> {
        Ok(self.frame.file.len()?.saturating_sub(PAGE as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.frame.file.read(shifted(offset)?, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.frame.file.set_len(shifted(len)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.frame.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.frame.file.write(shifted(offset)?, data)
    }

    fn close(&self) -> io::Result<()> {
        self.frame.file.close()
    }

    // Lock bytes are names, not places: other programs must agree on them, so they stay put.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.frame.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.frame.file.unlock_range(start, end)
    }
}

fn shifted(offset: u64) -> io::Result<u64> {
    offset.checked_add(PAGE as u64).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// What the file begins with: 16 bytes that say what it is, the version, and their hash.
fn head(version: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let (said, hash) = head.split_at_mut(HEAD - 8);
    said[..MAGIC.len()].copy_from_slice(MAGIC);
    said[MAGIC.len()..].copy_from_slice(&version.to_le_bytes());
    hash.copy_from_slice(&xxh3_64(said).to_le_bytes());
    head
}

fn encode_mark(commit: u64) -> [u8; MARK] {
    let mut mark = [0; MARK];
    let (number, hash) = mark.split_at_mut(8);
    number.copy_from_slice(&commit.to_le_bytes());
    hash.copy_from_slice(&xxh3_64(number).to_le_bytes());
    mark
}

fn decode_mark(bytes: &[u8]) -> Option<u64> {
    let commit = u64::from_le_bytes(array(bytes));
    (encode_mark(commit) == bytes[..MARK]).then_some(commit)
}

/// The first bytes of `bytes`, which has as many.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

/// The only format that this program reads and writes.
pub(super) const VERSION: u32 = 1;

/// As PNG does it: text mode, a line end, and a cut at the eighth bit all spoil it.
const MAGIC: &[u8; 16] = b"signpost\x1a\r\n\xa9db\n\0";
const HEAD: usize = 16 + 4 + 8;
/// The places of the marks, in sectors of their own.
const MARKS: [usize; 2] = [512, 1024];
const MARK: usize = 16;
/// A multiple of redb's page, so that its pages stay aligned with the disk's.
const PAGE: usize = 4096;
