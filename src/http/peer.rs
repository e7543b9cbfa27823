//! Who is at the other end of a connection, as far as the connection itself tells.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::http::clients::Proved;

/// The client of a connection. In the extensions of each of its requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// Whether it speaks TLS.
    pub(crate) encrypted: bool,
    /// The certificate that it has.
    pub(crate) certificate: Option<Arc<Proved>>,
}

/// Where those come from who open a unix socket: it is for this machine alone.
pub(crate) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
