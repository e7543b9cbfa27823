//! Reload: the file is read again, and either all of it that can change holds, or nothing does.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, watch};

use crate::audit::{AuditFile, Control, OpenError};
use crate::config::{self, Boot, Config, ConfigError, Flags};
use crate::dns::front::Front;
use crate::dns::serve::Shared;
use crate::http::Access;
use crate::model::{Author, HealthPolicy, Limits, Revision};
use crate::net::tls::{CertificateError, Certificates};
use crate::registry::{Refusal, Registry};
use crate::server::descriptors::Descriptors;
use crate::server::zone::{ServedError, policy, served};
use crate::server::{encrypted, hosts};

/// Reads the configuration again and puts it in force.
pub(super) struct Reloader {
    /// `None`: the built-in defaults, which never change.
    pub(super) path: Option<PathBuf>,
    pub(super) flags: Flags,
    /// What the process started with.
    pub(super) boot: Boot,
    pub(super) registry: Registry,
    pub(super) front: Arc<Front>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) limits: Arc<ArcSwap<Limits>>,
    pub(super) access: Arc<Access>,
    pub(super) shared: Arc<Shared>,
    pub(super) descriptors: Descriptors,
    pub(super) health: watch::Sender<HealthPolicy>,
    pub(super) audit: Control,
    /// One reload at a time, or an older file could win over a newer one.
    pub(super) gate: Mutex<()>,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reloaded {
    pub(super) revision: Revision,
    pub(super) changed: bool,
    pub(super) needs_restart: Vec<&'static str>,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Served(#[from] ServedError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Who is there would be let in unasked by what is listened on.
    #[error(
        "http.client_certificates: less than \"required\" needs a restart, since http.tls_listen is \
         beyond loopback and nobody else has to say who they are"
    )]
    Exposed,
    #[error(transparent)]
    Audit(#[from] OpenError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Reloader {
    /// Reloads for `author`, to the end also when this is dropped: a client that goes away leaves nothing half in
    /// force.
    pub(super) async fn reload(self: &Arc<Self>, author: Author) -> Result<Reloaded, ReloadError> {
        let reloader = Arc::clone(self);
        let whole = tokio::spawn(async move { reloader.reload_whole(author).await });
        whole.await.unwrap_or_else(|_| Err(Refusal::ShuttingDown.into()))
    }

    async fn reload_whole(&self, author: Author) -> Result<Reloaded, ReloadError> {
        let _one = self.gate.lock().await;
        let (path, flags, boot) = (self.path.clone(), self.flags.clone(), self.boot.clone());
        let certificates = Arc::clone(&self.certificates);
        let read = move || -> Result<_, ReloadError> {
            let config = load(path, &flags)?;
            let served = served(&boot, &config.live)?;
            let certificate = encrypted::configured(&config.live)?;
            let clients = encrypted::clients(&config.live, &certificates)?;
            if boot.needs_client_certificates() && !clients.required() {
                return Err(ReloadError::Exposed);
            }
            let audit = config.live.audit.clone().map(AuditFile::open).transpose()?;
            Ok((config, served, certificate, clients, audit))
        };
        // Files block. A task that panicked has read nothing.
        let read = tokio::task::spawn_blocking(read).await;
        let (config, served, certificate, clients, audit) =
            read.map_err(|_| Refusal::ShuttingDown)??;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        // What this reload does is in the log that it begins, or in the one that it ends.
        let ends_log = audit.is_none();
        if !ends_log {
            self.audit.follow(audit);
        }
        let statics_changed = *self.front.served() != served;
        // Names of addresses are not asked for before their owners are known.
        self.registry.cover(config.live.reverse.clone()).await?;
        // First, since who sees a new serial must not be given old records.
        self.front.serve(served);
        let registry = self.registry.by(author);
        let reloaded = registry.reload(policy(&config.live), statics_changed).await?;
        if ends_log {
            self.audit.follow(None);
        }
        let limits = self.descriptors.fit(config.live.limits);
        self.health.send_replace(self.descriptors.fit_health(config.live.health, &limits));
        self.shared.connections.limit(limits.connections, limits.connections_per_client);
        self.limits.store(Arc::new(limits));
        let hosts = hosts(&self.boot, config.live.hosts);
        self.access.hosts.store(Arc::new(hosts));
        if let Some(certificate) = certificate
            && self.certificates.replace(certificate)
        {
            tracing::info!("certificate replaced");
        }
        self.access.clients.store(Arc::new(clients));
        Ok(Reloaded {
            revision: reloaded.revision,
            changed: reloaded.changed,
            needs_restart: self.boot.differences(&config.boot),
        })
    }
}

/// Says in the log what came of a reload.
pub(super) fn tell(result: &Result<Reloaded, ReloadError>) {
    match result {
        Ok(Reloaded { revision, changed, needs_restart }) => {
            tracing::info!(revision = revision.0, changed, ?needs_restart, "reloaded");
        }
        Err(error) => tracing::error!(%error, "reload refused, nothing has changed"),
    }
}

/// Reads the file, or the defaults where there is none.
pub(super) fn load(path: Option<PathBuf>, flags: &Flags) -> Result<Config, ConfigError> {
    match path {
        Some(path) => config::load_with(&path, flags),
        None => config::parse_with("", &PathBuf::from("registry.toml"), flags),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::sync::mpsc;

    use super::*;
    use crate::model::Image;
    use crate::registry::Names;

    #[tokio::test]
    async fn a_reload_that_nobody_waits_for_any_more_is_done_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.toml");
        fs::write(&path, "").unwrap();
        let Config { boot, live, .. } = load(Some(path.clone()), &Flags::default()).unwrap();
        let (commits, _requests) = mpsc::channel(1);
        let names = Names { zone_length: boot.longest_zone(), server: boot.name.to_string() };
        let (registry, engine) = Registry::new(Image::default(), policy(&live), names, commits);
        tokio::spawn(engine.run());
        let front = Front::new(registry.clone(), served(&boot, &live).unwrap());
        let reloader = Arc::new(Reloader {
            path: Some(path.clone()),
            flags: Flags::default(),
            boot,
            registry,
            front: Arc::new(front),
            certificates: Arc::default(),
            limits: Arc::new(ArcSwap::from_pointee(live.limits)),
            access: Arc::default(),
            shared: Arc::new(Shared::new(8, 8)),
            descriptors: Descriptors::left(),
            health: watch::Sender::new(live.health),
            audit: Control::default(),
            gate: Mutex::new(()),
        });
        let before = reloader.front.served();
        fs::write(&path, "dns.reverse = ['10.0.0.0/8']\nlimits.watchers = 7").unwrap();

        let mut reload = Box::pin(reloader.reload(Author::default()));
        while *reloader.front.served() == *before {
            poll_fn(|cx| Poll::Ready(reload.as_mut().poll(cx).is_ready())).await;
            tokio::task::yield_now().await;
        }
        drop(reload);

        let _done = reloader.gate.lock().await;
        assert_eq!(reloader.limits.load().watchers, 7);
    }
}
