//! Who goes first when there is more to do than there are processors: the threads that answer
//! datagrams. All others, which write, are niced, so that a question that arrives does not wait
//! for a batch of changes to be worked through.

/// Lets the calling thread, and those that it starts, stand behind the threads that answer DNS.
pub(super) fn stand_behind_queries() {
    // Elsewhere the call is about the whole process, those who answer included.
    #[cfg(target_os = "linux")]
    if let Err(error) = nicer(BEHIND) {
        tracing::debug!(%error, "writes have the priority of queries");
    }
}

#[cfg(target_os = "linux")]
fn nicer(by: i32) -> rustix::io::Result<()> {
    let nice = rustix::process::getpriority_process(None)?;
    rustix::process::setpriority_process(None, (nice + by).min(NICEST))
}

/// Enough for who wakes to be chosen first. Five steps leave writes a quarter of a processor while
/// queries, or other programs, take all there is: that must not keep heartbeats unread until leases
/// end.
#[cfg(target_os = "linux")]
const BEHIND: i32 = 5;
#[cfg(target_os = "linux")]
const NICEST: i32 = 19;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_asks_stands_behind() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();

        let behind = std::thread::spawn(move || {
            stand_behind_queries();
            nice()
        });

        assert_eq!(behind.join().unwrap(), (before + BEHIND).min(NICEST));
        assert_eq!(nice(), before);
    }
}
