//! What a UDP socket tells of a datagram, and what a reply tells it.
//!
//! On a socket that is bound to a wildcard the system would choose the source of a reply by its
//! routes, and clients ignore replies from an address they did not ask. So these sockets are told
//! where a datagram was sent to, and say where the reply leaves from. Called by `sockets` to prepare
//! one, and by `exchange`.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsFd;

use nix::cmsg_space;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, SockaddrIn, SockaddrIn6, SockaddrLike, setsockopt,
};

/// What a socket's datagrams come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bound to one IPv4 address.
    OneV4,
    /// Bound to one IPv6 address.
    OneV6,
    /// Bound to all IPv4 addresses: datagrams tell which of them they were sent to.
    AllV4,
    /// Bound to all IPv6 addresses: the same.
    AllV6,
}

impl Kind {
    /// The kind of a socket that is bound to `address`.
    pub(crate) fn of(address: SocketAddr) -> Self {
        match (address.is_ipv4(), address.ip().is_unspecified()) {
            (true, false) => Self::OneV4,
            (false, false) => Self::OneV6,
            (true, true) => Self::AllV4,
            (false, true) => Self::AllV6,
        }
    }

    /// Makes `socket` one of this kind.
    ///
    /// # Errors
    /// When the system has no such option.
    pub(crate) fn prepare(self, socket: &impl AsFd) -> io::Result<()> {
        match self {
            Self::OneV4 | Self::OneV6 => Ok(()),
            Self::AllV4 => setsockopt(socket, Ipv4PacketInfo, &true),
            Self::AllV6 => setsockopt(socket, Ipv6RecvPacketInfo, &true),
        }
        .map_err(io::Error::from)
    }

    /// Whether datagrams tell where they were sent to.
    pub(crate) fn tells(self) -> bool {
        match self {
            Self::OneV4 | Self::OneV6 => false,
            Self::AllV4 | Self::AllV6 => true,
        }
    }
}

/// An address family as the system has it: all datagrams of a socket are of one.
pub(crate) trait Family {
    /// Of a client.
    type Address: SockaddrLike + Copy;
    /// Of this machine, and of the interface where that is needed.
    type Local: Copy;

    /// Room for one [`Local`](Self::Local) beside a datagram.
    fn room() -> Vec<u8>;
    fn source(address: Self::Address) -> SocketAddr;
    /// No preference: routes decide.
    fn anywhere() -> Self::Local;
    /// Where the reply to a datagram with this beside it leaves from, if it says so.
    fn local(message: &ControlMessageOwned) -> Option<Self::Local>;
    fn control(local: &Self::Local) -> ControlMessage<'_>;
    fn same(one: &Self::Local, other: &Self::Local) -> bool;
}

/// IPv4.
pub(crate) enum V4 {}

/// IPv6.
pub(crate) enum V6 {}

impl Family for V4 {
    type Address = SockaddrIn;
    type Local = in_pktinfo;

    fn room() -> Vec<u8> {
        cmsg_space!(in_pktinfo)
    }

    fn source(address: SockaddrIn) -> SocketAddr {
        SocketAddrV4::from(address).into()
    }

    fn anywhere() -> in_pktinfo {
        let any = nix::libc::in_addr { s_addr: 0 };
        in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: any, ipi_addr: any }
    }

    fn local(message: &ControlMessageOwned) -> Option<in_pktinfo> {
        let ControlMessageOwned::Ipv4PacketInfo(info) = message else { return None };
        // The destination may have been a broadcast; `ipi_spec_dst` is the address that is ours.
        // Routes decide about the interface.
        Some(in_pktinfo { ipi_spec_dst: info.ipi_spec_dst, ..Self::anywhere() })
    }

    fn control(local: &in_pktinfo) -> ControlMessage<'_> {
        ControlMessage::Ipv4PacketInfo(local)
    }

    fn same(one: &in_pktinfo, other: &in_pktinfo) -> bool {
        one.ipi_spec_dst.s_addr == other.ipi_spec_dst.s_addr
    }
}

impl Family for V6 {
    type Address = SockaddrIn6;
    type Local = in6_pktinfo;

    fn room() -> Vec<u8> {
        cmsg_space!(in6_pktinfo)
    }

    fn source(address: SockaddrIn6) -> SocketAddr {
        SocketAddrV6::from(address).into()
    }

    fn anywhere() -> in6_pktinfo {
        in6_pktinfo { ipi6_addr: nix::libc::in6_addr { s6_addr: [0; 16] }, ipi6_ifindex: 0 }
    }

    fn local(message: &ControlMessageOwned) -> Option<in6_pktinfo> {
        let ControlMessageOwned::Ipv6PacketInfo(info) = message else { return None };
        let destination = Ipv6Addr::from(info.ipi6_addr.s6_addr);
        // A group is no source.
        if destination.is_multicast() {
            return None;
        }
        // A link-local address means nothing without its interface.
        let keep = destination.is_unicast_link_local();
        let ipi6_ifindex = if keep { info.ipi6_ifindex } else { 0 };
        Some(in6_pktinfo { ipi6_ifindex, ..*info })
    }

    fn control(local: &in6_pktinfo) -> ControlMessage<'_> {
        ControlMessage::Ipv6PacketInfo(local)
    }

    fn same(one: &in6_pktinfo, other: &in6_pktinfo) -> bool {
        let key = |local: &in6_pktinfo| (local.ipi6_addr.s6_addr, local.ipi6_ifindex);
        key(one) == key(other)
    }
}
