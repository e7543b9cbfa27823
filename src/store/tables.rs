//! The registry as redb tables behind a [`Frame`]: opened with every check, read as a whole, and
//! changed by commits. Knows bytes, not paths; `embedded` brings the file.

use std::io;
use std::sync::Arc;

use redb::{
    Builder, Database, Error, ReadableDatabase, ReadableTableMetadata, Table, TableDefinition,
    TableError,
};
use serde::{Deserialize, Serialize};

use crate::model::{Change, Commit, Image, Record, Revision};
use crate::store::codec::{damaged, decode, join_key};
use crate::store::frame::{Frame, Mark, reserve};
use crate::store::image;

/// An open registry.
#[derive(Debug)]
pub(super) struct Tables {
    frame: Arc<Frame>,
    database: Database,
    meta: Meta,
    mark: Mark,
}

/// What the registry says about itself, rewritten by each commit.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    /// Counts commits; never behind the frame's mark.
    commit: u64,
    /// The revision of the last commit.
    revision: Revision,
    /// How many records each table holds.
    instances: u64,
    overrides: u64,
    operators: u64,
    /// Files of version 1 know none.
    #[serde(default)]
    tokens: u64,
}

impl Tables {
    /// Makes an empty registry behind the new `frame`, and closes it.
    pub(super) fn create(frame: Frame) -> Result<(), Error> {
        let frame = Arc::new(frame);
        let database = builder().create_with_backend(frame.body())?;
        let mut tables = Self { frame, database, meta: Meta::default(), mark: Mark::default() };
        tables.write(&[], Revision(0))?;
        tables.close(Revision(0))
    }

    /// Opens the registry behind `frame`, verifies every checksum of it, and checks that it holds
    /// the commit of its `mark`.
    pub(super) fn open(frame: Frame, mark: Mark) -> Result<Self, Error> {
        let frame = Arc::new(frame);
        // Not left to redb's clean shutdown flag: what redb has not verified, it may panic on.
        let database =
            builder().set_check_integrity_on_open(true).create_with_backend(frame.body())?;
        let mut tables = Self { frame, database, meta: Meta::default(), mark };
        tables.meta = tables.read_meta()?;
        let (found, acknowledged) = (tables.meta.commit, mark.commit);
        if found < acknowledged {
            return Err(damaged(format!("commit {acknowledged} is missing, {found} is the last")));
        }
        Ok(tables)
    }

    /// Starts a life of the registry: the revision to count on from, which is not less than any
    /// handed out in an earlier life, and whether that one ended well. Needs no space on the disk.
    pub(super) fn begin(&mut self) -> Result<(Revision, bool), Error> {
        let Mark { reserved, clean, .. } = self.mark;
        let stored = self.meta.revision;
        let start = reserved.max(if clean { stored } else { reserve(stored) });
        self.frame.modernise()?;
        self.mark(Mark { reserved: reserve(start), clean: false, ..self.mark })?;
        self.frame.sync()?;
        Ok((start, clean))
    }

    /// Everything that is stored; its revision is that of the last commit.
    pub(super) fn image(&self) -> Result<Image, Error> {
        let read = self.database.begin_read()?;
        let image = Image {
            revision: self.meta.revision,
            instances: image::instances(&read.open_table(INSTANCES)?)?,
            overrides: image::overrides(&read.open_table(OVERRIDES)?)?,
            operators: image::operators(&read.open_table(OPERATORS)?)?,
            tokens: match read.open_table(TOKENS) {
                Ok(table) => image::tokens(&table)?,
                Err(TableError::TableDoesNotExist(_)) => Vec::new(),
                Err(error) => return Err(error.into()),
            },
        };
        let found = [
            image.instances.len(),
            image.overrides.len(),
            image.operators.len(),
            image.tokens.len(),
        ];
        let Meta { instances, overrides, operators, tokens, .. } = self.meta;
        let counted = [instances, overrides, operators, tokens];
        if found.map(|count| count as u64) != counted {
            return Err(damaged(format!("it holds {found:?} records of {counted:?}")));
        }
        Ok(image)
    }

    /// Makes the changes durable, all or nothing. After an error the registry must be opened anew:
    /// redb refuses everything, and what became of the commit is known only then.
    pub(super) fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        self.write(&commit.changes, commit.revision.max(self.meta.revision))?;
        let reserved = self.mark.reserved.max(reserve(self.meta.revision));
        self.mark(Mark { commit: self.meta.commit, reserved, clean: false })?;
        Ok(())
    }

    /// Ends a life of the registry: `revision` is the last that was handed out.
    pub(super) fn close(mut self, revision: Revision) -> Result<(), Error> {
        let reserved = revision.max(self.meta.revision);
        self.mark(Mark { commit: self.meta.commit, reserved, clean: true })?;
        self.database.close()?;
        self.frame.sync()?;
        Ok(())
    }

    fn mark(&mut self, mark: Mark) -> io::Result<()> {
        self.mark = mark;
        self.frame.mark(mark)
    }

    /// One durable transaction.
    fn write(&mut self, changes: &[Change], revision: Revision) -> Result<(), Error> {
        // Durability::Immediate is the default: fdatasync before commit() returns.
        let write = self.database.begin_write()?;
        let meta;
        {
            let mut instances = write.open_table(INSTANCES)?;
            let mut overrides = write.open_table(OVERRIDES)?;
            let mut operators = write.open_table(OPERATORS)?;
            let mut tokens = write.open_table(TOKENS)?;
            for change in changes {
                match change {
                    Change::Put { service, record } => {
                        let key = join_key(service, &record.instance.id);
                        put(&mut instances, &key, Some(record))?;
                    }
                    Change::Remove { service, id } => {
                        put::<Record>(&mut instances, &join_key(service, id), None)?;
                    }
                    Change::Override { service, patch } => {
                        put(&mut overrides, service.as_str().as_bytes(), patch.as_ref())?;
                    }
                    Change::Operator { service, id, state } => {
                        let said = (!state.is_empty()).then_some(state);
                        put(&mut operators, &join_key(service, id), said)?;
                    }
                    Change::Token { id, token } => {
                        put(&mut tokens, id.to_string().as_bytes(), token.as_ref())?;
                    }
                }
            }
            meta = Meta {
                commit: self.meta.commit + 1,
                revision,
                instances: instances.len()?,
                overrides: overrides.len()?,
                operators: operators.len()?,
                tokens: tokens.len()?,
            };
            put(&mut write.open_table(META)?, STATE, Some(&meta))?;
        }
        write.commit()?;
        self.meta = meta;
        Ok(())
    }

    fn read_meta(&self) -> Result<Meta, Error> {
        let read = self.database.begin_read()?;
        let state = read.open_table(META)?.get(STATE)?;
        let state = state.ok_or_else(|| damaged("it says nothing about itself"))?;
        decode(STATE, state.value())
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn put<T: Serialize>(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
    value: Option<&T>,
) -> Result<(), Error> {
    match value {
        Some(value) => {
            let json = serde_json::to_vec(value).map_err(io::Error::from)?;
            table.insert(key, json.as_slice())?;
        }
        None => {
            table.remove(key)?;
        }
    }
    Ok(())
}

/// Writes touch few pages, and the system caches the file as well.
const CACHE: usize = 16 * 1024 * 1024;

const STATE: &[u8] = b"state";
const INSTANCES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("instances");
const OVERRIDES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("overrides");
const OPERATORS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("operators");
const TOKENS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tokens");
const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
