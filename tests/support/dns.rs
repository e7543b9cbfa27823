//! A DNS client over plain sockets that shows each bit of a reply.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::message::{Message, type_number};

/// Asks one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dns {
    /// Where it listens, UDP and TCP.
    pub(crate) address: SocketAddr,
}

/// A question, and what comes with it. EDNS with 1232 bytes unless changed.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    name: String,
    rtype: u16,
    class: u16,
    payload: Option<u16>,
    subnet: Option<(IpAddr, u8)>,
    recursive: bool,
}

impl Query {
    /// `name` in presentation form without escapes; a last dot may be left out.
    pub(crate) fn new(name: &str, rtype: &str) -> Self {
        let (name, rtype) = (name.to_owned(), type_number(rtype));
        Self { name, rtype, class: 1, payload: Some(1232), subnet: None, recursive: false }
    }

    /// Says how much the client takes; `None` leaves EDNS away.
    pub(crate) fn payload(mut self, payload: Option<u16>) -> Self {
        self.payload = payload;
        self
    }

    /// Asks for another class than IN.
    pub(crate) fn class(mut self, class: u16) -> Self {
        self.class = class;
        self
    }

    /// Sends an EDNS client subnet (RFC 7871).
    pub(crate) fn subnet(mut self, address: &str, length: u8) -> Self {
        self.subnet = Some((address.parse().unwrap(), length));
        self
    }

    /// Wants recursion, without which a resolver says nothing.
    pub(crate) fn recursive(mut self) -> Self {
        self.recursive = true;
        self
    }

    /// The message with this id.
    pub(crate) fn packet(&self, id: u16) -> Vec<u8> {
        let additional = u8::from(self.payload.is_some());
        let mut packet = id.to_be_bytes().to_vec();
        packet.extend([u8::from(self.recursive), 0, 0, 1, 0, 0, 0, 0, 0, additional]);
        for label in self.name.split('.').filter(|label| !label.is_empty()) {
            packet.push(u8::try_from(label.len()).unwrap());
            packet.extend(label.bytes());
        }
        packet.push(0);
        packet.extend(self.rtype.to_be_bytes());
        packet.extend(self.class.to_be_bytes());
        if let Some(payload) = self.payload {
            packet.extend([0, 0, 41]);
            packet.extend(payload.to_be_bytes());
            packet.extend([0; 4]);
            let options = self.subnet.map_or(Vec::new(), |(address, length)| {
                let (family, octets) = match address {
                    IpAddr::V4(v4) => (1, v4.octets().to_vec()),
                    IpAddr::V6(v6) => (2, v6.octets().to_vec()),
                };
                let mut octets = octets[..usize::from(length.div_ceil(8))].to_vec();
                // RFC 7871 section 6: bits behind the prefix are 0.
                if let (Some(last), 1..) = (octets.last_mut(), length % 8) {
                    *last &= 0xff << (8 - length % 8);
                }
                let size = u8::try_from(4 + octets.len()).unwrap();
                [&[0, 8, 0, size, 0, family, length, 0], &octets[..]].concat()
            });
            packet.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
            packet.extend(options);
        }
        packet
    }
}

impl Dns {
    /// Asks over UDP with EDNS.
    pub(crate) fn ask(&self, name: &str, rtype: &str) -> Message {
        self.query(&Query::new(name, rtype))
    }

    /// Asks over UDP; fails the test when no reply comes.
    pub(crate) fn query(&self, query: &Query) -> Message {
        let reply = self.try_query(query, Duration::from_secs(10));
        reply.unwrap_or_else(|| panic!("no reply to {query:?}"))
    }

    /// Asks over UDP; `None` when no reply comes in time.
    pub(crate) fn try_query(&self, query: &Query, within: Duration) -> Option<Message> {
        let id = next_id();
        let packet = query.packet(id);
        let reply = self.exchange(&packet, within)?;
        Some(checked(&packet, &reply))
    }

    /// Sends bytes over UDP and returns what comes back, if anything does.
    pub(crate) fn exchange(&self, packet: &[u8], within: Duration) -> Option<Vec<u8>> {
        let socket = self.socket();
        socket.set_read_timeout(Some(within)).unwrap();
        socket.send(packet).ok()?;
        let mut reply = vec![0; 65_535];
        let length = socket.recv(&mut reply).ok()?;
        reply.truncate(length);
        Some(reply)
    }

    /// A socket that is connected to the server.
    pub(crate) fn socket(&self) -> UdpSocket {
        let any: SocketAddr =
            if self.address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(self.address).unwrap();
        socket
    }

    /// Asks over TCP; fails the test when no reply comes.
    pub(crate) fn tcp(&self, query: &Query) -> Message {
        let mut connection = self.connect();
        let packet = query.packet(next_id());
        send(&mut connection, &packet);
        let reply = receive(&mut connection);
        checked(&packet, &reply.unwrap_or_else(|| panic!("no reply to {query:?} over TCP")))
    }

    /// A TCP connection to the server.
    pub(crate) fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        connection
    }
}

/// Writes a message over TCP, behind its length.
pub(crate) fn send(connection: &mut impl Write, packet: &[u8]) {
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    connection.write_all(&[&length, packet].concat()).unwrap();
}

/// Reads a message over TCP; `None` when the server has closed or says nothing.
pub(crate) fn receive(connection: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    connection.read_exact(&mut length).ok()?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    connection.read_exact(&mut reply).ok()?;
    Some(reply)
}

/// Reads a reply, which must belong to the query: its id, and its question byte by byte.
fn checked(packet: &[u8], reply: &[u8]) -> Message {
    assert_eq!(packet[..2], reply[..2], "the id of the query comes back");
    let question = packet[12..].iter().position(|byte| *byte == 0).unwrap() + 12 + 5;
    let echoed = reply.get(12..question);
    assert_eq!(echoed, Some(&packet[12..question]), "the question comes back byte by byte");
    Message::parse(reply)
}

fn next_id() -> u16 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

static NEXT_ID: AtomicU16 = AtomicU16::new(1);
