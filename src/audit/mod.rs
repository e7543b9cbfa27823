//! The audit log: who changed what, when, and what was there before, as lines of JSON in a file.
//!
//! One thread writes it (`writer`), so that neither the registry nor any client waits for a disk but
//! those whose changes are written down: they are answered then. `line` makes the lines, `file` is
//! only ever appended to. Nothing here decides anything.

mod file;
mod line;
mod writer;

pub use file::{AuditFile, OpenError};
pub use line::{Mark, line, mark};
pub use writer::{AuditStats, Control, Writer};
