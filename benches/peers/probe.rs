//! One query and its reply, now and then: whether a server is ready.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::data::{Data, Set};
use crate::reply::Expected;

/// Asks for the last service, which is there when all are.
pub(crate) struct Probe {
    socket: UdpSocket,
    query: Vec<u8>,
    expected: Expected,
}

impl Probe {
    pub(crate) fn new(server: SocketAddr, data: Data, set: Set) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let query = data.queries(set).pop().expect("there are services");
        Ok(Self { socket, query, expected: Expected::new(data, set) })
    }

    /// Whether it answers as it should.
    pub(crate) fn answered(&self) -> bool {
        let mut reply = [0; 4096];
        let sent = self.socket.send(&self.query);
        let received = sent.and_then(|_| self.socket.recv(&mut reply));
        received.is_ok_and(|length| self.expected.id(&reply[..length]).is_some())
    }
}
