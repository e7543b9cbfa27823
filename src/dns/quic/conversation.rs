//! What is said on one QUIC connection: a question on each stream, all at the same time.
//!
//! Knows RFC 9250's rules and how they are broken; what it answers is the handler's matter.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ReadToEndError, RecvStream, SendStream, WriteError};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::dns::query::parse;
use crate::dns::quic::Code;
use crate::dns::serve::{Handled, Shared, call, stopped};
use crate::dns::transport::Peer;
use crate::net::connections::Place;

/// Answers until the client is gone or breaks a rule, its place is needed, or the server stops; why
/// the connection is to be closed.
pub(super) async fn converse<H>(
    connection: &Connection,
    handler: &H,
    peer: Peer,
    place: &Place,
    shared: &Arc<Shared>,
    stop: &mut watch::Receiver<bool>,
) -> Code
where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
{
    // As many as the transport lets a client open.
    let mut streams = JoinSet::new();
    let room = Arc::new(Semaphore::new(REPLIES));
    loop {
        tokio::select! {
            biased;
            () = stopped(stop) => break,
            () = place.evicted() => return Code::ExcessiveLoad,
            Some(answered) = streams.join_next() => match answered {
                Ok(Ok(Progress::Answered)) => place.idle(),
                // Streams that come to nothing keep no place.
                Ok(Ok(Progress::None)) => {}
                Ok(Err(code)) => return code,
                Err(_) => return Code::InternalError,
            },
            opened = timeout(shared.timeouts.idle, connection.accept_bi()) => match opened {
                Ok(Ok((send, receive))) => {
                    let (handler, shared) = (handler.clone(), Arc::clone(shared));
                    let room = Arc::clone(&room);
                    streams.spawn(answer(send, receive, handler, peer, shared, room));
                }
                // The connection is closed or lost already.
                Ok(Err(_)) => return Code::NoError,
                // Packets without questions keep no connection open.
                Err(_) if streams.is_empty() => return Code::NoError,
                Err(_) => {}
            },
        }
    }
    let last = async { while streams.join_next().await.is_some() {} };
    drop(timeout(LAST_ANSWERS, last).await);
    Code::NoError
}

/// What became of a stream.
enum Progress {
    /// The client has its reply.
    Answered,
    /// It took none.
    None,
}

/// Reads one question to its end and answers it, when there is `room` for its reply.
///
/// # Errors
/// What the whole connection has to be closed for.
async fn answer<H>(
    mut send: SendStream,
    mut receive: RecvStream,
    handler: H,
    peer: Peer,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
) -> Result<Progress, Code>
where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
{
    let bytes = match timeout(shared.timeouts.message, receive.read_to_end(LONGEST)).await {
        Ok(Ok(bytes)) => bytes,
        // The client thought better of it, or is gone.
        Ok(Err(ReadToEndError::Read(_))) => return Ok(Progress::None),
        // Without its FIN in time, a question is as wrong as one that is too long.
        Ok(Err(ReadToEndError::TooLong)) | Err(_) => return Err(Code::ProtocolError),
    };
    let packet = question(&bytes).ok_or(Code::ProtocolError)?;
    let Ok(Ok(room)) = timeout(shared.timeouts.write, room.acquire()).await else {
        return Ok(give_up(&mut send, Code::ExcessiveLoad));
    };
    let mut reply = Vec::new();
    match call(&handler, packet, peer, &mut reply, &shared.counters) {
        Handled::Reply => {}
        Handled::Silence => return Err(Code::ProtocolError),
        Handled::Panicked => return Ok(give_up(&mut send, Code::InternalError)),
    }
    let sent = async {
        write(&mut send, reply).await?;
        drop(room);
        // A connection that is closed forgets what it has not sent.
        send.stopped().await.map_err(|_| WriteError::ClosedStream)
    };
    match timeout(shared.timeouts.write, sent).await {
        Ok(Ok(_)) => Ok(Progress::Answered),
        Ok(Err(_)) => Ok(Progress::None),
        Err(_) => Ok(give_up(&mut send, Code::UnspecifiedError)),
    }
}

fn give_up(send: &mut SendStream, code: Code) -> Progress {
    // Fails only on a stream that is gone.
    drop(send.reset(code.into()));
    Progress::None
}

/// The message of a stream, if it keeps to RFC 9250 section 4.3.3: one message, whole, with the id
/// 0 and no opinion about keeping a TCP connection.
fn question(stream: &[u8]) -> Option<&[u8]> {
    let (length, packet) = stream.split_first_chunk::<2>()?;
    let whole = usize::from(u16::from_be_bytes(*length)) == packet.len();
    let keepalive = || {
        let edns = parse(packet).head().and_then(|head| head.edns);
        edns.is_some_and(|edns| edns.keepalive)
    };
    (whole && packet.starts_with(&[0, 0]) && !keepalive()).then_some(packet)
}

/// Hands a reply to the transport, which takes as much as its window has room for.
async fn write(send: &mut SendStream, reply: Vec<u8>) -> Result<(), WriteError> {
    // Replies keep to 65535 bytes; one that did not could not be framed.
    let Ok(length) = u16::try_from(reply.len()) else { return Err(WriteError::ClosedStream) };
    send.write_all(&length.to_be_bytes()).await?;
    send.write_all(&reply).await?;
    send.finish().map_err(|_| WriteError::ClosedStream)
}

const LONGEST: usize = 2 + 65_535;
/// Replies of a connection that wait for room in its window: each may be 64 KiB.
const REPLIES: usize = 8;
const LAST_ANSWERS: Duration = Duration::from_secs(1);
