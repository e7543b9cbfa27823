//! One query and its reply, now and then: whether a server is ready.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::data::Questions;
use crate::reply::Expected;

/// Asks the last question: when it has its answer, all have.
pub(crate) struct Probe {
    socket: UdpSocket,
    query: Vec<u8>,
    expected: Expected,
}

impl Probe {
    pub(crate) fn new(server: SocketAddr, mut questions: Questions) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let query = questions.packets.pop().expect("there are questions");
        Ok(Self { socket, query, expected: questions.expected })
    }

    /// Whether it answers as it should.
    pub(crate) fn answered(&self) -> bool {
        let mut reply = [0; 4096];
        let sent = self.socket.send(&self.query);
        let received = sent.and_then(|_| self.socket.recv(&mut reply));
        received.is_ok_and(|length| self.expected.id(&reply[..length]).is_some())
    }
}
