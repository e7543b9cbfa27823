//! Datagrams by the batch, and the address that each was sent to: what tokio's sockets cannot do.
//!
//! On a socket that is bound to a wildcard the system would choose the source of a reply by its
//! routes, and clients ignore replies from an address they did not ask. So these sockets are told
//! where a datagram was sent to, and say where the reply leaves from. Called by `udp` alone;
//! allocates nothing once it is made.

use std::array;
use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::cmsg_space;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmmsg, sendmsg, setsockopt,
};

use crate::dns::transport::UDP_PAYLOAD;

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

    /// Headers for `count` datagrams of this kind.
    fn headers(self, count: usize) -> MultiHeaders<SockaddrStorage> {
        let control = match self {
            Self::OneV4 | Self::OneV6 => None,
            Self::AllV4 => Some(cmsg_space!(in_pktinfo)),
            Self::AllV6 => Some(cmsg_space!(in6_pktinfo)),
        };
        MultiHeaders::preallocate(count, control)
    }
}

/// Takes a batch of datagrams from `socket` and sends what `answer` writes for each, if it says so.
/// Waits for nothing: a reply that the system does not take is lost.
///
/// # Errors
/// `WouldBlock` when there is no datagram; else what the socket has to say.
pub(crate) fn exchange(
    socket: &impl AsRawFd,
    kind: Kind,
    mut answer: impl FnMut(&[u8], SocketAddr, &mut Vec<u8>) -> bool,
) -> io::Result<Exchanged> {
    ROOM.with_borrow_mut(|Room { buffers, reply, headers }| {
        let Headers { inward, outward } = &mut headers[kind as usize];
        let mut unsent = 0;
        let received = receive(socket, inward, buffers, |packet, source, local| {
            if answer(packet, source, reply)
                && send(socket, outward, reply, source, local.as_ref()).is_err()
            {
                unsent += 1;
            }
        })?;
        Ok(Exchanged { full: received == BATCH, unsent })
    })
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exchanged {
    /// Whether there may be more.
    pub(crate) full: bool,
    /// Replies that the system did not take.
    pub(crate) unsent: u64,
}

/// A local address, as the system has it.
#[derive(Debug, Clone, Copy)]
enum Local {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

thread_local! {
    /// A thread is in one batch at a time. Not of the task, which moves between threads: what nix
    /// prepares for the system is full of pointers and must not.
    static ROOM: RefCell<Room> = RefCell::new(Room::new());
}

/// What a batch takes.
struct Room {
    buffers: Vec<u8>,
    reply: Vec<u8>,
    headers: [Headers; 4],
}

/// The system writes the lengths of what it received over those of the room there was, and nix
/// leaves them so. Hence headers of each kind, which always receive the same lengths.
struct Headers {
    inward: MultiHeaders<SockaddrStorage>,
    outward: MultiHeaders<SockaddrStorage>,
}

impl Room {
    fn new() -> Self {
        let kinds = [Kind::OneV4, Kind::OneV6, Kind::AllV4, Kind::AllV6];
        let headers =
            |kind: Kind| Headers { inward: kind.headers(BATCH), outward: kind.headers(1) };
        Self {
            // Pages that no datagram was ever long enough to reach take no memory.
            buffers: vec![0; BATCH * BUFFER],
            reply: Vec::with_capacity(usize::from(UDP_PAYLOAD)),
            headers: kinds.map(headers),
        }
    }
}

/// Calls `each` for each datagram that has arrived, at most [`BATCH`], with where it came from and
/// was sent to; how many there were.
fn receive(
    socket: &impl AsRawFd,
    headers: &mut MultiHeaders<SockaddrStorage>,
    buffers: &mut [u8],
    mut each: impl FnMut(&[u8], SocketAddr, Option<Local>),
) -> io::Result<usize> {
    let mut buffers = buffers.chunks_exact_mut(BUFFER);
    let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
        array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recvmmsg(socket.as_raw_fd(), headers, &mut slices, flags, None)?;
    let mut taken = 0;
    for datagram in received {
        taken += 1;
        if let Some(source) = datagram.address.as_ref().and_then(address) {
            // An empty datagram has no slice.
            let packet = datagram.iovs().next().unwrap_or_default();
            each(packet, source, local(&datagram));
        }
    }
    Ok(taken)
}

/// Sends `reply` from `local`, or from the address that the socket is bound to.
fn send(
    socket: &impl AsRawFd,
    headers: &mut MultiHeaders<SockaddrStorage>,
    reply: &[u8],
    to: SocketAddr,
    local: Option<&Local>,
) -> io::Result<()> {
    let (socket, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
    let to = SockaddrStorage::from(to);
    let control = match local {
        None => {
            sendmsg(socket, &[IoSlice::new(reply)], &[], flags, Some(&to))?;
            return Ok(());
        }
        Some(Local::V4(local)) => ControlMessage::Ipv4PacketInfo(local),
        Some(Local::V6(local)) => ControlMessage::Ipv6PacketInfo(local),
    };
    // A batch of one: nix's sendmsg would allocate room for the control message, and its batches
    // have the same one for all.
    sendmmsg(socket, headers, &[[IoSlice::new(reply)]], [Some(to)], [control], flags)?;
    Ok(())
}

fn address(source: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = source.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
    v4.or_else(|| source.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
}

/// Where the reply to `datagram` leaves from, if the system says where that was sent to.
fn local(datagram: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Local> {
    datagram.cmsgs().ok()?.find_map(|message| match message {
        // The destination may have been a broadcast; this is the address that is ours. Routes
        // decide about the interface.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Local::V4(in_pktinfo { ipi_ifindex: 0, ..info }))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let destination = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            // A link-local address means nothing without its interface. A group is no source.
            let keep = destination.is_unicast_link_local();
            let ipi6_ifindex = if keep { info.ipi6_ifindex } else { 0 };
            (!destination.is_multicast()).then_some(Local::V6(in6_pktinfo { ipi6_ifindex, ..info }))
        }
        _ => None,
    })
}

/// How many datagrams are taken at a time.
const BATCH: usize = 32;
/// Longer than any datagram, and no power of two: the beginnings of the buffers, which is what is
/// used of them, would all compete for the same lines of the cache.
const BUFFER: usize = 65_536 + 576;
