//! Panics: every one is logged and counted, and one of a task or a thread ends the process, so that
//! nobody is served by half a server.
//!
//! The stop is the usual one if it comes in time, else an abort; what is acknowledged is stored
//! either way. What panics behind a fence (`crate::fence`) ends only what it was doing.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Once, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use crate::fence;
use crate::server::ServeError;

/// The panics of this process.
#[derive(Debug)]
pub(super) struct Panics {
    /// All of them, contained or not.
    pub(super) count: AtomicU64,
    /// The first that was not contained.
    first: OnceLock<String>,
    heard: Notify,
}

/// Watches all threads from now on. A process has one hook, so that a second call adds nothing.
pub(super) fn watch() -> &'static Panics {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| panic::set_hook(Box::new(|panic| PANICS.note(panic))));
    &PANICS
}

/// What has been seen.
pub(super) fn watched() -> &'static Panics {
    &PANICS
}

impl Panics {
    /// Completes once the process has to end.
    pub(super) async fn heard(&self) {
        while !self.fatal() {
            self.heard.notified().await;
        }
    }

    /// Whether the process has to end.
    pub(super) fn fatal(&self) -> bool {
        self.first.get().is_some()
    }

    /// How a server ended that would else have ended with `result`.
    pub(super) fn or(&self, result: Result<(), ServeError>) -> Result<(), ServeError> {
        let Some(first) = self.first.get() else { return result };
        if let Err(error) = result {
            tracing::error!(%error, "did not end well either");
        }
        let count = self.count.load(Ordering::Relaxed);
        Err(ServeError::Panicked { first: first.clone(), count })
    }

    fn note(&self, panic: &PanicHookInfo<'_>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let contained = fence::is_up();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        let backtrace = backtrace.as_ref().map(tracing::field::display);
        tracing::error!(thread = name, place, cause = message, contained, backtrace, "panicked");
        if contained || self.first.set(format!("{name} at {place}: {message}")).is_err() {
            return;
        }
        let (never, said) = mpsc::channel::<()>();
        let abort = move || {
            let _never = never;
            said.recv_timeout(GRACE).ok();
            tracing::error!("the stop after a panic takes too long: aborting");
            std::process::abort();
        };
        // Not even a thread: then there will be no stop in good order either.
        if thread::Builder::new().name("abort".into()).spawn(abort).is_err() {
            std::process::abort();
        }
        self.heard.notify_one();
    }
}

static PANICS: Panics =
    Panics { count: AtomicU64::new(0), first: OnceLock::new(), heard: Notify::const_new() };

/// How long connections may take to end after a panic.
pub(super) const DRAIN: Duration = Duration::from_secs(2);
/// How long the whole stop may take after a panic.
const GRACE: Duration = Duration::from_secs(8);
