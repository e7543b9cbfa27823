//! Keys and values as the tables hold them. Keys are `service`, or `service \0 id`; values are
//! JSON, so that a registry can be read without this program. Only byte strings are stored: redb's
//! own encodings change with its versions.

use redb::Error;
use serde::de::DeserializeOwned;

use crate::model::{InstanceId, ServiceName};

/// The key of an instance.
pub(super) fn join_key(service: &ServiceName, id: &InstanceId) -> Vec<u8> {
    [service.as_str().as_bytes(), &[SEPARATOR], id.as_str().as_bytes()].concat()
}

/// The service and the id in the key of an instance.
pub(super) fn split_key(key: &[u8]) -> Result<(&str, &str), Error> {
    let parts = text(key)?.split_once(char::from(SEPARATOR));
    parts.ok_or_else(|| damaged(format!("the key {} has no id", shown(key))))
}

/// `key` as text.
pub(super) fn text(key: &[u8]) -> Result<&str, Error> {
    parse(str::from_utf8(key), key)
}

/// What was made of `key`.
pub(super) fn parse<T, E: ToString>(result: Result<T, E>, key: &[u8]) -> Result<T, Error> {
    result.map_err(|error| damaged(format!("the key {}: {}", shown(key), error.to_string())))
}

/// The value at `key`.
pub(super) fn decode<T: DeserializeOwned>(key: &[u8], json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json)
        .map_err(|error| damaged(format!("the record of {}: {error}", shown(key))))
}

/// `key` for an error.
pub(super) fn shown(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// An error that says so of the file.
pub(super) fn damaged(reason: impl Into<String>) -> Error {
    Error::Corrupted(reason.into())
}

/// Not a character of any name, and less than all of them, so that keys sort as names do.
const SEPARATOR: u8 = 0;
