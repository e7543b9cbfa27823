//! Where the audit log is, and how much of it is kept.

use std::path::PathBuf;

/// The settings of `[audit]`, of a log that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPolicy {
    /// The file that is appended to.
    pub file: PathBuf,
    /// How many bytes it may have before another is begun.
    pub max_size: u64,
    /// How many files are kept besides, with `.1` (the latest) and so on behind their names.
    pub keep: u32,
}
