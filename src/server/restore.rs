//! `signpost snapshot restore`: makes the data folder of a stopped server hold what a snapshot holds.
//!
//! Into the folder and not into a running server, so that nobody registers in between, no client can
//! send it, and a server whose file is lost or damaged needs no start without it. All of it is one
//! commit of the store: it is there whole, or nothing has changed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::audit::{self, AuditFile, Mark};
use crate::config::{Boot, Config, ConfigError, Flags, StoreKind};
use crate::model::{Change, Commit, CommitError, Image, OperatorState, Revision};
use crate::registry::{Clock, Misfit, Names};
use crate::server::owner::{Owner, OwnerError};
use crate::server::{reload, zone};
use crate::snapshot::{ReadError, Reader, Snapshot};
use crate::store::{Embedded, Store, StoreError};

/// What to restore, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// The snapshot; `-` is stdin.
    pub file: PathBuf,
    /// The configuration file of the server; `None`: the built-in defaults.
    pub config: Option<PathBuf>,
    /// Whether what the data folder holds may go.
    pub replace: bool,
    /// Whether it may be a snapshot of another zone.
    pub other_zone: bool,
    /// Whether only to tell what would change.
    pub dry_run: bool,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    folder: PathBuf,
    dry_run: bool,
    instances: usize,
    overrides: usize,
    operators: usize,
    /// The revision that the snapshot was taken of.
    saved: Revision,
    /// The registry's revision from now on.
    revision: Revision,
    difference: Difference,
}

/// How instances differ from those that the folder held.
#[derive(Debug, Default)]
struct Difference {
    new: usize,
    changed: usize,
    removed: usize,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The configuration is not legal.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The snapshot cannot be opened.
    #[error("cannot open {}: {source}", file.display())]
    Open {
        /// The snapshot.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The snapshot is not whole or not understood.
    #[error("{}: {source}; nothing is restored", file.display())]
    Snapshot {
        /// The snapshot.
        file: PathBuf,
        /// Where and why.
        source: ReadError,
    },
    /// The snapshot is of another server.
    #[error(
        "{}: line 1: it is of the zone {found}, this server has {own}; --other-zone restores it \
         all the same",
        file.display()
    )]
    Zone {
        /// The snapshot.
        file: PathBuf,
        /// Its zone.
        found: String,
        /// The zone of the configuration.
        own: String,
    },
    /// Something of it may not be registered here.
    #[error(
        "{}: line {}: {}: {}; nothing is restored",
        file.display(), FIRST_ENTRY + misfit.entry, misfit.name, misfit.refusal
    )]
    Misfit {
        /// The snapshot.
        file: PathBuf,
        /// What and why.
        misfit: Box<Misfit>,
    },
    /// The configuration keeps nothing.
    #[error("store.kind is memory, which keeps nothing: there is no data folder to restore into")]
    Memory,
    /// The folder is not empty.
    #[error(
        "the data folder {} is not empty: instances {instances}, overrides {overrides}, operator \
         states {operators}; --replace puts the snapshot in their place, --dry-run tells what would \
         change",
        folder.display()
    )]
    Held {
        /// The data folder.
        folder: PathBuf,
        /// How many it holds.
        instances: usize,
        /// How many it holds.
        overrides: usize,
        /// How many it holds.
        operators: usize,
    },
    /// A server runs.
    #[error("{0}; stop it first, a snapshot is restored into the folder of a stopped server")]
    InUse(#[source] StoreError),
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(StoreError),
    /// The store could not make it durable.
    #[error("nothing is restored: {0}")]
    Commit(#[from] CommitError),
    /// The audit log cannot be kept.
    #[error("nothing is restored: {0}")]
    Audit(#[from] audit::OpenError),
    /// The audit log does not tell of it.
    #[error("restored, but the audit log does not tell of it: {0}")]
    Unlogged(#[source] io::Error),
    /// The folder's files cannot be given to its owner.
    #[error("restored, but {0}")]
    Owner(#[from] OwnerError),
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InUse { .. } => Self::InUse(error),
            other => Self::Store(other),
        }
    }
}

/// Restores a snapshot into the data folder of a stopped server.
///
/// # Errors
/// When it is not whole, not understood, not legal here, or cannot be stored. Nothing has changed
/// then.
pub fn restore(options: &RestoreOptions) -> Result<Restored, RestoreError> {
    let Config { boot, live, .. } = reload::load(options.config.clone(), &Flags::default())?;
    if boot.store == StoreKind::Memory {
        return Err(RestoreError::Memory);
    }
    let Snapshot { header, image } = read(&options.file, live.limits.instances)?;
    let file = options.file.clone();
    let own = boot.zone.to_string();
    if header.zone != own && !options.other_zone {
        return Err(RestoreError::Zone { file, found: header.zone, own });
    }
    let names = Names { zone_length: boot.longest_zone(), server: boot.name.to_string() };
    if let Err(misfit) = image.admitted(&zone::policy(&live), &names) {
        return Err(RestoreError::Misfit { file, misfit: Box::new(misfit) });
    }
    let log = live.audit.filter(|_| !options.dry_run).map(AuditFile::open).transpose()?;
    store(&boot, options, image, log)
}

fn read(file: &Path, most: usize) -> Result<Snapshot, RestoreError> {
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let open = |source| RestoreError::Open { file: file.to_owned(), source };
        Box::new(BufReader::new(File::open(file).map_err(open)?))
    };
    let snapshot = Reader::new(input).and_then(|reader| reader.image(most));
    snapshot.map_err(|source| RestoreError::Snapshot { file: file.to_owned(), source })
}

fn store(
    boot: &Boot,
    options: &RestoreOptions,
    image: Image,
    log: Option<AuditFile>,
) -> Result<Restored, RestoreError> {
    let folder = boot.data_dir.clone();
    // To tell what would change is no reason to make a folder.
    let absent = options.dry_run && !folder.exists();
    let owner = Owner::of(&folder);
    let mut store = if absent { None } else { Some(Box::new(Embedded::open(&folder)?)) };
    let held = store.as_mut().map_or_else(|| Ok(Image::default()), |store| store.load())?;
    let revision = above(held.revision, image.revision);
    let restored = Restored {
        folder: folder.clone(),
        dry_run: options.dry_run,
        instances: image.instances.len(),
        overrides: image.overrides.len(),
        operators: image.operators.len(),
        saved: image.revision,
        revision,
        difference: difference(&held, &image),
    };
    // Tokens are in no snapshot: those that the folder has stay as they are.
    let nothing =
        Image { revision: held.revision, tokens: held.tokens.clone(), ..Image::default() };
    let empty = nothing == held;
    let Some(mut store) = store else { return Ok(restored) };
    let refused = !empty && !options.replace && !options.dry_run;
    if refused || options.dry_run {
        let Image { revision, instances, overrides, operators, tokens: _ } = held;
        store.close(revision)?;
        owner.give()?;
        if options.dry_run {
            return Ok(restored);
        }
        let (instances, overrides, operators) = (instances.len(), overrides.len(), operators.len());
        return Err(RestoreError::Held { folder, instances, overrides, operators });
    }
    store.commit(&Commit { revision, changes: changes(held, image) })?;
    store.close(revision)?;
    owner.give()?;
    if let Some(mut log) = log {
        let line = audit::mark(Mark::Restore(revision), Clock::start().wall());
        log.append(&line).and_then(|()| log.sync()).map_err(RestoreError::Unlogged)?;
    }
    Ok(restored)
}

/// A revision that neither the folder's server nor the one of the snapshot has handed out, though
/// the latter may have gone on long after it was taken.
fn above(held: Revision, saved: Revision) -> Revision {
    held.max(Revision(saved.0.saturating_add(SINCE))).next()
}

/// What makes `image` of `held`.
fn changes(held: Image, image: Image) -> Vec<Change> {
    let gone = held
        .instances
        .into_iter()
        .map(|(service, record)| Change::Remove { service, id: record.instance.id.clone() });
    let without =
        held.overrides.into_iter().map(|(service, _)| Change::Override { service, patch: None });
    let unsaid = held.operators.into_iter().map(|(service, id, _)| {
        let state = OperatorState::default();
        Change::Operator { service, id, state }
    });
    let instances =
        image.instances.into_iter().map(|(service, record)| Change::Put { service, record });
    let overrides = image
        .overrides
        .into_iter()
        .map(|(service, patch)| Change::Override { service, patch: Some(patch) });
    let operators = image.operators.into_iter().map(|(service, id, state)| Change::Operator {
        service,
        id,
        state,
    });
    gone.chain(without).chain(unsaid).chain(instances).chain(overrides).chain(operators).collect()
}

fn difference(held: &Image, image: &Image) -> Difference {
    let mut before: BTreeMap<_, _> = held
        .instances
        .iter()
        .map(|(service, record)| ((service, &record.instance.id), record))
        .collect();
    let mut difference = Difference::default();
    for (service, record) in &image.instances {
        match before.remove(&(service, &record.instance.id)) {
            None => difference.new += 1,
            Some(known) => difference.changed += usize::from(known != record),
        }
    }
    difference.removed = before.len();
    difference
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, instances, overrides, operators, saved, revision, .. } = self;
        let Difference { new, changed, removed } = self.difference;
        let (does, goes) =
            if self.dry_run { ("would restore", "would go") } else { ("restored", "goes") };
        write!(
            f,
            "{does} revision {} into {}: instances {instances} ({new} new, {changed} changed, \
             {removed} removed), overrides {overrides}, operator states {operators}\n\
             the registry {goes} on at revision {}",
            saved.0,
            folder.display(),
            revision.0
        )
    }
}

/// The line of the first entry.
const FIRST_ENTRY: usize = 2;

/// How many revisions a server may have handed out after its snapshot was taken without one of them
/// coming again: ten a second for 77 days. So few of the 2^31 that an SOA serial may jump (RFC 1982)
/// that 31 restores at once are safe.
const SINCE: u64 = 1 << 26;
