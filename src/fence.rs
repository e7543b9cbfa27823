//! Fences: where a panic is foreseen, ends what it interrupts, and goes no further.
//!
//! Every other panic ends the process (`server::panics`), which asks here which kind it is. Called
//! by whoever runs code that strangers feed: packets, zone files, databases.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Runs `work`; an error when it panicked. The caller discards what `work` may have left half done.
///
/// # Errors
/// What it panicked with.
pub fn contain<T>(work: impl FnOnce() -> T) -> thread::Result<T> {
    let outer = FENCED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    FENCED.set(outer);
    result
}

/// Whether this thread is behind a fence now; a panic hook still is.
#[must_use]
pub fn is_up() -> bool {
    FENCED.get()
}

thread_local! {
    static FENCED: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_up_for_as_long_as_the_work_behind_it() {
        let within = contain(|| {
            assert!(contain(|| panic!("inner")).is_err());
            is_up()
        });

        assert!(within.unwrap());
        assert!(!is_up());
        assert!(contain(|| panic!("outer")).is_err());
        assert!(!is_up());
    }
}
