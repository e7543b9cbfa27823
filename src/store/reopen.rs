//! How tests open a store that they have just let go of.

use std::path::Path;
use std::time::Duration;

use crate::store::{Embedded, StoreError};

/// Opens the store in `folder`, waiting for its lock. A program that another test starts has all our
/// descriptors between its fork and its exec, so it may hold the lock for a moment longer than we.
pub(super) fn reopen(folder: &Path) -> Embedded {
    for _ in 0..1_000 {
        match Embedded::open(folder) {
            Err(StoreError::InUse { .. }) => {
                #[expect(clippy::disallowed_methods, reason = "nothing tells when it lets go")]
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays in use", folder.display());
}
