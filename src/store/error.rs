//! Why a store cannot be opened or read, in words for whoever starts the server.

use std::io;
use std::path::PathBuf;

/// Why a store cannot be opened, read or closed. Nothing was replaced or deleted.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be made or used.
    #[error("cannot use the data folder {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process holds the data folder.
    #[error("the data folder {} is in use by another signpost", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The file is not ours.
    #[error(
        "{} is not a signpost registry; move it away, or set another server.data_dir",
        file.display()
    )]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The file was written by a signpost that this one does not know.
    #[error(
        "{} has format version {found}, this signpost reads up to {known}; run the signpost \
         that wrote it, or move it away to start empty",
        file.display()
    )]
    Version {
        /// The file.
        file: PathBuf,
        /// What it says.
        found: u32,
        /// The newest version read here.
        known: u32,
    },
    /// The file is ours, and something of it is missing or altered.
    #[error(
        "{} is torn or damaged ({reason}); restore a copy of it, or move it away to start empty",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The system refused to read or write the file; the file itself may be well.
    #[error("cannot read or write {}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
