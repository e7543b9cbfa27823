//! The registry as redb tables behind a [`Frame`]: opened with every check, read as a whole, and
//! changed by commits. Knows bytes, not paths; `embedded` brings the file.
//!
//! Keys are `service`, or `service \0 id`; values are JSON, so that a registry can be read without
//! this program. Only byte strings are stored: redb's own encodings change with its versions.

use std::io;
use std::sync::Arc;

use redb::{
    Builder, Database, Error, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::{
    Change, Commit, Image, InstanceId, OperatorState, Record, Revision, ServiceName,
};
use crate::store::frame::Frame;

/// An open registry.
#[derive(Debug)]
pub(super) struct Tables {
    frame: Arc<Frame>,
    database: Database,
    meta: Meta,
}

/// What the registry says about itself, rewritten by each commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meta {
    /// Counts commits; never behind the frame's mark.
    pub(super) commit: u64,
    /// The revision of the last commit.
    pub(super) revision: Revision,
    /// No revision above this was handed out: expiries count in memory before they are stored.
    pub(super) reserved: Revision,
    /// Whether `revision` is the last that was handed out.
    pub(super) clean: bool,
    /// How many records each table holds.
    pub(super) instances: u64,
    pub(super) overrides: u64,
    pub(super) operators: u64,
}

impl Tables {
    /// Makes an empty registry behind the new `frame`, and closes it.
    pub(super) fn create(frame: Frame) -> Result<(), Error> {
        let frame = Arc::new(frame);
        let database = builder().create_with_backend(frame.body())?;
        let meta = Meta { clean: true, ..Meta::default() };
        let mut tables = Self { frame, database, meta };
        tables.write(&[], meta)?;
        tables.finish()
    }

    /// Opens the registry behind `frame`, verifies every checksum of it, and checks that it holds
    /// the commit of number `acknowledged` and as many records as it says.
    pub(super) fn open(frame: Frame, acknowledged: u64) -> Result<Self, Error> {
        let frame = Arc::new(frame);
        // Not left to redb's clean shutdown flag: what redb has not verified, it may panic on.
        let database =
            builder().set_check_integrity_on_open(true).create_with_backend(frame.body())?;
        let mut tables = Self { frame, database, meta: Meta::default() };
        tables.meta = tables.read_meta()?;
        if tables.meta.commit < acknowledged {
            let found = tables.meta.commit;
            return Err(damaged(format!("commit {acknowledged} is missing, {found} is the last")));
        }
        Ok(tables)
    }

    /// What the registry says about itself.
    pub(super) fn meta(&self) -> Meta {
        self.meta
    }

    /// Starts a life of the registry: from here on it is not clean, and revisions above the one
    /// returned are new. That one is not less than any handed out in an earlier life.
    pub(super) fn begin(&mut self) -> Result<Revision, Error> {
        let Meta { clean, revision, reserved, .. } = self.meta;
        let revision = if clean { revision } else { reserved };
        let reserved = reserve(revision);
        self.write(&[], Meta { revision, reserved, clean: false, ..self.meta })?;
        Ok(revision)
    }

    /// Everything that is stored; its revision is that of the last commit.
    pub(super) fn image(&self) -> Result<Image, Error> {
        let read = self.database.begin_read()?;
        let mut image = Image { revision: self.meta.revision, ..Image::default() };
        // Keys are in order, so that one name serves all instances of a service.
        let mut last: Option<ServiceName> = None;

        image.instances.reserve_exact(usize::try_from(self.meta.instances).unwrap_or(0));
        for entry in read.open_table(INSTANCES)?.iter()? {
            let (key, value) = entry?;
            let (service, id) = split_key(key.value())?;
            let service = match last.take().filter(|name| name.as_str() == service) {
                Some(name) => name,
                None => parse(ServiceName::new(service), key.value())?,
            };
            last = Some(service.clone());
            let record: Record = decode(key.value(), value.value())?;
            if record.instance.id.as_str() != id {
                return Err(damaged(format!("the record of {} is another's", shown(key.value()))));
            }
            image.instances.push((service, record));
        }
        for entry in read.open_table(OVERRIDES)?.iter()? {
            let (key, value) = entry?;
            let service = parse(ServiceName::new(text(key.value())?), key.value())?;
            image.overrides.push((service, decode(key.value(), value.value())?));
        }
        for entry in read.open_table(OPERATORS)?.iter()? {
            let (key, value) = entry?;
            let (service, id) = split_key(key.value())?;
            let service = parse(ServiceName::new(service), key.value())?;
            let id = parse(InstanceId::new(id), key.value())?;
            let state: OperatorState = decode(key.value(), value.value())?;
            image.operators.push((service, id, state));
        }

        let found = [image.instances.len(), image.overrides.len(), image.operators.len()];
        let meta = [self.meta.instances, self.meta.overrides, self.meta.operators];
        if found.map(|n| n as u64) != meta {
            return Err(damaged(format!("it holds {found:?} records of {meta:?}")));
        }
        Ok(image)
    }

    /// Makes the changes durable, all or nothing. After an error the registry must be opened anew:
    /// redb refuses everything, and what became of the commit is known only then.
    pub(super) fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        let revision = commit.revision.max(self.meta.revision);
        let reserved = reserve(revision).max(self.meta.reserved);
        self.write(&commit.changes, Meta { revision, reserved, clean: false, ..self.meta })
    }

    /// Ends a life of the registry: `revision` is the last that was handed out.
    pub(super) fn close(mut self, revision: Revision) -> Result<(), Error> {
        let revision = revision.max(self.meta.revision);
        self.write(&[], Meta { revision, reserved: revision, clean: true, ..self.meta })?;
        self.finish()
    }

    /// One durable transaction. The counts in `meta` are those from before it.
    fn write(&mut self, changes: &[Change], mut meta: Meta) -> Result<(), Error> {
        // Durability::Immediate is the default: fdatasync before commit() returns.
        let write = self.database.begin_write()?;
        {
            let mut instances = write.open_table(INSTANCES)?;
            let mut overrides = write.open_table(OVERRIDES)?;
            let mut operators = write.open_table(OPERATORS)?;
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
                }
            }
            meta.commit += 1;
            meta.instances = instances.len()?;
            meta.overrides = overrides.len()?;
            meta.operators = operators.len()?;
            put(&mut write.open_table(META)?, STATE, Some(&meta))?;
        }
        write.commit()?;
        self.frame.acknowledge(meta.commit)?;
        self.meta = meta;
        Ok(())
    }

    fn read_meta(&self) -> Result<Meta, Error> {
        let read = self.database.begin_read()?;
        let state = read.open_table(META)?.get(STATE)?;
        let state = state.ok_or_else(|| damaged("it says nothing about itself".to_owned()))?;
        decode(STATE, state.value())
    }

    fn finish(self) -> Result<(), Error> {
        self.database.close()?;
        self.frame.sync()?;
        Ok(())
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn reserve(revision: Revision) -> Revision {
    Revision(revision.0.saturating_add(RESERVE))
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

fn join_key(service: &ServiceName, id: &InstanceId) -> Vec<u8> {
    [service.as_str().as_bytes(), &[SEPARATOR], id.as_str().as_bytes()].concat()
}

fn split_key(key: &[u8]) -> Result<(&str, &str), Error> {
    let parts = text(key)?.split_once(char::from(SEPARATOR));
    parts.ok_or_else(|| damaged(format!("the key {} has no id", shown(key))))
}

fn text(key: &[u8]) -> Result<&str, Error> {
    parse(str::from_utf8(key), key)
}

fn parse<T, E: ToString>(result: Result<T, E>, key: &[u8]) -> Result<T, Error> {
    result.map_err(|error| damaged(format!("the key {}: {}", shown(key), error.to_string())))
}

fn decode<T: DeserializeOwned>(key: &[u8], json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json)
        .map_err(|error| damaged(format!("the record of {}: {error}", shown(key))))
}

fn shown(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

fn damaged(reason: String) -> Error {
    Error::Corrupted(reason)
}

/// How many revisions a crash may skip. Far more than can expire between two commits, and so few
/// of the 2^31 that an SOA serial may jump (RFC 1982) that no number of crashes matters.
pub(super) const RESERVE: u64 = 1 << 20;

/// Writes touch few pages, and the system caches the file as well.
const CACHE: usize = 16 * 1024 * 1024;

const SEPARATOR: u8 = 0;
const STATE: &[u8] = b"state";
const INSTANCES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("instances");
const OVERRIDES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("overrides");
const OPERATORS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("operators");
const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
