//! From values to lines.

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3Default;

use crate::snapshot::{End, Entry, Header, Last};

/// Appends the lines of one snapshot to a buffer that the caller empties as it likes.
#[derive(Default)]
pub struct Writer {
    lines: u64,
    hash: Xxh3Default,
}

impl Writer {
    /// The first line.
    pub fn header(&mut self, header: &Header, out: &mut Vec<u8>) {
        self.line(header, out);
    }

    /// A line between; they come in the order of the header's numbers, and of names.
    pub fn entry(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        self.line(entry, out);
    }

    /// The last line.
    pub fn end(mut self, out: &mut Vec<u8>) {
        let end = End { lines: self.lines, xxh3: format!("{:016x}", self.hash.digest()) };
        self.line(&Last { end }, out);
    }

    fn line(&mut self, line: &impl Serialize, out: &mut Vec<u8>) {
        let start = out.len();
        serde_json::to_writer(&mut *out, line).expect("a vector takes all, our keys are strings");
        out.push(b'\n');
        self.hash.update(&out[start..]);
        self.lines += 1;
    }
}
