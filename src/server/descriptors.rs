//! File descriptors: as many as the system grants, and never more connections than they allow.
//!
//! A server that runs out of them cannot write its store or answer anybody new. So what the server
//! itself needs is set aside, and the connections of clients share the rest.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::model::{HealthPolicy, Limits};

/// How many descriptors connections may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptors {
    granted: usize,
    /// For connections and probes together.
    left: usize,
    /// For DNS and for the side-port each.
    connections: usize,
}

/// Raises the soft limit of open files to the hard one. Better early: what is bound counts.
pub(super) fn raise() {
    // Not being allowed to is no reason not to start: the limit is looked at again.
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok();
    }
}

impl Descriptors {
    /// What is left when store and sockets are open.
    pub(super) fn left() -> Self {
        // Where the system does not say, there is no telling: as many as there are limits for.
        let granted = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let open = fs::read_dir("/proc/self/fd").map_or(USUAL, Iterator::count);
        Self::of(usize::try_from(granted).unwrap_or(usize::MAX), open)
    }

    /// `policy` with no more probes at a time than `limits` leave descriptors for.
    pub(super) fn fit_health(self, policy: HealthPolicy, limits: &Limits) -> HealthPolicy {
        let left = self.left.saturating_sub(2 * limits.connections);
        // The reserve has room for these.
        let concurrency = policy.concurrency.min(left.max(FEWEST_PROBES));
        if concurrency < policy.concurrency {
            tracing::warn!(
                granted = self.granted,
                concurrency,
                wanted = policy.concurrency,
                "few file descriptors, so fewer checks at a time than configured"
            );
        }
        HealthPolicy { concurrency, ..policy }
    }

    fn of(granted: usize, open: usize) -> Self {
        let left = granted.saturating_sub(open + RESERVE);
        Self { granted, left, connections: (left / 2).max(FEWEST) }
    }

    /// `limits` with no more connections than descriptors; says so where that lowers them.
    pub(super) fn fit(self, limits: Limits) -> Limits {
        let connections = limits.connections.min(self.connections);
        if connections < limits.connections {
            tracing::warn!(
                granted = self.granted,
                connections,
                wanted = limits.connections,
                "few file descriptors, so fewer connections to DNS and to HTTP than configured"
            );
        }
        Limits { connections, ..limits }
    }
}

/// Files of a reload and of the store, and connections that are on their way in or out.
const RESERVE: usize = 20;
/// Even where they do not fit: fewer serve nobody.
const FEWEST: usize = 4;
/// Probes that there may be however few descriptors are left.
const FEWEST_PROBES: usize = 8;
/// What a server with few sockets has open.
const USUAL: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_what_the_server_leaves() {
        for (granted, open, connections) in
            [(80, 16, 22), (1_024, 24, 490), (30, 20, FEWEST), (usize::MAX, 20, 4_096)]
        {
            let fitted = Descriptors::of(granted, open).fit(Limits::default());

            assert_eq!(fitted.connections, connections, "{granted}");
            assert_eq!(fitted.watchers, Limits::default().watchers);
        }
    }
}
