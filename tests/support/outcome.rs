//! What a message gets, silence included.
//!
//! Silence is told without waiting: an honest query goes behind the message, over the same socket
//! or connection, and its reply is what comes.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use super::dns::Dns;

/// What a message gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    /// A reply, and only one.
    Reply(Vec<u8>),
    /// A reply, and then the connection is closed.
    Last(Vec<u8>),
    /// Nothing, and the next query is answered.
    Silence,
    /// The connection is closed.
    Closed,
}

/// Sends a message, then an honest query of another id, from one UDP socket.
pub(crate) fn datagrams(server: Dns, packet: &[u8], honest: &[u8]) -> Got {
    let socket = server.socket();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let receive = || {
        let mut reply = vec![0; 65_535];
        let length = socket.recv(&mut reply).expect("the honest query is answered");
        reply.truncate(length);
        reply
    };
    socket.send(packet).unwrap();
    socket.send(honest).unwrap();
    let reply = receive();
    if reply[..2] == honest[..2] {
        return Got::Silence;
    }
    assert_eq!(receive()[..2], honest[..2], "one reply to one query");
    Got::Reply(reply)
}

/// Sends both over a stream, each behind its length.
pub(crate) fn framed(stream: &mut (impl Read + Write), packet: &[u8], honest: &[u8]) -> Got {
    let length = |message: &[u8]| u16::try_from(message.len()).unwrap().to_be_bytes();
    let both = [&length(packet), packet, &length(honest), honest].concat();
    stream.write_all(&both).unwrap();
    let Some(reply) = receive(stream) else { return Got::Closed };
    if reply[..2] == honest[..2] {
        return Got::Silence;
    }
    let Some(next) = receive(stream) else { return Got::Last(reply) };
    assert_eq!(next[..2], honest[..2], "one reply to one query");
    Got::Reply(reply)
}

/// Reads a message behind its length; `None` when the server has closed.
pub(crate) fn receive(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    if let Err(error) = stream.read_exact(&mut length) {
        let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
        assert!(closed.contains(&error.kind()), "closed, and not late: {error}");
        return None;
    }
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).unwrap();
    Some(reply)
}
