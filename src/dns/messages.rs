//! A stream of DNS messages, each behind its length (RFC 7766 section 8): TCP's and that of TLS.
//!
//! Cuts the stream into messages and answers them in order. A message is bounded by the time from
//! its first byte, replies by the time to take them: a client that is slow only waits for itself.
//! Called by `tcp` for each connection.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::dns::serve::{Handled, Shared, call, stopped};
use crate::dns::transport::Peer;
use crate::net::connections::Place;

/// Reads, answers and writes until the client is done or out of time, or the server stops.
pub(crate) async fn exchange<H, S>(
    stream: &mut S,
    handler: &H,
    peer: Peer,
    place: &Place,
    shared: &Shared,
    stop: &mut watch::Receiver<bool>,
) -> io::Result<()>
where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let timeouts = shared.timeouts;
    let mut input = Vec::with_capacity(READ);
    let mut output = Vec::new();
    let mut reply = Vec::new();
    let timer = sleep(timeouts.idle);
    tokio::pin!(timer);
    // The message that the timer runs for has begun to arrive.
    let mut begun = false;
    loop {
        let read = tokio::select! {
            biased;
            read = stream.read_buf(&mut input) => read?,
            () = &mut timer => return Ok(()),
            () = stopped(stop) => return Ok(()),
        };
        if read == 0 {
            return Ok(());
        }
        let mut answered = 0;
        let mut end = false;
        while let Some(frame) = first_frame(&input[answered..]) {
            let Frame::Message(packet) = frame else {
                end = true;
                break;
            };
            answered += LENGTH + packet.len();
            match call(handler, packet, peer, &mut reply, &shared.counters) {
                Handled::Reply => {
                    // Replies keep to 65535 bytes; one that did not could not be framed.
                    let Ok(length) = u16::try_from(reply.len()) else { continue };
                    output.extend(length.to_be_bytes());
                    output.append(&mut reply);
                }
                Handled::Silence => {}
                Handled::Panicked => {
                    end = true;
                    break;
                }
            }
            if output.len() >= FLUSH {
                timeout(timeouts.write, send(stream, &output)).await??;
                output.clear();
            }
        }
        input.drain(..answered);
        if !output.is_empty() {
            timeout(timeouts.write, send(stream, &output)).await??;
            output.clear();
        }
        // A client that never stops asking must not hold up a stop.
        if end || *stop.borrow() {
            return Ok(());
        }
        // Half a message is no progress: who never sends the rest is the first to go.
        if answered > 0 {
            place.idle();
        }
        // A message has one deadline from its first byte on, which more bytes do not move.
        match (input.is_empty(), begun && answered == 0) {
            (true, _) => {
                timer.set(sleep(timeouts.idle));
                // Who asked for much once and stays does not keep the room for it.
                for buffer in [&mut input, &mut output, &mut reply] {
                    buffer.shrink_to(READ);
                }
            }
            (false, true) => {}
            (false, false) => timer.set(sleep(timeouts.message)),
        }
        begun = !input.is_empty();
        input.reserve(READ);
    }
}

/// Writes `replies` and sees them off: what encrypts keeps some of them back until it is told.
async fn send(stream: &mut (impl AsyncWrite + Unpin), replies: &[u8]) -> io::Result<()> {
    stream.write_all(replies).await?;
    stream.flush().await
}

enum Frame<'b> {
    Message(&'b [u8]),
    /// Too short for a DNS header, so the stream is not DNS.
    Nonsense,
}

/// The message at the start of a stream; `None` until it is whole.
fn first_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length < HEADER {
        return Some(Frame::Nonsense);
    }
    rest.get(..length).map(Frame::Message)
}

const LENGTH: usize = 2;
const HEADER: usize = 12;

/// Room for the next read; what arrives beyond it is read in the next round.
const READ: usize = 4_096;

/// Replies are sent when they are this many bytes, though more messages are waiting.
const FLUSH: usize = 65_536;
