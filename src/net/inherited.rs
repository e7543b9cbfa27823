//! Sockets that outlive the process: bound by a service manager, which keeps them while the server
//! restarts, so that what arrives meanwhile waits instead of being lost (sd_listen_fds(3)).
//!
//! Sockets are found by what they are and where they are bound, not by their names. Asked by whoever
//! binds an address, before it does; whoever asked last makes sure that none is left over.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use socket2::{Socket, Type};

/// The sockets that were handed over and are not taken yet; by default none.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Handed>,
}

#[derive(Debug)]
struct Handed {
    socket: Socket,
    streams: bool,
    address: SocketAddr,
    label: Label,
}

/// A socket as its keeper knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Label {
    descriptor: usize,
    name: Option<String>,
}

/// Why sockets that were handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// What says how many there are makes no sense.
    #[error("LISTEN_PID or LISTEN_FDS is no number: whoever starts this server sets them wrongly")]
    Environment,
    /// It is not one to serve on.
    #[error("the socket that was handed over as {label} is none of TCP or UDP: take it away")]
    Foreign {
        /// Which one.
        label: String,
    },
    /// It takes IPv4 too, for which there are sockets of their own.
    #[error(
        "the socket that was handed over as {label}, {address}, takes IPv4 too: give it {}",
        ONLY_V6
    )]
    BothFamilies {
        /// Which one.
        label: String,
        /// Where it is bound.
        address: SocketAddr,
    },
    /// No address of the configuration is its own.
    #[error(
        "the socket that was handed over as {label}, {kind} {address}, is for no address that is \
         configured: add the address to the configuration, or take the socket away"
    )]
    Unwanted {
        /// Which one.
        label: String,
        /// `UDP` or `TCP`.
        kind: &'static str,
        /// Where it is bound.
        address: SocketAddr,
    },
    /// The system refused something.
    #[error("cannot use the socket that was handed over as {label}: {source}")]
    System {
        /// Which one.
        label: String,
        /// What it said.
        source: io::Error,
    },
}

impl Inherited {
    /// Takes what the environment says was handed over to this process. To be called once, before
    /// the process opens anything: it believes that the first descriptors are sockets.
    ///
    /// # Errors
    /// When one is no socket that a server could serve on.
    pub fn take() -> Result<Self, InheritError> {
        let handed = sd_listen_fds::get().map_err(|_| InheritError::Environment)?;
        let handed = handed.into_iter().enumerate().map(|(i, (name, descriptor))| {
            let label = Label { descriptor: FIRST + i, name };
            Handed::new(descriptor.into_std(), label)
        });
        Ok(Self { sockets: handed.collect::<Result<_, _>>()? })
    }

    /// The listener that is bound to `address`, ready for tokio, if one was handed over.
    ///
    /// # Errors
    /// When the system refuses to listen.
    pub fn listener(&mut self, address: SocketAddr) -> Result<Option<TcpListener>, InheritError> {
        let is_it = |handed: &Handed| handed.streams && handed.address == address;
        let Some(i) = self.sockets.iter().position(is_it) else { return Ok(None) };
        let Handed { socket, label, .. } = self.sockets.remove(i);
        let listening = || match socket.is_listener()? {
            // With the backlog that its keeper chose.
            true => Ok(()),
            false => socket.listen(super::BACKLOG),
        };
        socket
            .set_nonblocking(true)
            .and_then(|()| listening())
            .map_err(|source| label.refused(source))?;
        Ok(Some(socket.into()))
    }

    /// The socket for datagrams that is bound to `address`, if one was handed over.
    pub fn datagram(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        let is_it = |handed: &Handed| !handed.streams && handed.address == address;
        let i = self.sockets.iter().position(is_it)?;
        Some(self.sockets.remove(i).socket.into())
    }

    /// All of them: with SO_REUSEPORT there may be several.
    pub fn datagrams(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        let ours = |handed: &mut Handed| !handed.streams && handed.address == address;
        self.sockets.extract_if(.., ours).map(|handed| handed.socket.into()).collect()
    }

    /// Says that nobody else will ask.
    ///
    /// # Errors
    /// When a socket is left over: who sends to it would wait in vain.
    pub fn end(&self) -> Result<(), InheritError> {
        let Some(Handed { streams, address, label, .. }) = self.sockets.first() else {
            return Ok(());
        };
        let kind = if *streams { "TCP" } else { "UDP" };
        Err(InheritError::Unwanted { label: label.to_string(), kind, address: *address })
    }
}

impl Handed {
    fn new(descriptor: OwnedFd, label: Label) -> Result<Self, InheritError> {
        let socket = Socket::from(descriptor);
        let foreign = || InheritError::Foreign { label: label.to_string() };
        let kind = socket.r#type().map_err(|_| foreign())?;
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        let (Some(address), true) = (address, [Type::STREAM, Type::DGRAM].contains(&kind)) else {
            return Err(foreign());
        };
        let all_v6 = address.is_ipv6() && address.ip().is_unspecified();
        if all_v6 && !socket.only_v6().map_err(|source| label.refused(source))? {
            return Err(InheritError::BothFamilies { label: label.to_string(), address });
        }
        socket.set_cloexec(true).map_err(|source| label.refused(source))?;
        Ok(Self { socket, streams: kind == Type::STREAM, address, label })
    }
}

impl Label {
    fn refused(&self, source: io::Error) -> InheritError {
        InheritError::System { label: self.to_string(), source }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name:?} (descriptor {})", self.descriptor),
            None => write!(f, "descriptor {}", self.descriptor),
        }
    }
}

/// The first descriptor that is handed over (sd_listen_fds(3)).
const FIRST: usize = 3;

/// What a socket unit has to say.
const ONLY_V6: &str = "BindIPv6Only=ipv6-only";

#[cfg(test)]
mod tests {
    use super::*;

    fn handing(sockets: Vec<OwnedFd>) -> Result<Inherited, InheritError> {
        let handed = sockets.into_iter().enumerate().map(|(i, descriptor)| {
            Handed::new(descriptor, Label { descriptor: FIRST + i, name: Some(format!("s{i}")) })
        });
        Ok(Inherited { sockets: handed.collect::<Result<_, _>>()? })
    }

    #[test]
    fn sockets_go_to_the_address_and_the_kind_that_they_are_of() {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = stream.local_addr().unwrap();
        let datagrams = UdpSocket::bind(address).unwrap();
        let mut inherited = handing(vec![datagrams.into(), stream.into()]).unwrap();

        let other = "127.0.0.2:53".parse().unwrap();
        assert!(inherited.listener(other).unwrap().is_none());
        assert!(inherited.datagrams(other).is_empty());
        let udp = inherited.datagrams(address);
        assert_eq!(udp.len(), 1);
        assert_eq!(udp[0].local_addr().unwrap(), address);
        let tcp = inherited.listener(address).unwrap().unwrap();
        assert_eq!(tcp.local_addr().unwrap(), address);
        assert!(inherited.end().is_ok());
    }

    #[test]
    fn what_is_nobodys_is_named() {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = stream.local_addr().unwrap();

        let left = handing(vec![stream.into()]).unwrap().end().unwrap_err().to_string();

        let named = format!("handed over as \"s0\" (descriptor 3), TCP {address}, is for no");
        assert!(left.contains(&named), "{left}");
    }

    #[test]
    fn what_no_server_can_serve_on_is_refused() {
        let unix = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let both = UdpSocket::bind("[::]:0").unwrap();

        for (socket, reason) in [
            (OwnedFd::from(unix), "none of TCP or UDP"),
            (file.into(), "none of TCP or UDP"),
            (both.into(), "takes IPv4 too"),
        ] {
            let error = handing(vec![socket]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
