//! Binds one address for UDP and TCP, or says why it cannot be had.

use std::io::{self, ErrorKind};
use std::iter;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;

use crate::dns::datagrams::Kind;
use crate::net::BACKLOG;
use crate::net::inherited::{InheritError, Inherited};

/// The sockets of one address.
#[derive(Debug)]
pub struct Bound {
    /// The address, with the port that was chosen where 0 was asked for.
    pub address: SocketAddr,
    /// For UDP.
    pub udp: Datagrams,
    /// Already listening.
    pub tcp: TcpListener,
}

/// The UDP sockets of one address.
#[derive(Debug)]
pub struct Datagrams {
    /// One for each worker; the kernel spreads clients over them.
    pub(crate) sockets: Vec<UdpSocket>,
    pub(crate) kind: Kind,
    /// Whether somebody else keeps them open: what this process does not read, the next one will.
    pub(crate) kept: bool,
}

/// Binds `address` for UDP, once for each worker, and for TCP, on the same port, unless it was
/// `inherited` for one or both. Must be called within a tokio runtime.
///
/// UDP sockets share the address by SO_REUSEPORT, which would let a second server in unseen. So the
/// address is bound once without it first; TCP never has it, and stays bound from then on.
///
/// # Errors
/// When the address is in use, not this machine's, or not allowed.
pub fn bind(
    address: SocketAddr,
    workers: NonZeroUsize,
    inherited: &mut Inherited,
) -> Result<Bound, BindError> {
    let tcp = inherited.listener(address)?;
    let udp = inherited.datagrams(address);
    if tcp.is_none() && udp.is_empty() {
        return bind_new(address, workers);
    }
    let tcp = match tcp {
        Some(tcp) => TcpListener::from_std(tcp),
        None => tcp_listener(address),
    };
    let tcp = tcp.map_err(|source| BindError::of(address, "TCP", source))?;
    let kept = !udp.is_empty();
    let udp = if kept { adopt(udp, address, workers) } else { udp_sockets(address, workers) };
    let sockets = udp.map_err(|source| BindError::of(address, "UDP", source))?;
    Ok(Bound { address, udp: Datagrams { sockets, kind: Kind::of(address), kept }, tcp })
}

fn bind_new(address: SocketAddr, workers: NonZeroUsize) -> Result<Bound, BindError> {
    let mut attempts = PORT_ATTEMPTS;
    loop {
        match bind_once(address, workers) {
            // Port 0: TCP chose one that UDP has no more. Another will do.
            Err(error) if address.port() == 0 && error.in_use() && attempts > 0 => attempts -= 1,
            result => return result,
        }
    }
}

/// Listens on `address` over TCP only, unless it was `inherited`: where an encrypted transport is
/// spoken. Must be called within a tokio runtime.
///
/// # Errors
/// When the address is in use, not this machine's, or not allowed.
pub fn listen(address: SocketAddr, inherited: &mut Inherited) -> Result<TcpListener, BindError> {
    let listener = match inherited.listener(address)? {
        Some(listener) => TcpListener::from_std(listener),
        None => tcp_listener(address),
    };
    listener.map_err(|source| BindError::of(address, "TCP", source))
}

/// Why an address cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refused.
    #[error("cannot bind {address} for {transport}{}", hint(.source, *.address))]
    Refused {
        /// The address asked for.
        address: SocketAddr,
        /// `UDP`, `TCP` or `QUIC`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It was handed over by who keeps it, and is of no use.
    #[error(transparent)]
    Inherited(#[from] InheritError),
}

impl BindError {
    /// Whether somebody else has the address.
    #[must_use]
    pub fn in_use(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.kind() == ErrorKind::AddrInUse)
    }

    pub(crate) fn of(address: SocketAddr, transport: &'static str, source: io::Error) -> Self {
        Self::Refused { address, transport, source }
    }
}

fn bind_once(asked: SocketAddr, workers: NonZeroUsize) -> Result<Bound, BindError> {
    let tcp_error = |source| BindError::of(asked, "TCP", source);
    let tcp = tcp_listener(asked).map_err(tcp_error)?;
    let address = tcp.local_addr().map_err(tcp_error)?;

    let udp_error = |source| BindError::of(address, "UDP", source);
    let sockets = udp_sockets(address, workers).map_err(udp_error)?;
    Ok(Bound { address, udp: Datagrams { sockets, kind: Kind::of(address), kept: false }, tcp })
}

fn udp_sockets(address: SocketAddr, workers: NonZeroUsize) -> io::Result<Vec<UdpSocket>> {
    drop(udp_socket(address, false)?);
    iter::repeat_with(|| Ok(udp_socket(address, true)?.into())).take(workers.get()).collect()
}

/// Makes sockets that were handed over what [`udp_socket`] makes, and has at least one for each
/// worker: where there are fewer, several workers share one, of which each takes what it can.
fn adopt(
    mut sockets: Vec<UdpSocket>,
    address: SocketAddr,
    workers: NonZeroUsize,
) -> io::Result<Vec<UdpSocket>> {
    for socket in &sockets {
        Kind::of(address).prepare(socket)?;
        enlarge(socket)?;
    }
    let handed = sockets.len();
    for worker in handed..workers.get() {
        sockets.push(sockets[worker % handed].try_clone()?);
    }
    Ok(sockets)
}

/// As much room as a socket of our own would get; whoever made this one may have had the right to
/// give it more.
fn enlarge(socket: &UdpSocket) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let ours = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    make_room(&ours);
    if socket.recv_buffer_size()? < ours.recv_buffer_size()? {
        let _ = socket.set_recv_buffer_size(BUFFER);
    }
    if socket.send_buffer_size()? < ours.send_buffer_size()? {
        let _ = socket.set_send_buffer_size(BUFFER);
    }
    Ok(())
}

/// Binds `address` for datagrams of one receiver, unless it was `inherited`.
///
/// # Errors
/// When the address is in use, not this machine's, or not allowed.
pub(crate) fn datagrams(
    address: SocketAddr,
    inherited: &mut Inherited,
) -> Result<UdpSocket, BindError> {
    let error = |source| BindError::of(address, "UDP", source);
    match inherited.datagram(address) {
        Some(socket) => socket.set_nonblocking(true).map(|()| socket).map_err(error),
        None => udp_socket(address, false).map(Into::into).map_err(error),
    }
}

fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = new_socket(address, Type::STREAM, Protocol::TCP)?;
    // Lets a restart pass connections of the last run that still linger; a listening socket
    // is in the way all the same.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn udp_socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = new_socket(address, Type::DGRAM, Protocol::UDP)?;
    socket.set_reuse_port(shared)?;
    make_room(&socket);
    Kind::of(address).prepare(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// More room for bursts, as far as the system allows; less is no reason not to start.
fn make_room(socket: &Socket) {
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
}

fn new_socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // v4 has sockets of its own; sources never come as mapped addresses.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What to do about it, for the causes that have a common cure.
fn hint(source: &io::Error, address: SocketAddr) -> String {
    match source.kind() {
        ErrorKind::AddrInUse => {
            format!(
                "; stop the other server there (ss -lnp 'sport = :{}' shows it)",
                address.port()
            )
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE (setcap, systemd) or root".to_owned()
        }
        ErrorKind::AddrNotAvailable => "; no interface has this address".to_owned(),
        _ => String::new(),
    }
}

const PORT_ATTEMPTS: u32 = 16;
const BUFFER: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(address: SocketAddr, workers: NonZeroUsize) -> Result<Bound, BindError> {
        super::bind(address, workers, &mut Inherited::default())
    }

    const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

    fn loopback(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[tokio::test]
    async fn port_0_is_the_same_free_port_for_all_sockets() {
        let bound = bind(loopback(0), TWO).unwrap();

        let mut addresses: Vec<_> =
            bound.udp.sockets.iter().map(|udp| udp.local_addr().unwrap()).collect();
        addresses.push(bound.tcp.local_addr().unwrap());
        assert_ne!(bound.address.port(), 0);
        assert_eq!(addresses, [bound.address; 3]);
    }

    #[tokio::test]
    async fn a_second_server_is_told_whom_to_stop() {
        let first = bind(loopback(0), TWO).unwrap();
        let port = first.address.port();

        let second = bind(first.address, TWO).unwrap_err();

        assert!(second.in_use());
        assert_eq!(
            second.to_string(),
            format!(
                "cannot bind 127.0.0.1:{port} for TCP; stop the other server there \
                 (ss -lnp 'sport = :{port}' shows it)"
            )
        );
    }

    #[tokio::test]
    async fn a_shared_udp_socket_is_in_the_way_too() {
        let bound = bind(loopback(0), TWO).unwrap();
        let Bound { address, udp, tcp, .. } = bound;
        drop(tcp);

        let second = bind(address, TWO).unwrap_err();

        assert!(second.to_string().contains("for UDP"), "{second}");
        assert!(second.in_use());
        drop(udp);
        assert!(bind(address, TWO).is_ok());
    }

    #[tokio::test]
    async fn a_foreign_address_is_refused_with_the_reason() {
        let error = bind("192.0.2.1:0".parse().unwrap(), TWO).unwrap_err();

        assert_eq!(
            error.to_string(),
            "cannot bind 192.0.2.1:0 for TCP; no interface has this address"
        );
    }
}
