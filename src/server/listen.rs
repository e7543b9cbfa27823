//! The sockets that clients come by: those that a service manager kept, and bound ones for the rest.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::config::Boot;
use crate::dns;
use crate::dns::sockets::Bound;
use crate::http::{self, Listener, UnixSocket};
use crate::net::inherited::Inherited;
use crate::net::tls::{Certificate, Certificates};
use crate::server::ServeError;
use crate::server::encrypted::Encrypted;

/// The sockets that clients come by, but those of encrypted DNS.
pub(super) struct Sockets {
    pub(super) dns: Vec<Bound>,
    pub(super) http: Vec<Listener>,
}

/// All of them, and none that is left over.
pub(super) fn bind(
    boot: &Boot,
    workers: NonZeroUsize,
    certificate: Option<Certificate>,
    certificates: Arc<Certificates>,
    mut inherited: Inherited,
) -> Result<(Sockets, Encrypted), ServeError> {
    let dns = boot.dns_listen.iter();
    let dns = dns.map(|address| dns::sockets::bind(*address, workers, &mut inherited));
    let dns = dns.collect::<Result<Vec<_>, _>>()?;
    let sockets = Sockets { dns, http: listen(boot, &mut inherited)? };
    let encrypted = Encrypted::bind(boot, certificate, certificates, &mut inherited)?;
    inherited.end()?;
    Ok((sockets, encrypted))
}

/// All that the side-port listens on.
fn listen(boot: &Boot, inherited: &mut Inherited) -> Result<Vec<Listener>, ServeError> {
    let mut tcp = |address: SocketAddr| match inherited.listener(address)? {
        Some(listener) => Ok::<_, ServeError>(TcpListener::from_std(listener)?),
        None => Ok(http::bind(address)?),
    };
    let mut listeners = Vec::new();
    for address in &boot.http_listen {
        listeners.push(Listener::Plain(tcp(*address)?));
    }
    for address in &boot.http_tls_listen {
        listeners.push(Listener::Tls(tcp(*address)?));
    }
    for path in &boot.http_unix {
        listeners.push(Listener::Unix(UnixSocket::bind(path, boot.http_unix_mode)?));
    }
    Ok(listeners)
}

/// One line for each address, on stdout.
pub(super) fn announce(sockets: &Sockets, encrypted: &Encrypted) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for bound in &sockets.dns {
        writeln!(out, "dns   {} (udp, tcp)", bound.address)?;
    }
    encrypted.announce(&mut out)?;
    for listener in &sockets.http {
        writeln!(out, "{}", listener.announcement()?)?;
    }
    out.flush()
}
