//! A packet from anybody to the handler that all transports share.

use std::net::SocketAddr;

use hickory_proto::op::Message;
use signpost::dns::transport::{Peer, Transport};

use crate::targets::served;

/// Answers `bytes` as if they had come by each transport, and holds the replies to the laws.
pub fn packet(bytes: &[u8]) {
    let front = served::front();
    let mut reply = Vec::new();
    let mut codes = Vec::new();
    for transport in [Transport::Udp, Transport::Tcp, Transport::Https] {
        let peer = Peer { transport, source: SocketAddr::from(([192, 0, 2, 1], 5353)) };
        if front.handle(bytes, peer, &mut reply) {
            check(bytes, transport, &reply);
            codes.push(reply[3] & 0x0f);
        } else {
            assert!(bytes.len() < HEADER || bytes[2] & QR != 0, "silence to a query: {bytes:?}");
        }
    }
    assert!(codes.is_empty() || codes.len() == 3, "silence by transport: {bytes:?}");
}

/// Holds `reply` to what every reply to `query` has.
pub fn check(query: &[u8], transport: Transport, reply: &[u8]) {
    assert!(reply.len() >= HEADER, "no header: {reply:?}");
    assert_eq!(reply[..2], query[..2], "the id");
    assert_eq!(reply[2] & QR, QR, "QR");
    assert_eq!(reply[2] & (OPCODE | RD), query[2] & (OPCODE | RD), "opcode and RD");
    assert_eq!(reply[3] & 0xf0, 0, "RA, Z, AD and CD are 0");
    let message = match Message::from_vec(reply) {
        Ok(message) => message,
        // `dig +subnet=0` sends a client subnet of family 0, which comes back; hickory knows none.
        Err(_) if reply.windows(NOBODY.len()).any(|bytes| bytes == NOBODY) => return,
        Err(error) => panic!("{error}: {reply:?} to {query:?}"),
    };
    if let [_] = &message.queries[..] {
        let end = HEADER + question_length(&reply[HEADER..]);
        assert_eq!(reply[HEADER..end], query[HEADER..end], "the question");
    }

    let asked = Message::from_vec(query).ok();
    let payload = |asked: &Message| asked.edns.as_ref().map_or(512, |edns| edns.max_payload());
    let limit = match (transport, &asked) {
        (Transport::Udp, Some(asked)) => usize::from(payload(asked)).clamp(512, UDP_PAYLOAD),
        // There may be an OPT in what hickory does not read.
        (Transport::Udp, None) => UDP_PAYLOAD,
        _ => usize::from(u16::MAX),
    };
    assert!(reply.len() <= limit, "{} bytes to {query:?}", reply.len());
    // What claims more records than any honest query is not read to its end.
    if let Some(asked) = asked.filter(|asked| asked.all_sections().count() < 32) {
        assert_eq!(message.edns.is_some(), asked.edns.is_some(), "OPT for OPT: {query:?}");
    }
}

/// The bytes of an uncompressed question.
fn question_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while bytes[at] != 0 {
        at += 1 + usize::from(bytes[at]);
    }
    at + 5
}

/// The option: its code, its length, family 0 and both prefix lengths 0.
const NOBODY: [u8; 8] = [0, 8, 0, 4, 0, 0, 0, 0];
const HEADER: usize = 12;
const UDP_PAYLOAD: usize = 1_232;
const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
const RD: u8 = 0x01;
