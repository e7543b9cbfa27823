//! One connection: what it is doing, when that takes too long, and how it ends so that the client
//! can read the last reply.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;

use crate::http::stream::Stream;
use crate::model::Millis;
use crate::net::connections::Place;
use crate::registry::Clock;

/// What a connection is doing, as its ends note it and its watchdog reads it.
///
/// | the client | overdue after |
/// |---|---|
/// | does not read what is written, or take (HTTP/2) what is there | [`WRITE_TIME`] |
/// | waits for a reply | never: what it waits for has limits of its own |
/// | sends the head of a request | [`HEAD_TIME`] |
/// | does nothing | [`IDLE_TIME`] |
#[derive(Debug)]
pub(crate) struct Activity {
    /// Requests that are being answered.
    requests: AtomicUsize,
    /// Those of them whose body the client has still to send.
    sending: AtomicUsize,
    /// Those of them whose reply is there, for the client to take.
    offered: AtomicUsize,
    /// The same, each by its number, with when anything of it was last offered or taken.
    untaken: Mutex<Vec<(u64, Millis)>>,
    /// Numbers the requests.
    next: AtomicU64,
    /// How many bytes of requests and replies it holds.
    held: AtomicUsize,
    /// When anything was last read or written.
    moved: AtomicU64,
    /// When the head began that is being read; [`NONE`] without one.
    head: AtomicU64,
    /// Since when the client has not taken what is written; [`NONE`] when it takes it.
    blocked: AtomicU64,
    /// Whether a body is not read to its end.
    body_left: AtomicBool,
    /// Whether the server ends the connection, since its client takes nothing.
    cut: AtomicBool,
    /// Tells who may stay when there are too many.
    place: Place,
    /// HTTP/2 has frames between requests, so that not all that is read is a head.
    frames: AtomicBool,
}

impl Activity {
    /// A connection that has just begun.
    pub(crate) fn new(now: Millis, place: Place) -> Arc<Self> {
        Arc::new(Self {
            requests: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            offered: AtomicUsize::new(0),
            untaken: Mutex::default(),
            next: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            moved: AtomicU64::new(now.0),
            // A client that connects has something to say.
            head: AtomicU64::new(now.0),
            blocked: AtomicU64::new(NONE),
            body_left: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            place,
            frames: AtomicBool::new(false),
        })
    }

    /// Notes a request until what this returns is dropped.
    pub(crate) fn begin(self: &Arc<Self>, has_body: bool) -> InFlight {
        self.head.store(NONE, Relaxed);
        self.body_left.store(has_body, Relaxed);
        if has_body {
            self.sending.fetch_add(1, Relaxed);
        }
        self.requests.fetch_add(1, Relaxed);
        self.note_turn();
        InFlight {
            activity: Arc::clone(self),
            number: self.next.fetch_add(1, Relaxed),
            offered: AtomicBool::new(false),
        }
    }

    /// Whether the client takes longer than anybody should; see the table above.
    pub(crate) fn overdue(&self, now: Millis) -> bool {
        let longer = |since: &AtomicU64, limit| {
            let since = since.load(Relaxed);
            since != NONE && now.since(Millis(since)) > limit
        };
        // A client of HTTP/2 need not stop reading to take nothing: it can give replies no room.
        // That it takes others, or asks for more, helps none.
        let untaken = self.untaken().iter().any(|(_, since)| now.since(*since) > WRITE_TIME);
        if untaken || longer(&self.blocked, WRITE_TIME) {
            return true;
        }
        if self.requests.load(Relaxed) > 0 {
            return false;
        }
        longer(&self.head, HEAD_TIME) || longer(&self.moved, IDLE_TIME)
    }

    /// Whether the client may still be sending what nobody will read.
    pub(crate) fn input_left(&self) -> bool {
        self.body_left() || self.head.load(Relaxed) != NONE
    }

    /// Whether a body is not read to its end, of a connection whose requests are one behind another.
    pub(crate) fn body_left(&self) -> bool {
        self.body_left.load(Relaxed)
    }

    /// How many bytes of requests and replies it holds.
    pub(crate) fn held(&self) -> &AtomicUsize {
        &self.held
    }

    /// Completes when this connection has to make room for another.
    pub(crate) async fn evicted(&self) {
        self.place.evicted().await;
    }

    /// Notes that the connection is ended, since its client takes nothing.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Relaxed);
    }

    /// Whether it is.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// Notes that no more of a body is waited for.
    fn note_sent(&self) {
        self.sending.fetch_sub(1, Relaxed);
        self.note_turn();
    }

    /// Notes whose turn it is. A connection may go while all that is being answered is the client's to
    /// send or to take: one request that waits for its client does not make it busy, whatever others do.
    fn note_turn(&self) {
        let clients = self.sending.load(Relaxed) + self.offered.load(Relaxed);
        if self.requests.load(Relaxed) > clients {
            self.place.busy();
        } else {
            self.place.idle();
        }
    }

    fn untaken(&self) -> MutexGuard<'_, Vec<(u64, Millis)>> {
        // A panic within would leave a reply more or less.
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_read(&self, bytes: &[u8], now: Millis) {
        self.moved.store(now.0, Relaxed);
        if bytes.starts_with(b"PRI * HTTP/2") {
            self.frames.store(true, Relaxed);
            self.head.store(NONE, Relaxed);
        }
        let between = self.requests.load(Relaxed) == 0 && !self.frames.load(Relaxed);
        if between && !bytes.is_empty() && self.head.load(Relaxed) == NONE {
            self.head.store(now.0, Relaxed);
        }
    }

    fn note_written(&self, taken: bool, now: Millis) {
        if taken {
            self.moved.store(now.0, Relaxed);
            self.blocked.store(NONE, Relaxed);
        } else if self.blocked.load(Relaxed) == NONE {
            self.blocked.store(now.0, Relaxed);
        }
    }

    /// TLS takes what is written before its client does. That nothing is left says nothing of when.
    fn note_flushed(&self, taken: bool, now: Millis) {
        if taken {
            self.blocked.store(NONE, Relaxed);
        } else if self.blocked.load(Relaxed) == NONE {
            self.blocked.store(now.0, Relaxed);
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight {
    activity: Arc<Activity>,
    number: u64,
    offered: AtomicBool,
}

impl InFlight {
    /// Notes that a part of the reply is there, so that it is the client's turn.
    pub(crate) fn offer(&self, now: Millis) {
        let mut untaken = self.activity.untaken();
        match untaken.iter_mut().find(|(number, _)| *number == self.number) {
            Some((_, since)) => *since = now,
            None => untaken.push((self.number, now)),
        }
        drop(untaken);
        if !self.offered.swap(true, Relaxed) {
            self.activity.offered.fetch_add(1, Relaxed);
        }
        self.activity.note_turn();
    }

    /// Notes that the client has taken what there was, and waits for more.
    pub(crate) fn exhausted(&self) {
        if self.take_back() {
            self.activity.note_turn();
        }
    }

    /// Whether there was an offer.
    fn take_back(&self) -> bool {
        let offered = self.offered.swap(false, Relaxed);
        if offered {
            self.activity.untaken().retain(|(number, _)| *number != self.number);
            self.activity.offered.fetch_sub(1, Relaxed);
        }
        offered
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.take_back();
        self.activity.requests.fetch_sub(1, Relaxed);
        self.activity.note_turn();
    }
}

/// The socket of a connection. Notes what happens, and gives the socket back when it is dropped.
pub(crate) struct Wire {
    stream: Option<Stream>,
    activity: Arc<Activity>,
    clock: Clock,
    back: Option<oneshot::Sender<Stream>>,
}

impl Wire {
    /// A wire over `stream`, and where to find the stream when the wire is dropped.
    pub(crate) fn new(
        stream: Stream,
        activity: Arc<Activity>,
        clock: Clock,
    ) -> (Self, oneshot::Receiver<Stream>) {
        let (back, returned) = oneshot::channel();
        (Self { stream: Some(stream), activity, clock, back: Some(back) }, returned)
    }

    fn stream(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let (Some(stream), Some(back)) = (self.stream.take(), self.back.take()) {
            // Nobody may want it.
            back.send(stream).ok();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.stream()?.poll_read(cx, buffer))?;
        self.activity.note_read(&buffer.filled()[before..], self.clock.now());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, bytes);
        self.activity.note_written(written.is_ready(), self.clock.now());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, slices);
        self.activity.note_written(written.is_ready(), self.clock.now());
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream()?.poll_flush(cx);
        self.activity.note_flushed(flushed.is_ready(), self.clock.now());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

/// The body of a request. Notes when it is read to its end, or nobody reads it any more.
pub(crate) struct Inlet {
    body: Incoming,
    activity: Arc<Activity>,
    /// Whether it is waited for.
    awaited: bool,
}

impl Inlet {
    /// The body of a request that has begun.
    pub(crate) fn new(body: Incoming, activity: Arc<Activity>) -> Self {
        let awaited = !body.is_end_stream();
        Self { body, activity, awaited }
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        if self.awaited {
            self.activity.note_sent();
        }
    }
}

impl HttpBody for Inlet {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if self.awaited && (frame.is_none() || self.body.is_end_stream()) {
            self.awaited = false;
            self.activity.body_left.store(false, Relaxed);
            self.activity.note_sent();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads and discards what the client is still sending, so that the reply is not lost to the reset
/// that closing a socket with unread input causes (RFC 9112 section 9.6).
pub(crate) async fn linger(mut stream: Stream) {
    let discard = async {
        // The reply is complete; the client learns that nothing follows.
        stream.shutdown().await?;
        let mut scrap = vec![0; 64 * 1024];
        while let Ok(read) = tokio::time::timeout(LINGER_SILENCE, stream.read(&mut scrap)).await {
            if read? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // Either way the connection is over.
    tokio::time::timeout(LINGER_TIME, discard).await.ok();
}

const NONE: u64 = u64::MAX;
const HEAD_TIME: Duration = Duration::from_secs(10);
const WRITE_TIME: Duration = Duration::from_secs(30);
/// Longer than the heartbeats that one connection carries are apart.
const IDLE_TIME: Duration = Duration::from_secs(90);
const LINGER_SILENCE: Duration = Duration::from_secs(3);
const LINGER_TIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::connections::{Admission, Connections};

    const BEGUN: Millis = Millis(1_000);

    fn begun_at(now: Millis) -> Arc<Activity> {
        let admission = Connections::new(1, 1).admit([127, 0, 0, 1].into());
        let Admission::Free(place) = admission else { panic!("{admission:?}") };
        Activity::new(now, place)
    }

    fn after(limit: Duration) -> (Millis, Millis) {
        (BEGUN + limit, BEGUN + limit + Duration::from_millis(1))
    }

    #[test]
    fn a_head_has_its_time_from_its_first_byte() {
        let activity = begun_at(Millis(0));
        drop(activity.begin(false));
        assert!(!activity.overdue(Millis(0) + IDLE_TIME));

        activity.note_read(b"G", BEGUN);
        activity.note_read(b"ET", BEGUN + HEAD_TIME);

        let (due, over) = after(HEAD_TIME);
        assert_eq!((activity.overdue(due), activity.overdue(over)), (false, true));
    }

    #[test]
    fn a_request_that_is_answered_has_all_the_time() {
        let activity = begun_at(BEGUN);
        activity.note_read(b"GET", BEGUN);
        let in_flight = activity.begin(false);

        assert!(!activity.overdue(Millis(u64::MAX - 1)));
        drop(in_flight);
        assert!(activity.overdue(Millis(u64::MAX - 1)));
    }

    #[test]
    fn an_idle_connection_is_kept_for_long_but_not_for_ever() {
        let activity = begun_at(Millis(0));
        drop(activity.begin(false));
        activity.note_written(true, BEGUN);

        let (due, over) = after(IDLE_TIME);
        assert_eq!((activity.overdue(due), activity.overdue(over)), (false, true));
    }

    #[test]
    fn a_client_that_does_not_read_is_overdue_whatever_it_asked_for() {
        let activity = begun_at(Millis(0));
        let _in_flight = activity.begin(false);
        activity.note_written(false, BEGUN);
        activity.note_written(false, BEGUN + WRITE_TIME);

        let (due, over) = after(WRITE_TIME);
        assert_eq!((activity.overdue(due), activity.overdue(over)), (false, true));
        activity.note_written(true, over);
        assert!(!activity.overdue(over));
    }

    #[test]
    fn a_reply_that_is_not_taken_is_overdue_whatever_else_is() {
        let activity = begun_at(Millis(0));
        let untaken = activity.begin(false);
        untaken.offer(BEGUN);
        let (due, over) = after(WRITE_TIME);

        for _ in 0..3 {
            let other = activity.begin(false);
            other.offer(due);
            other.offer(over);
        }

        assert_eq!((activity.overdue(due), activity.overdue(over)), (false, true));
        untaken.offer(due);
        assert!(!activity.overdue(over));
        drop(untaken);
        assert!(!activity.overdue(due + WRITE_TIME));
    }

    #[tokio::test]
    async fn a_request_that_waits_for_its_client_is_no_reason_to_stay() {
        let connections = Connections::new(1, 1);
        let from = [127, 0, 0, 1].into();
        let Admission::Free(place) = connections.admit(from) else { panic!("there is one place") };
        let activity = Activity::new(BEGUN, place);

        let half_sent = activity.begin(true);
        let answered = activity.begin(false);
        assert!(matches!(connections.admit(from), Admission::Full));
        answered.offer(BEGUN);
        let untaken = activity.begin(false);
        untaken.offer(BEGUN);

        assert!(matches!(connections.admit(from), Admission::Evicted(_)));
        activity.evicted().await;
        // When the rest is there, it is the server's turn.
        activity.note_sent();
        drop(half_sent);
    }

    #[test]
    fn what_tls_still_holds_is_not_taken() {
        let activity = begun_at(Millis(0));
        drop(activity.begin(false));
        activity.note_written(true, BEGUN);
        activity.note_flushed(false, BEGUN);
        activity.note_flushed(false, BEGUN + WRITE_TIME);

        let (due, over) = after(WRITE_TIME);
        assert_eq!((activity.overdue(due), activity.overdue(over)), (false, true));
        activity.note_flushed(true, over);
        assert!(!activity.overdue(over));
        // That there is nothing to flush is no sign of life.
        assert!(activity.overdue(BEGUN + IDLE_TIME + Duration::from_millis(1)));
    }

    #[test]
    fn frames_between_requests_are_no_heads() {
        let activity = begun_at(BEGUN);
        activity.note_read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BEGUN);
        activity.note_read(b"ping", BEGUN);

        assert!(!activity.overdue(BEGUN + IDLE_TIME));
        assert!(!activity.input_left());
    }

    #[test]
    fn a_body_is_left_until_it_is_read() {
        let activity = begun_at(BEGUN);
        let _in_flight = activity.begin(true);
        assert!(activity.input_left());

        let _in_flight = activity.begin(false);
        assert!(!activity.input_left());
    }
}
