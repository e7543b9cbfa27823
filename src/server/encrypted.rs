//! What is encrypted: which certificate, whose are believed, the DNS front's sockets and what is said
//! of them.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Boot, ClientPolicy, Live};
use crate::dns::quic;
use crate::dns::serve::{Shared, serve_streams};
use crate::dns::sockets;
use crate::dns::tcp::Protocol;
use crate::dns::tls::{doh, doq, dot};
use crate::dns::transport::Peer;
use crate::http::Clients;
use crate::model::ClientCertificates;
use crate::net::inherited::Inherited;
use crate::net::tls::{
    Authorities, Certificate, CertificateError, Certificates, SelfSignedError, self_signed,
};
use crate::registry::Clock;
use crate::server::ServeError;

/// The bound sockets and what they prove themselves by.
pub(super) struct Encrypted {
    pub(super) certificates: Arc<Certificates>,
    tls: Vec<TcpListener>,
    https: Vec<TcpListener>,
    quic: Vec<quic::Listener>,
}

/// Who calls the side-port over TLS, as the file has it; it proves itself by `certificates`. Blocks.
///
/// # Errors
/// When the authorities' file cannot be used.
pub(super) fn clients(
    live: &Live,
    certificates: &Arc<Certificates>,
) -> Result<Clients, CertificateError> {
    let ClientPolicy { asked, authorities, identities } = &live.clients;
    let required = *asked == ClientCertificates::Required;
    let load = |file: &PathBuf| Authorities::load(file, required);
    let authorities = authorities.as_ref().map(load).transpose()?;
    Ok(Clients::new(Arc::clone(certificates), authorities, *asked, identities.clone()))
}

/// The certificate that the file names. Blocks.
///
/// # Errors
/// When it cannot be used.
pub(super) fn configured(live: &Live) -> Result<Option<Certificate>, CertificateError> {
    let files = live.certificate.as_ref();
    files.map(|files| Certificate::load(&files.certificate, &files.key)).transpose()
}

impl Encrypted {
    /// Binds the encrypted addresses that were not `inherited`; with `--dev-tls` makes a certificate for them.
    ///
    /// # Errors
    /// When an address cannot be had, or no certificate can be made.
    pub(super) fn bind(
        boot: &Boot,
        certificate: Option<Certificate>,
        certificates: Arc<Certificates>,
        inherited: &mut Inherited,
    ) -> Result<Self, ServeError> {
        let mut listen = |addresses: &[SocketAddr]| {
            let all = addresses.iter().map(|address| sockets::listen(*address, inherited));
            all.collect::<Result<_, _>>()
        };
        let (tls, https) = (listen(&boot.tls_listen)?, listen(&boot.https_listen)?);
        let quic = boot.quic_listen.iter().map(|address| {
            quic::Listener::bind(*address, doq(Arc::clone(&certificates)), inherited)
        });
        let quic = quic.collect::<Result<_, _>>()?;
        // After the sockets: who has them may have its certificate in the same file.
        let certificate = if boot.dev_tls { Some(make(boot)?) } else { certificate };
        if let Some(certificate) = certificate {
            certificates.replace(certificate);
        }
        Ok(Self { certificates, tls, https, quic })
    }

    /// One line for each address.
    pub(super) fn announce(&self, out: &mut impl Write) -> io::Result<()> {
        for listener in &self.tls {
            writeln!(out, "dot   {} (tls)", listener.local_addr()?)?;
        }
        for listener in &self.https {
            writeln!(out, "doh   https://{}/dns-query", listener.local_addr()?)?;
        }
        for listener in &self.quic {
            writeln!(out, "doq   {} (quic)", listener.address)?;
        }
        Ok(())
    }

    /// Serves every address until `stop`; `tasks` gets the loops.
    pub(super) fn serve<H>(
        self,
        handler: &H,
        shared: &Arc<Shared>,
        stop: &watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) where
        H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
    {
        let dot = Arc::new(dot(Arc::clone(&self.certificates)));
        for listener in self.tls {
            let protocol = Protocol::Tls(Arc::clone(&dot));
            serve_streams(listener, protocol, handler, shared, stop, tasks);
        }
        let doh = Arc::new(doh(Arc::clone(&self.certificates)));
        for listener in self.https {
            let protocol = Protocol::Https(Arc::clone(&doh));
            serve_streams(listener, protocol, handler, shared, stop, tasks);
        }
        for listener in self.quic {
            quic::serve(listener, handler, shared, stop, tasks);
        }
    }
}

/// Why there is no certificate for trying out.
#[derive(Debug, thiserror::Error)]
pub enum DevTlsError {
    /// It could not be made.
    #[error(transparent)]
    Make(#[from] SelfSignedError),
    /// It could not be stored for clients.
    #[error("{}: cannot be written: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
}

/// A certificate for all that this server is reached by, and the file that clients can trust.
fn make(boot: &Boot) -> Result<Certificate, DevTlsError> {
    let Boot { name, zone, .. } = boot;
    let zone = zone.as_str();
    let names = [format!("{name}.{zone}"), zone.to_owned(), format!("*.{zone}"), LOCALHOST.into()];
    let dns = [&boot.dns_listen, &boot.tls_listen, &boot.https_listen, &boot.quic_listen];
    let listen = dns.into_iter().chain([&boot.http_tls_listen]);
    let mut addresses: Vec<_> = listen.flatten().map(|socket| socket.ip()).collect();
    addresses.extend(boot.addresses.iter().map(|address| address.ip()));
    addresses.retain(|address| !address.is_unspecified());
    let made = self_signed(&names, &addresses, Clock::start().wall())?;

    let path = boot.data_dir.join("dev-tls.pem");
    let written = std::fs::create_dir_all(&boot.data_dir).and_then(|()| {
        // All at once: a client may be reading that of the last start.
        let new = boot.data_dir.join("dev-tls.pem.new");
        std::fs::write(&new, &made.pem)?;
        std::fs::rename(&new, &path)
    });
    if let Err(reason) = written {
        return Err(DevTlsError::Write { path, reason });
    }
    let file = path.display();
    tracing::info!(%file, "certificate made for trying out: clients are to trust this file");
    Ok(made.certificate)
}

const LOCALHOST: &str = "localhost";
