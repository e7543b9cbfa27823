//! The first page of the registry file: what the file is, its format version, and a mark of how
//! far the registry got. redb sees only what follows this page.
//!
//! redb drops a last commit that does not verify, as a torn write must be. That would silently
//! lose an acknowledged commit when the file was damaged after a crash. So each acknowledged
//! commit leaves its number here, without a sync of its own: it survives `kill -9`, and after a
//! power loss it is at most behind. A database that is older than this number has lost something.
//! Marks are written in place, so that a start needs no space on the disk.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{BackendError, StorageBackend};
use xxhash_rust::xxh3::xxh3_64;

use crate::model::Revision;

/// A registry file behind its first page.
#[derive(Debug)]
pub(super) struct Frame {
    file: Box<dyn StorageBackend>,
    /// What it says that its version is.
    version: u32,
    /// How many marks were written. The newest is in the place of this number's parity.
    marks: AtomicU64,
}

/// How far the registry got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// The last acknowledged commit.
    pub(super) commit: u64,
    /// No revision above this was handed out.
    pub(super) reserved: Revision,
    /// Whether the server ended well, so that `reserved` is the very last revision.
    pub(super) clean: bool,
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
        let mark = Mark { clean: true, ..Mark::default() };
        for (number, place) in [0, 1].into_iter().zip(PLACES) {
            page[place..place + MARK].copy_from_slice(&encode(number, mark));
        }
        file.set_len(PAGE as u64)?;
        file.write(0, &page)?;
        Ok(Self { file, version: VERSION, marks: AtomicU64::new(1) })
    }

    /// Reads the first page of `file`: the frame, and the mark in it.
    pub(super) fn open(file: Box<dyn StorageBackend>) -> Result<(Self, Mark), FrameError> {
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
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(FrameError::Version(version));
        }
        // A power loss may tear one mark, never both: they are written in turn. What the other
        // said of revisions is lost then, and only the bound of a crash is sure to cover it.
        let marks = PLACES.map(|place| decode(&page[place..place + MARK]));
        let (number, mark) = match marks {
            [Some(even), Some(odd)] if even.0 > odd.0 => even,
            [Some(_), Some(odd)] => odd,
            [Some((number, mark)), None] | [None, Some((number, mark))] => {
                (number, Mark { clean: false, reserved: reserve(mark.reserved), ..mark })
            }
            [None, None] => return Err(FrameError::Damaged("its marks are altered")),
        };
        Ok((Self { file, version, marks: AtomicU64::new(number) }, mark))
    }

    /// Writes a mark. Its commit must be durable.
    pub(super) fn mark(&self, mark: Mark) -> io::Result<()> {
        let number = self.marks.fetch_add(1, Ordering::Relaxed) + 1;
        let place = PLACES[usize::from(number % 2 == 1)];
        self.file.write(place as u64, &encode(number, mark))
    }

    /// Makes an older file say that it is of this version, which it is from the next sync on: what
    /// it is to hold, no older program would understand.
    pub(super) fn modernise(&self) -> io::Result<()> {
        if self.version == VERSION {
            return Ok(());
        }
        // In one sector, which is written whole or not at all.
        self.file.write(0, &head(VERSION))
    }

    /// Makes the marks durable, which the next commit would do as well.
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

/// How far revisions may run ahead of `revision` before the next mark.
pub(super) fn reserve(revision: Revision) -> Revision {
    Revision(revision.0.saturating_add(RESERVE))
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

fn encode(number: u64, mark: Mark) -> [u8; MARK] {
    let mut bytes = [0; MARK];
    let fields = [number, mark.commit, mark.reserved.0, u64::from(mark.clean)];
    let hash = xxh3_64(fields.map(u64::to_le_bytes).as_flattened());
    for (place, field) in bytes.chunks_exact_mut(8).zip(fields.into_iter().chain([hash])) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}

/// The mark in `bytes` and its number, when it is whole.
fn decode(bytes: &[u8]) -> Option<(u64, Mark)> {
    let field = |n: usize| u64::from_le_bytes(array(&bytes[n * 8..]));
    let (number, commit, reserved) = (field(0), field(1), Revision(field(2)));
    let mark = Mark { commit, reserved, clean: field(3) == 1 };
    (encode(number, mark) == bytes).then_some((number, mark))
}

/// The first bytes of `bytes`, which has as many.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}

/// The format that this program writes. Version 1 has neither tokens nor owners of instances.
pub(super) const VERSION: u32 = 2;

/// The oldest format that it reads.
const OLDEST: u32 = 1;

/// How many revisions a crash may skip. Far more than can expire between two commits, and so few
/// of the 2^31 that an SOA serial may jump (RFC 1982) that no number of crashes matters.
pub(super) const RESERVE: u64 = 1 << 20;

/// As PNG does it: text mode, a line end, and a cut at the eighth bit all spoil it.
const MAGIC: &[u8; 16] = b"signpost\x1a\r\n\xa9db\n\0";
const HEAD: usize = 16 + 4 + 8;
/// The places of the marks, in sectors of their own.
const PLACES: [usize; 2] = [512, 1024];
const MARK: usize = 5 * 8;
/// A multiple of redb's page, so that its pages stay aligned with the disk's.
const PAGE: usize = 4096;
