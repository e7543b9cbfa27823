//! Builds the server from a configuration, owns every task, reloads, drains.
//!
//! Start: store, zones, sockets, registry, fronts; what can fail fails before anything is served.
//! End: stop accepting, finish what is in flight, make the rest durable, close the store.

mod persist;
mod zone;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::cli::ServeArgs;
use crate::config::{self, Config, ConfigError, Flags, StoreKind};
use crate::dns::front::Front;
use crate::dns::metrics::Metrics;
use crate::dns::transport::{Peer, Transport};
use crate::registry::{Names, Policy, Registry};
use crate::store::{Embedded, Memory, Store, StoreError};
use persist::Persister;
pub use zone::ServedError;

/// Why the server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is not legal.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The DNS front cannot serve the configuration.
    #[error(transparent)]
    Served(#[from] ServedError),
    /// The system refused something.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Serves until told to stop.
///
/// # Errors
/// When it cannot start.
pub fn serve(args: &ServeArgs) -> Result<(), ServeError> {
    let flags = Flags { dns: args.dns.clone(), http: args.http.clone() };
    let config = match &args.config {
        Some(path) => config::load_with(path, &flags)?,
        None => config::parse_with("", Path::new("registry.toml"), &flags)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> Result<(), ServeError> {
    let Config { boot, live, .. } = config;
    let mut store: Box<dyn Store> = match boot.store {
        StoreKind::Embedded => Box::new(Embedded::open(&boot.data_dir)?),
        StoreKind::Memory => Box::new(Memory::default()),
    };
    let image = store.load()?;
    let served = zone::served(&boot, &live)?;
    let (commits, requests) = mpsc::channel(1);
    let persister = Persister::start(store, requests)?;
    let policy = Policy {
        declared: Arc::new(live.declared.clone()),
        limits: live.limits.clone(),
        forget_after: live.forget_after,
    };
    let names = Names { zone_length: boot.zone.length(), server: boot.name.to_string() };
    let (registry, engine) = Registry::new(image, policy, names, commits);
    let engine = std::thread::Builder::new().name("registry".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(engine.run()))
    })?;
    let front = Arc::new(Front::new(registry.clone(), served, Arc::new(Metrics::default())));
    for address in &boot.dns_listen {
        let socket = tokio::net::UdpSocket::bind(address).await?;
        writeln!(std::io::stdout(), "dns {address} udp")?;
        let front = Arc::clone(&front);
        tokio::spawn(async move {
            let (mut packet, mut reply) = (vec![0; 65535], Vec::new());
            while let Ok((length, source)) = socket.recv_from(&mut packet).await {
                let peer = Peer { transport: Transport::Udp, source };
                if front.handle(&packet[..length], peer, &mut reply) {
                    socket.send_to(&reply, source).await.ok();
                }
            }
        });
    }
    tokio::signal::ctrl_c().await?;
    if let Some(revision) = registry.shut_down().await {
        drop(engine.join());
        persister.close(revision)?;
    }
    Ok(())
}
