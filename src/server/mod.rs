//! Builds the server from a configuration, owns every task, reloads, drains.
//!
//! Start: store, zones, sockets, registry, fronts; what can fail fails before anything is served.
//! End: stop accepting, finish what is in flight, make the rest durable, close the store.

mod check;
mod descriptors;
mod encrypted;
mod listen;
mod log;
mod metrics;
mod owner;
mod panics;
mod persist;
mod priority;
mod profile;
mod reload;
mod restore;
mod service_manager;
mod side_port;
mod signals;
mod still;
mod token;
mod zone;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub use check::{Checked, check};
pub use encrypted::DevTlsError;
pub use log::LogFormat;
pub use owner::OwnerError;
pub use restore::{RestoreError, RestoreOptions, Restored, restore};
pub use still::still;
pub use token::{OfflineError, create_token};
pub use zone::ServedError;

use crate::audit::{self, AuditFile, AuditStats};
use crate::config::{Boot, Config, ConfigError, Flags, StoreKind};
use crate::dns;
use crate::dns::batch::Batch;
use crate::dns::front::Front;
use crate::dns::serve::{Shared, serve_streams};
use crate::dns::sockets::Bound;
use crate::dns::tcp::Protocol;
use crate::health::{Health, HealthStats};
use crate::http::{self, Access, Hosts, UnixError};
use crate::net::inherited::{InheritError, Inherited};
use crate::net::tls::{CertificateError, Certificates};
use crate::registry::{Engine, Names, Registry, Tap};
use crate::store::{Embedded, Memory, Store, StoreError};
use descriptors::Descriptors;
use panics::Panics;
use persist::Persister;
use reload::Reloader;
use service_manager::ServiceManager;
use side_port::{Parts, side_port};
use signals::Signals;

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The configuration file; `None`: the built-in defaults.
    pub config: Option<PathBuf>,
    /// In place of what the file says.
    pub flags: Flags,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// Why the server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is not legal.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened or closed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The DNS front cannot serve the configuration.
    #[error(transparent)]
    Served(#[from] ServedError),
    /// There is no certificate to encrypt with.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No certificate could be made for trying out.
    #[error(transparent)]
    DevTls(#[from] DevTlsError),
    /// A DNS address cannot be listened on.
    #[error(transparent)]
    Dns(#[from] dns::sockets::BindError),
    /// A socket that was handed over is of no use.
    #[error(transparent)]
    Inherited(#[from] InheritError),
    /// An HTTP address cannot be listened on.
    #[error(transparent)]
    Http(#[from] http::BindError),
    /// The audit log cannot be kept.
    #[error(transparent)]
    Audit(#[from] audit::OpenError),
    /// A unix socket cannot be listened on.
    #[error(transparent)]
    Unix(#[from] UnixError),
    /// The system refused something else.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
    /// A part that must run for ever ended.
    #[error("the {0} ended unexpectedly; what is acknowledged is stored, start again")]
    Ended(&'static str),
    /// A task or a thread panicked.
    #[error(
        "panics: {count}, the first in {first}; what is acknowledged is stored, start again and \
         report it"
    )]
    Panicked {
        /// Where and with what.
        first: String,
        /// How many there were, with those that were contained.
        count: u64,
    },
}

/// Serves until SIGTERM or SIGINT, or until a panic, for which this installs a hook.
///
/// # Errors
/// When it cannot start, or could not end cleanly.
pub fn serve(options: Options) -> Result<(), ServeError> {
    // Before anything is opened, or it could be taken for a socket.
    let inherited = Inherited::take();
    log::start(options.log_format);
    let panics = panics::watch();
    let inherited = inherited?;
    descriptors::raise();
    let config = reload::load(options.config.clone(), &options.flags)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().on_thread_start(priority::stand_behind_queries);
    let runtime = runtime.build()?;
    let ended = runtime.block_on(run(options.config, options.flags, config, inherited, panics));
    // Who still waits for a disk that hangs, as a reload may, keeps nobody.
    runtime.shutdown_background();
    ended
}

async fn run(
    path: Option<PathBuf>,
    flags: Flags,
    config: Config,
    inherited: Inherited,
    panics: &'static Panics,
) -> Result<(), ServeError> {
    let Config { boot, live, warnings } = config;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let served = zone::served(&boot, &live)?;
    let certificate = encrypted::configured(&live)?;
    let certificates = Arc::new(Certificates::default());
    let clients = encrypted::clients(&live, &certificates)?;
    for hidden in check::all_hidden(&served, &live.declared) {
        tracing::warn!("{hidden}");
    }
    let audit_file = live.audit.clone().map(AuditFile::open).transpose()?;
    let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut store: Box<dyn Store> = match boot.store {
        StoreKind::Embedded => Box::new(Embedded::open(&boot.data_dir)?),
        StoreKind::Memory => Box::new(Memory::default()),
    };
    let image = store.load()?;
    // After the store, which may take seconds to read: until then clients turn to other servers.
    let (sockets, encrypted) =
        match listen::bind(&boot, workers, certificate, certificates, inherited) {
            Ok(bound) => bound,
            Err(error) => {
                // Nothing was handed out, so that the next start need not skip any revision.
                store.close(image.revision)?;
                return Err(error);
            }
        };

    let (commits, requests) = mpsc::channel(1);
    let (persister, store_ended) = Persister::start(store, requests)?;
    let zone_length = boot.longest_zone();
    let names = Names { zone_length, server: boot.name.to_string() };
    let (registry, mut engine) = Registry::new(image, zone::policy(&live), names, commits);
    let (revision, clock) = (registry.views().revision(), registry.clock());
    let audit_stats = Arc::new(AuditStats::default());
    let (auditor, turns) =
        audit::Writer::start(audit_file, revision, clock, Arc::clone(&audit_stats))?;
    let tap = Tap::new(turns, Arc::clone(&audit_stats.lost));
    engine.tap(tap, auditor.control().open());
    let (engine, engine_ended) = start_engine(engine)?;

    let zone = boot.zone.to_string();
    let front = Arc::new(Front::new(registry.clone(), served));
    let descriptors = Descriptors::left();
    let limits = descriptors.fit(live.limits);
    let (health_policy, health_policies) =
        watch::channel(descriptors.fit_health(live.health, &limits));
    let health_stats = Arc::new(HealthStats::default());
    let health =
        Health::new(registry.clone(), health_policies, zone.clone(), Arc::clone(&health_stats));
    let shared = Arc::new(Shared::new(limits.connections, limits.connections_per_client));
    let limits = Arc::new(ArcSwap::from_pointee(limits));
    let admin = registry.tokens().has_admin(registry.clock().wall()) || clients.have_admin();
    let access = Arc::new(Access {
        authentication: boot.authentication,
        hosts: ArcSwap::from_pointee(hosts(&boot, live.hosts)),
        clients: ArcSwap::from_pointee(clients),
    });
    if boot.authentication.required && !admin {
        tracing::warn!(
            "there is no token of an admin: stop, and run `signpost token create --offline`"
        );
    }
    let reloader = Arc::new(Reloader {
        path,
        flags,
        boot,
        registry: registry.clone(),
        front: Arc::clone(&front),
        certificates: Arc::clone(&encrypted.certificates),
        limits: Arc::clone(&limits),
        access: Arc::clone(&access),
        shared: Arc::clone(&shared),
        descriptors,
        health: health_policy,
        audit: auditor.control(),
        gate: Mutex::new(()),
    });
    let ready = Arc::new(AtomicBool::new(false));
    let (stop, stopped) = watch::channel(false);
    let app = side_port(&Parts {
        registry: registry.clone(),
        front: Arc::clone(&front),
        shared: Arc::clone(&shared),
        limits,
        access,
        reloader: Arc::clone(&reloader),
        ready: Arc::clone(&ready),
        stopped: stopped.clone(),
        zone,
        health: health_stats,
        audit: audit_stats,
    });

    // From here on somebody may wait for an answer: no signal ends the process without it.
    let signals = Signals::new()?;
    let mut tasks = JoinSet::new();
    // Datagrams go on until the store is closed: what is not read waits for the next process, and
    // the wait should be short.
    let mut datagrams = JoinSet::new();
    let (stop_datagrams, datagrams_stopped) = watch::channel(false);
    listen::announce(&sockets, &encrypted)?;
    let worker = || {
        let mut worker = front.worker();
        move |batch: &mut Batch<'_>| worker.answer(batch)
    };
    let answering = Arc::clone(&front);
    let handler =
        move |packet: &[u8], peer, reply: &mut Vec<u8>| answering.handle(packet, peer, reply);
    for Bound { udp, tcp, .. } in sockets.dns {
        dns::udp::start(udp, worker, &shared, &datagrams_stopped, &mut datagrams)?;
        serve_streams(tcp, Protocol::Tcp, &handler, &shared, &stopped, &mut tasks);
    }
    encrypted.serve(&handler, &shared, &stopped, &mut tasks);
    tasks.spawn(health.run(stopped.clone()));
    for listener in sockets.http {
        tasks.spawn(http::serve(listener, Arc::clone(&app)));
    }
    ready.store(true, Ordering::Release);
    if let Some(warning) = zone::too_long(registry.views(), zone_length) {
        tracing::warn!("{warning}");
    }
    tracing::info!(revision = registry.views().revision().0, "ready");

    let part_ended = async {
        tokio::select! {
            _ = engine_ended => "registry",
            _ = store_ended => "store",
            Some(_) = tasks.join_next() => "loop of a socket or of checks",
            Some(_) = datagrams.join_next() => "loop of a socket",
        }
    };
    let manager = ServiceManager::of(registry.clone(), Arc::clone(&shared));
    manager.ready();
    let watched = tokio::spawn(manager.clone().watch());
    let ended = signals.until_stop(&reloader, &manager, part_ended, panics).await;
    watched.abort();
    manager.stopping();
    ready.store(false, Ordering::Release);
    tracing::info!("shutting down");
    // The loops may all have ended already.
    stop.send(true).ok();
    let drained = async { while tasks.join_next().await.is_some() {} };
    let drain = if panics.fatal() { panics::DRAIN } else { DRAIN };
    if tokio::time::timeout(drain, drained).await.is_err() {
        tracing::warn!("some connections did not end in time and were cut");
    }
    let Some(revision) = registry.shut_down().await else {
        return panics.or(ended.and(Err(ServeError::Ended("registry"))));
    };
    // A thread that panicked has told stderr.
    drop(engine.join());
    let closed = persister.close(revision);
    auditor.close(revision);
    stop_datagrams.send(true).ok();
    while datagrams.join_next().await.is_some() {}
    panics.or(closed.map_err(ServeError::from).and(ended))
}

/// Runs the engine on a thread of its own. The receiver hears when it ends, however it does.
fn start_engine(engine: Engine) -> std::io::Result<(JoinHandle<()>, oneshot::Receiver<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (alive, ended) = oneshot::channel();
    let work = move || {
        priority::stand_behind_queries();
        runtime.block_on(engine.run());
        drop(alive);
    };
    let thread = std::thread::Builder::new().name("registry".into()).spawn(work)?;
    Ok((thread, ended))
}

/// By which names and addresses the side-port is called.
fn hosts(boot: &Boot, listed: Vec<String>) -> Hosts {
    let listen = [boot.http_listen.as_slice(), &boot.http_tls_listen].concat();
    Hosts::new(&listen, listed)
}

/// How long connections may take to end after a stop.
const DRAIN: Duration = Duration::from_secs(10);
