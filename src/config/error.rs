//! What is wrong with a configuration, in the form of compilers: file, line, column, key, reason.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// The file says what is not legal.
    #[error("{0}")]
    Illegal(Box<Faults>),
}

impl ConfigError {
    pub(super) fn illegal(first: Fault, others: Vec<Fault>, unlisted: usize) -> Self {
        Self::Illegal(Box::new(Faults { first, others, unlisted }))
    }

    /// The faults in the order of the file; none when it could not be read.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        let faults = match self {
            Self::Read { .. } => None,
            Self::Illegal(faults) => Some(faults),
        };
        faults.into_iter().flat_map(|f| std::iter::once(&f.first).chain(&f.others))
    }
}

/// All that was found wrong in one reading of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The first in the order of the file.
    pub first: Fault,
    /// The next ones, in the order of the file.
    pub others: Vec<Fault>,
    /// How many more were found, too many to list; reading a hopeless table ends early.
    pub unlisted: usize,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        for fault in &self.others {
            write!(f, "\n{fault}")?;
        }
        if self.unlisted > 0 {
            write!(f, "\nand at least {} more", self.unlisted)?;
        }
        Ok(())
    }
}

/// One thing that is not legal, and where it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The key at fault, e.g. `services.web.instances[0].weight`; empty when the file is not TOML.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.path.display(), self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
