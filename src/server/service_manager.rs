//! What a service manager is told (sd_notify(3)): when the server is ready, reads its files again or
//! ends, how it is, and at intervals that it lives.
//!
//! A sign of life is sent only after the engine has answered and every thread of datagrams has made
//! its round; the runtime, which both fronts are on, shows by sending it. Nothing here does anything
//! where nobody asked to be told.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::dns::serve::Shared;
use crate::registry::Registry;

/// Whom to tell, and of what.
#[derive(Debug, Clone)]
pub(super) struct ServiceManager {
    registry: Registry,
    shared: Arc<Shared>,
    /// How long it waits for a sign of life before it ends the process.
    patience: Option<Duration>,
}

impl ServiceManager {
    /// As the environment says.
    pub(super) fn of(registry: Registry, shared: Arc<Shared>) -> Self {
        Self { registry, shared, patience: sd_notify::watchdog_enabled() }
    }

    pub(super) fn ready(&self) {
        tell(&[NotifyState::Ready, NotifyState::Status(&self.status())]);
    }

    /// To be followed by [`ready`](Self::ready), whatever came of it.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("shutting down")]);
    }

    /// Tells how the server is, and that it lives, until it is dropped.
    pub(super) async fn watch(self) {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return;
        }
        // Three in the time that it waits: one may be late.
        let every = self.patience.map_or(STATUS_EVERY, |patience| patience / 3);
        let mut ticks = interval(every.max(OFTEN));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let status = self.status();
            let lives = match self.stands_still(every).await {
                None => self.patience.is_some(),
                Some(part) => {
                    tracing::error!(
                        part,
                        "no sign of life: the service manager is not told of any"
                    );
                    false
                }
            };
            // Who does not take what it is told must not hold up a front.
            let send = move || match lives {
                true => tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]),
                false => tell(&[NotifyState::Status(&status)]),
            };
            drop(tokio::task::spawn_blocking(send).await);
        }
    }

    /// The part that does not do its work.
    async fn stands_still(&self, within: Duration) -> Option<&'static str> {
        if self.shared.pulses.still() > 0 {
            return Some("a thread that answers datagrams");
        }
        match timeout(within, self.registry.answers()).await {
            Ok(true) => None,
            Ok(false) | Err(_) => Some("the registry"),
        }
    }

    fn status(&self) -> String {
        let views = self.registry.views();
        let stats = self.registry.stats();
        let instances = stats.instances.load(std::sync::atomic::Ordering::Relaxed);
        let writes = match stats.degraded.load(std::sync::atomic::Ordering::Relaxed) {
            0 => "",
            _ => "; the store cannot write",
        };
        let (revision, services) = (views.revision().0, views.len());
        format!("revision {revision}, services {services}, instances {instances}{writes}")
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

/// How often the status is told where no sign of life is wanted.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// Threads that have nothing to do give ten signs of life in a second.
const OFTEN: Duration = Duration::from_millis(300);
