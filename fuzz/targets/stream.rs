//! A TCP client that sends anything, in pieces of any size: framing, and the order of replies.

use signpost::dns::transport::{Peer, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

use crate::targets::served;

/// Sends what follows the first byte over a connection, in pieces whose sizes the first byte makes,
/// and compares the replies with those to the messages in it.
pub fn stream(bytes: &[u8]) {
    let Some((seed, sent)) = bytes.split_first() else { return };
    let expected = expected(sent);

    let received = served::run(async {
        let (client, server) = duplex(PIPE);
        let peer = Peer { transport: Transport::Tcp, source: SOURCE.into() };
        let serving = served::converse(server, peer);
        let (mut incoming, mut outgoing) = split(client);
        let sending = async {
            for piece in sent.chunks(1 + usize::from(*seed)) {
                // The server closes at nonsense, whatever follows.
                if outgoing.write_all(piece).await.is_err() {
                    return;
                }
            }
            outgoing.shutdown().await.ok();
        };
        let mut received = Vec::new();
        let receiving = async { incoming.read_to_end(&mut received).await.ok() };
        tokio::join!(serving, sending, receiving);
        received
    });

    assert_eq!(ids(&received), expected, "{bytes:?}");
}

/// The ids of the messages that get a reply, up to what is no DNS.
fn expected(mut sent: &[u8]) -> Vec<[u8; 2]> {
    let mut ids = Vec::new();
    let peer = Peer { transport: Transport::Tcp, source: SOURCE.into() };
    while let Some((packet, rest)) = first_frame(sent)
        && packet.len() >= 12
    {
        if served::front().handle(packet, peer, &mut Vec::new()) {
            ids.push([packet[0], packet[1]]);
        }
        sent = rest;
    }
    ids
}

/// The ids of whole messages; nothing may be left over.
fn ids(mut received: &[u8]) -> Vec<[u8; 2]> {
    let mut ids = Vec::new();
    while let Some((reply, rest)) = first_frame(received) {
        assert!(reply.len() >= 12, "no header: {reply:?}");
        ids.push([reply[0], reply[1]]);
        received = rest;
    }
    assert_eq!(received, [0; 0], "half a reply");
    ids
}

fn first_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

const SOURCE: ([u8; 4], u16) = ([192, 0, 2, 1], 5353);
/// What the pipe between them holds.
const PIPE: usize = 1 << 20;
