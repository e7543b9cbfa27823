//! From lines to values: whole, in order, without anything that is not known, or not at all.

use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::Xxh3Default;

use crate::model::Image;
use crate::snapshot::{Entry, FORMAT, Header, Last, VERSION};

/// Reads one snapshot line by line, with memory for one line.
pub struct Reader<R> {
    input: R,
    header: Header,
    line: Vec<u8>,
    lines: u64,
    hash: Xxh3Default,
    /// The name of the last entry: the next one is greater.
    last: Option<Place>,
    /// How many entries there were of each kind.
    found: [u64; 3],
}

/// A snapshot in memory.
#[derive(Debug)]
pub struct Snapshot {
    /// What its first line says.
    pub header: Header,
    /// What it holds. The revision is the header's.
    pub image: Image,
}

/// Why a snapshot is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot read it: {0}")]
    Io(#[source] io::Error),
    /// It is something else.
    #[error("line 1: this is not a signpost snapshot")]
    Foreign,
    /// It is ours, of another version.
    #[error(
        "line 1: it has format version {found}, this signpost reads version {VERSION}; use the \
         signpost that wrote it"
    )]
    Version {
        /// Its version.
        found: u64,
    },
    /// It ends before its last line.
    #[error("line {line}: it ends here, the last line is missing; it was cut short")]
    Truncated {
        /// Where.
        line: u64,
    },
    /// A line is not as described.
    #[error("line {line}: {reason}")]
    Line {
        /// Which one; the first is 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// What an entry is by kind and name, in the order of entries.
type Place = (usize, String, String);

/// As much of the first line as every version has.
#[derive(Deserialize)]
struct Form {
    format: String,
    version: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line of `input`.
    ///
    /// # Errors
    /// When it is not one of a snapshot of this version.
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        let mut line = Vec::new();
        if !read_line(&mut input, &mut line, 1)? {
            return Err(ReadError::Foreign);
        }
        match serde_json::from_slice::<Form>(&line) {
            Ok(Form { format, version }) if format == FORMAT => {
                if version != VERSION {
                    return Err(ReadError::Version { found: version });
                }
            }
            Ok(_) | Err(_) => return Err(ReadError::Foreign),
        }
        let header = decode(&line, 1)?;
        let mut hash = Xxh3Default::new();
        hash.update(&line);
        Ok(Self { input, header, line, lines: 1, hash, last: None, found: [0; 3] })
    }

    /// What the first line says.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The line that was read last, as it is.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.line
    }

    /// The next entry; `None` behind the last line, which has proved that nothing is missing,
    /// altered or added.
    ///
    /// # Errors
    /// When the line is not one of a snapshot of this version, and when it ends too early or not at
    /// all.
    pub fn entry(&mut self) -> Result<Option<Entry>, ReadError> {
        let number = self.lines + 1;
        if !read_line(&mut self.input, &mut self.line, number)? {
            return Err(ReadError::Truncated { line: number });
        }
        if self.line.starts_with(LAST) {
            return self.end(number).map(|()| None);
        }
        let entry: Entry = decode(&self.line, number)?;
        let place = place(&entry);
        if let Entry::Operator(operator) = &entry
            && operator.state.is_empty()
        {
            return Err(wrong(number, "an operator's line that says nothing"));
        }
        if self.last.as_ref().is_some_and(|last| *last >= place) {
            let (_, service, id) = place;
            let reason = format!("{service} {id} is there twice, or not in its order");
            return Err(wrong(number, reason));
        }
        self.found[place.0] += 1;
        self.last = Some(place);
        self.lines = number;
        self.hash.update(&self.line);
        Ok(Some(entry))
    }

    /// Reads all of it, of which no more than `most` instances.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn image(mut self, most: usize) -> Result<Snapshot, ReadError> {
        if self.header.instances > most as u64 {
            let reason = format!(
                "it holds {} instances, limits.instances = {most} allows no more",
                self.header.instances
            );
            return Err(wrong(1, reason));
        }
        let mut image = Image { revision: self.header.revision, ..Image::default() };
        while let Some(entry) = self.entry()? {
            if self.found[2] > most as u64 {
                return Err(wrong(self.lines, "more instances than the first line says"));
            }
            match entry {
                Entry::Override(entry) => {
                    let settings = std::sync::Arc::unwrap_or_clone(entry.settings);
                    image.overrides.push((entry.service, settings));
                }
                Entry::Operator(entry) => {
                    image.operators.push((entry.service, entry.id, entry.state));
                }
                Entry::Instance(entry) => image.instances.push((entry.service, entry.record)),
            }
        }
        Ok(Snapshot { header: self.header, image })
    }

    fn end(&mut self, number: u64) -> Result<(), ReadError> {
        let Last { end } = decode(&self.line, number)?;
        let Header { overrides, operators, instances, .. } = self.header;
        let said = [overrides, operators, instances];
        if end.lines != self.lines || self.found != said {
            let reason = "lines are missing or were added: their number is not what it should be";
            return Err(wrong(number, reason));
        }
        if end.xxh3 != format!("{:016x}", self.hash.digest()) {
            return Err(wrong(number, "the hash of the lines is another: the file was altered"));
        }
        let mut beyond = [0];
        match self.input.read(&mut beyond).map_err(ReadError::Io)? {
            0 => Ok(()),
            _ => Err(wrong(number + 1, "there is more behind the last line")),
        }
    }
}

fn place(entry: &Entry) -> Place {
    match entry {
        Entry::Override(entry) => (0, entry.service.to_string(), String::new()),
        Entry::Operator(entry) => (1, entry.service.to_string(), entry.id.to_string()),
        Entry::Instance(entry) => {
            (2, entry.service.to_string(), entry.record.instance.id.to_string())
        }
    }
}

/// Reads a line with its end into `line`; `false` when there is none.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool, ReadError> {
    line.clear();
    let read = input.by_ref().take(LONGEST_LINE).read_until(b'\n', line).map_err(ReadError::Io)?;
    if line.ends_with(b"\n") || read == 0 {
        return Ok(read > 0);
    }
    // What cannot be the beginning of a snapshot is not one that was cut short.
    if number == 1 && !line.starts_with(b"{") {
        return Err(ReadError::Foreign);
    }
    if line.len() as u64 == LONGEST_LINE {
        return Err(wrong(number, format!("it has more than {LONGEST_LINE} bytes")));
    }
    Err(ReadError::Truncated { line: number })
}

fn decode<T: DeserializeOwned>(line: &[u8], number: u64) -> Result<T, ReadError> {
    serde_json::from_slice(line).map_err(|error| {
        // serde's own place is within the line, of which there is one.
        let said = error.to_string();
        let reason = said.rsplit_once(" at line ").map_or(&*said, |(reason, _)| reason);
        wrong(number, reason)
    })
}

fn wrong(line: u64, reason: impl Into<String>) -> ReadError {
    ReadError::Line { line, reason: reason.into() }
}

/// How the last line begins; no entry does.
const LAST: &[u8] = b"{\"end\":";
/// Far more than the largest instance with every character of its metadata escaped.
const LONGEST_LINE: u64 = 1 << 20;
