//! Reads whole tables. What cannot be understood is damage: no record is ever skipped.

use std::collections::VecDeque;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

use redb::{AccessGuard, Error, ReadOnlyTable, ReadableTable, ReadableTableMetadata, StorageError};

use crate::model::{InstanceId, OperatorState, Record, ServiceName, SettingsPatch, Token, TokenId};
use crate::store::codec::{damaged, decode, parse, shown, split_key, text};

/// All instances, in order. Parsing a million takes seconds, so that all cores share it.
pub(super) fn instances(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
) -> Result<Vec<(ServiceName, Record)>, Error> {
    let total = usize::try_from(table.len()?).map_err(|_| damaged("too many records"))?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut entries = table.iter()?;
    let mut instances = Vec::with_capacity(total);
    thread::scope(|scope| {
        let mut parsing = VecDeque::new();
        loop {
            let chunk = entries.by_ref().take(CHUNK);
            let chunk = chunk.map(|entry| entry.map(|(key, value)| Entry { key, value }));
            let chunk = chunk.collect::<Result<Vec<_>, StorageError>>()?;
            if chunk.is_empty() {
                break;
            }
            parsing.push_back(scope.spawn(move || parsed(&chunk)));
            if parsing.len() > cores
                && let Some(oldest) = parsing.pop_front()
            {
                instances.extend(joined(oldest)?);
            }
        }
        for chunk in parsing {
            instances.extend(joined(chunk)?);
        }
        Ok(instances)
    })
}

/// All overrides of settings, in order.
pub(super) fn overrides(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
) -> Result<Vec<(ServiceName, SettingsPatch)>, Error> {
    let entries = table.iter()?;
    let overrides = entries.map(|entry| {
        let (key, value) = entry?;
        let service = parse(ServiceName::new(text(key.value())?), key.value())?;
        Ok((service, decode(key.value(), value.value())?))
    });
    overrides.collect()
}

/// All that operators said of declared instances, in order.
pub(super) fn operators(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
) -> Result<Vec<(ServiceName, InstanceId, OperatorState)>, Error> {
    let entries = table.iter()?;
    let operators = entries.map(|entry| {
        let (key, value) = entry?;
        let (service, id) = split_key(key.value())?;
        let service = parse(ServiceName::new(service), key.value())?;
        let id = parse(InstanceId::new(id), key.value())?;
        Ok((service, id, decode(key.value(), value.value())?))
    });
    operators.collect()
}

/// All tokens, in order.
pub(super) fn tokens(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
) -> Result<Vec<Arc<Token>>, Error> {
    let entries = table.iter()?;
    let tokens = entries.map(|entry| {
        let (key, value) = entry?;
        let id: TokenId = parse(text(key.value())?.parse(), key.value())?;
        let token: Token = decode(key.value(), value.value())?;
        if token.id() != id {
            return Err(damaged(format!("the record of {} is another's", shown(key.value()))));
        }
        Ok(Arc::new(token))
    });
    tokens.collect()
}

/// A row of a table, on the page it was read from.
struct Entry<'a> {
    key: AccessGuard<'a, &'static [u8]>,
    value: AccessGuard<'a, &'static [u8]>,
}

fn parsed(entries: &[Entry<'_>]) -> Result<Vec<(ServiceName, Record)>, Error> {
    let mut instances: Vec<(ServiceName, Record)> = Vec::with_capacity(entries.len());
    for Entry { key, value } in entries {
        let (key, value) = (key.value(), value.value());
        let (service, id) = split_key(key)?;
        let record: Record = decode(key, value)?;
        if record.instance.id.as_str() != id {
            return Err(damaged(format!("the record of {} is another's", shown(key))));
        }
        // Keys are in order, so that the instances of a service share one name.
        let service = match instances.last() {
            Some((last, _)) if last.as_str() == service => last.clone(),
            Some(_) | None => parse(ServiceName::new(service), key)?,
        };
        instances.push((service, record));
    }
    Ok(instances)
}

fn joined(
    chunk: ScopedJoinHandle<'_, Result<Vec<(ServiceName, Record)>, Error>>,
) -> Result<Vec<(ServiceName, Record)>, Error> {
    chunk.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Enough to outweigh the start of a thread, and a few megabytes.
const CHUNK: usize = 16 * 1024;
