//! `?index=N&wait=30s`: reads that wait for a change.

use std::sync::Arc;
use std::time::Duration;

use crate::http::app::App;
use crate::http::caller::Admitted;
use crate::http::extract::{Given, Parameters};
use crate::http::grant::Grant;
use crate::http::problem::Problem;
use crate::model::{DurationText, Revision, ServiceName};

/// The parameters of a read that may wait.
pub(crate) struct Wait {
    index: Revision,
    wait: Duration,
}

impl Wait {
    /// Returns when the revision of `service` (without one: of the registry) is greater than the
    /// index, the time is over, or the server is going down. Without an index: at once.
    ///
    /// # Errors
    /// When too many wait already, or this one would not be `admitted` any more.
    pub(crate) async fn moved(
        self,
        app: &Arc<App>,
        service: Option<&ServiceName>,
        admitted: Admitted,
    ) -> Result<(), Problem> {
        if self.index == Revision(0) {
            return Ok(());
        }
        let _watcher = app.watcher(admitted.is_stranger())?;
        let mut grant = Grant::new(app, admitted);
        tokio::select! {
            () = app.registry.wait_for(service, self.index, self.wait) => {}
            () = app.going_down() => {}
            () = grant.over() => {}
        }
        // It may be over in the same moment.
        if grant.holds() { Ok(()) } else { Err(Problem::unauthorized()) }
    }
}

impl Parameters for Wait {
    const NAMES: &'static [&'static str] = &["index", "wait"];

    fn read(given: &Given<'_>) -> Result<Self, Problem> {
        let index = Revision(given.value("index")?.unwrap_or(0));
        let wait = given.value("wait")?.map_or(DEFAULT_WAIT, |DurationText(wait)| wait);
        if wait > MAX_WAIT {
            let reason = format!("{} is too long, at most 10m is allowed", DurationText(wait));
            return Err(Problem::invalid("wait", &reason));
        }
        Ok(Self { index, wait })
    }
}

const DEFAULT_WAIT: Duration = Duration::from_secs(30);
const MAX_WAIT: Duration = Duration::from_secs(600);
