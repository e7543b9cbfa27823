//! The parsed file with the place of every key and value, and the faults found in it so far.
//!
//! Reading never stops at the first fault: what is illegal is noted with its place and read as if
//! it were absent, so that one run shows everything that is independent.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::config::error::{ConfigError, Fault};
use crate::config::explain::{Explained, explain, suggestion};
use crate::config::key_path::{KeyPath, Segment};

/// A file being read.
pub(super) struct Document<'i> {
    path: &'i Path,
    text: &'i str,
    root: DeTable<'i>,
    faults: Vec<Finding>,
    warnings: Vec<Finding>,
}

/// A fault or warning whose line is not counted yet.
struct Finding {
    offset: usize,
    key: KeyPath,
    message: String,
    hint: Option<String>,
}

impl<'i> Document<'i> {
    /// Parses `text`; `path` is what faults call the file.
    ///
    /// # Errors
    /// When `text` is not TOML: the first place where it is not.
    pub(super) fn parse(text: &'i str, path: &'i Path) -> Result<Self, ConfigError> {
        let empty =
            Self { path, text, root: DeTable::new(), faults: Vec::new(), warnings: Vec::new() };
        match DeTable::parse(text) {
            Ok(root) => Ok(Self { root: root.into_inner(), ..empty }),
            Err(error) => {
                let first = empty.resolved(Finding {
                    offset: error.span().map_or(text.len(), |span| span.start),
                    key: KeyPath::default(),
                    message: error.message().to_owned(),
                    hint: None,
                });
                Err(ConfigError::illegal(first, Vec::new(), 0))
            }
        }
    }

    /// An empty file.
    pub(super) fn empty(path: &'i Path) -> Self {
        let root = DeTable::new();
        Self { path, text: "", root, faults: Vec::new(), warnings: Vec::new() }
    }

    /// Notes a fault of the value at `key`.
    pub(super) fn fault(&mut self, key: &KeyPath, message: &str, hint: Option<&str>) {
        let finding = self.finding(key, message, hint);
        self.faults.push(finding);
    }

    /// Notes a fault of the key itself at the end of `key`.
    pub(super) fn fault_of_key(&mut self, key: &KeyPath, message: &str, hint: Option<&str>) {
        let finding =
            Finding { offset: self.span(key, true).start, ..self.finding(key, message, hint) };
        self.faults.push(finding);
    }

    /// Notes what is legal but hardly meant.
    pub(super) fn warn(&mut self, key: &KeyPath, message: &str, hint: Option<&str>) {
        let finding = self.finding(key, message, hint);
        self.warnings.push(finding);
    }

    /// Notes a fault for each key of the file that is not one of `sections`.
    pub(super) fn only(&mut self, sections: &[&str]) {
        let unknown: Vec<String> = self
            .root
            .keys()
            .map(|key| key.get_ref().to_string())
            .filter(|key| !sections.contains(&key.as_str()))
            .collect();
        for key in unknown {
            let hint = suggestion(&key, sections);
            self.fault_of_key(&KeyPath::default().key(&key), "unknown key", Some(&hint));
        }
    }

    /// The table of that name; empty when the file has none.
    pub(super) fn table(&mut self, name: &str) -> DeTable<'i> {
        let Some(value) = self.root.get(name).cloned() else {
            return DeTable::new();
        };
        self.as_table(value, &KeyPath::default().key(name)).unwrap_or_default()
    }

    /// The section of that name, each illegal key as if it were absent.
    pub(super) fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        let table = self.table(name);
        self.read(table, &KeyPath::default().key(name), &[]).unwrap_or_default()
    }

    /// The tables of the list of that name, `[[name]]`, each with its path; none when the file has
    /// none.
    pub(super) fn tables(&mut self, name: &str) -> Vec<(KeyPath, DeTable<'i>)> {
        let at = KeyPath::default().key(name);
        let Some(value) = self.root.get(name).cloned() else {
            return Vec::new();
        };
        let list = match value.into_inner() {
            DeValue::Array(list) => list,
            other => {
                let message =
                    format!("invalid type: {}, expected a list of tables", other.type_str());
                self.fault(&at, &message, Some(&format!("write [[{at}]] above the keys of each")));
                return Vec::new();
            }
        };
        let table = |(i, value)| Some((at.index(i), self.as_table(value, &at.index(i))?));
        list.into_iter().enumerate().filter_map(table).collect()
    }

    /// `value` as a table; a fault when it is something else.
    pub(super) fn as_table(
        &mut self,
        value: Spanned<DeValue<'i>>,
        at: &KeyPath,
    ) -> Option<DeTable<'i>> {
        match value.into_inner() {
            DeValue::Table(table) => Some(table),
            other => {
                let message = format!("invalid type: {}, expected a table", other.type_str());
                let hint = match at.parent_of_index() {
                    Some(list) => format!("write [[{list}]] above the keys of each"),
                    None => format!("write [{at}] above its keys"),
                };
                self.fault(at, &message, Some(&hint));
                None
            }
        }
    }

    /// Reads `table`, each illegal key as if it were absent; `None` when it cannot be without one.
    ///
    /// `also` are keys that are legal there and that the caller has taken out.
    pub(super) fn read<T: DeserializeOwned>(
        &mut self,
        mut table: DeTable<'i>,
        at: &KeyPath,
        also: &[&str],
    ) -> Option<T> {
        let mut faultless = true;
        // Each round costs the whole table, so that the rounds are limited like what is listed.
        for _ in 0..=LISTED {
            let value = Spanned::new(0..0, DeValue::Table(table.clone()));
            let error = match serde_path_to_error::deserialize(ValueDeserializer::from(value)) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let whole = at.tracked(error.path());
            let culprit = match whole.segments().get(at.segments().len()) {
                Some(Segment::Key(key)) => Some(key.clone()),
                Some(Segment::Index(_)) | None => None,
            };
            // What is missing now may be what was taken out for its fault.
            if faultless || culprit.is_some() {
                let Explained { key, of_key, message, hint } =
                    explain(error.inner().message(), &whole, also);
                if of_key {
                    self.fault_of_key(&key, &message, hint.as_deref());
                } else {
                    self.fault(&key, &message, hint.as_deref());
                }
            }
            faultless = false;
            let culprit = culprit?;
            table.remove(culprit.as_str())?;
        }
        None
    }

    /// `value` and the warnings as text, or all faults in the order of the file.
    ///
    /// # Errors
    /// When a fault was noted.
    pub(super) fn finish<T>(mut self, value: T) -> Result<(T, Vec<String>), ConfigError> {
        let mut faults = std::mem::take(&mut self.faults);
        faults.sort_by_key(|finding| finding.offset);
        let unlisted = faults.len().saturating_sub(LISTED);
        faults.truncate(LISTED);
        let mut faults = faults.into_iter().map(|finding| self.resolved(finding));
        if let Some(first) = faults.next() {
            let others = faults.collect();
            return Err(ConfigError::illegal(first, others, unlisted));
        }
        let warnings = std::mem::take(&mut self.warnings);
        Ok((value, warnings.into_iter().map(|w| self.resolved(w).to_string()).collect()))
    }

    fn finding(&self, key: &KeyPath, message: &str, hint: Option<&str>) -> Finding {
        Finding {
            offset: self.span(key, false).start,
            key: key.clone(),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        }
    }

    /// Where `key` is said; of what is not in the file, where the table is that lacks it.
    fn span(&self, key: &KeyPath, of_key: bool) -> Range<usize> {
        let mut span = 0..0;
        let mut table = Some(&self.root);
        let mut array = None;
        for (i, segment) in key.segments().iter().enumerate() {
            let last = i + 1 == key.segments().len();
            let value = match segment {
                Segment::Key(key) => {
                    let Some((key, value)) = table.and_then(|t| t.get_key_value(key.as_str()))
                    else {
                        break;
                    };
                    span = if last && of_key { key.span() } else { value.span() };
                    value
                }
                Segment::Index(i) => {
                    let Some(value) = array.and_then(|a: &toml::de::DeArray<'i>| a.get(*i)) else {
                        break;
                    };
                    span = value.span();
                    value
                }
            };
            table = value.get_ref().as_table();
            array = value.get_ref().as_array();
        }
        span
    }

    fn resolved(&self, finding: Finding) -> Fault {
        let before = self.text.get(..finding.offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Fault {
            path: self.path.to_owned(),
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key: finding.key.to_string(),
            message: finding.message,
            hint: finding.hint,
        }
    }
}

/// How many faults one reading lists; the rest are counted.
const LISTED: usize = 20;
