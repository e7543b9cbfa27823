//! Whose files are: at night an operator is root, and the server is not; it must be able to open what
//! root made.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

/// The owner of a folder and of what is in it.
pub(super) struct Owner {
    folder: PathBuf,
    is_new: bool,
}

/// A file that cannot be given to its owner.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be given to its owner: {source}", file.display())]
pub struct OwnerError {
    file: PathBuf,
    source: io::Error,
}

impl Owner {
    /// Of `folder`, before anything is made in it: one that is not there yet is to belong to the owner
    /// of the folder that it will be in.
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), is_new: !folder.exists() }
    }

    /// Gives the folder and the files in it to the owner.
    pub(super) fn give(&self) -> Result<(), OwnerError> {
        let at = |file: &Path| {
            let file = file.to_owned();
            move |source| OwnerError { file, source }
        };
        let folder = &self.folder;
        let parent = folder.canonicalize().map_err(at(folder))?;
        let from = parent.parent().filter(|_| self.is_new).unwrap_or(&parent);
        let owner = fs::metadata(from).map_err(at(from))?;
        if self.is_new {
            give(folder, &owner).map_err(at(folder))?;
        }
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let file = entry.map_err(at(folder))?.path();
            give(&file, &owner).map_err(at(&file))?;
        }
        Ok(())
    }
}

fn give(file: &Path, owner: &Metadata) -> io::Result<()> {
    let found = fs::symlink_metadata(file)?;
    let is_own = found.is_file() || found.is_dir();
    if is_own && found.uid() != owner.uid() {
        // Not through a link that has come in its place.
        lchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}
