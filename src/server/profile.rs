//! Takes profiles of this process: samples of the stacks of all its threads.
//!
//! The only place with the crate pprof, which the feature of that name brings in. The samples are
//! taken by a signal, as often as the processor's time goes on: a thread that waits has none.

use crate::http::Profiler;

/// What takes profiles, in a build that can.
#[cfg(feature = "pprof")]
pub(super) fn profiler() -> Option<Box<Profiler>> {
    sampling::prepare();
    Some(Box::new(|request| Box::pin(sampling::take(request))))
}

/// None: this build cannot.
#[cfg(not(feature = "pprof"))]
pub(super) fn profiler() -> Option<Box<Profiler>> {
    None
}

#[cfg(feature = "pprof")]
mod sampling {
    use nix::sys::signal::{Signal, raise};
    use pprof::protos::Message;
    use pprof::{ProfilerGuard, ProfilerGuardBuilder};

    use crate::http::{ProfileError, ProfileRequest};

    /// Takes the first sample here and now. It reads this program's unwind tables and keeps them,
    /// which allocates (tikv/pprof-rs, pull request 282): a thread that a later signal interrupts may
    /// be in the middle of that itself.
    pub(super) fn prepare() {
        let guard = ProfilerGuardBuilder::default().frequency(1).build();
        // A signal that a thread sends itself is handled before it goes on.
        let sampled = guard
            .map_err(|e| e.to_string())
            .and_then(|_guard| raise(Signal::SIGPROF).map_err(|e| e.to_string()));
        if let Err(error) = sampled {
            tracing::warn!(%error, "profiles cannot be taken");
        }
    }

    /// Samples for as long as asked, then finds the names. Dropped, it stops sampling.
    pub(super) async fn take(request: ProfileRequest) -> Result<Vec<u8>, ProfileError> {
        let guard = ProfilerGuardBuilder::default().frequency(request.hz.into()).build();
        let guard = guard.map_err(refused)?;
        tokio::time::sleep(request.time).await;
        // Reading this program's symbols takes seconds, and the runtime has others to serve.
        let encoded = tokio::task::spawn_blocking(move || encode(&guard)).await;
        encoded.map_err(|_| ProfileError::Failed("the work was given up".into()))?
    }

    fn encode(guard: &ProfilerGuard<'_>) -> Result<Vec<u8>, ProfileError> {
        let profile = guard.report().build().and_then(|report| report.pprof());
        Ok(profile.map_err(refused)?.encode_to_vec())
    }

    fn refused(error: pprof::Error) -> ProfileError {
        match error {
            pprof::Error::Running => ProfileError::Busy,
            other => ProfileError::Failed(other.to_string()),
        }
    }
}
