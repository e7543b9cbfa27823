//! Who runs where: the server under test on one core, what asks it on the other.

use rustix::thread::{CpuSet, sched_setaffinity};

/// The core of the server under test.
pub(crate) const SERVER: usize = 0;

/// The core of the load.
pub(crate) const LOAD: usize = 1;

/// Keeps this thread, and those that it starts, on the core of the load.
pub(crate) fn pin_load() {
    let mut set = CpuSet::new();
    set.set(LOAD);
    sched_setaffinity(None, &set).expect("a machine with two cores");
}
