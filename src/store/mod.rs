//! What outlives the process: a store takes commits of changes, each durable before it returns,
//! and gives back the whole image at the next start. One thread of `server` owns it and waits.
//! It never hands out half a registry: what is torn, foreign or in use is refused.

mod codec;
mod embedded;
mod error;
mod frame;
mod image;
mod memory;
#[cfg(test)]
mod reopen;
mod tables;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod full;

pub use embedded::Embedded;
pub use error::StoreError;
pub use memory::Memory;

use crate::model::{Commit, CommitError, Image, Revision};

/// A durable store, owned by one thread. Its calls block.
pub trait Store: Send {
    /// Everything that is stored, in the order of names. Meant to be called once, before the first
    /// commit: the image's revision is not less than any that was ever handed out.
    ///
    /// # Errors
    /// When the store cannot be read, or not all of it is there.
    fn load(&mut self) -> Result<Image, StoreError>;

    /// Makes `commit` durable, all of it or nothing. Revisions must not fall from one to the next.
    ///
    /// # Errors
    /// When it could not be made durable, though it may turn out to be on disk: the caller must
    /// state the same keys again in its next commit. That one tries anew and needs no restart.
    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError>;

    /// Ends cleanly: `revision`, the last one handed out, is what the next [`load`](Self::load)
    /// begins from. A store that is only dropped skips some revisions, as after a crash.
    ///
    /// # Errors
    /// When that could not be made durable; the next start may then be one after a crash.
    fn close(self: Box<Self>, revision: Revision) -> Result<(), StoreError>;
}
