//! The body of a reply, and whose turn it is: the server's, while there is nothing to take, or the
//! client's.
//!
//! Bodies are handed on in pieces, so that one that the client has no room for (HTTP/2 has windows
//! for that) is seen not to be taken. Called by `serve`; `connection` judges.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use crate::http::budget::Held;
use crate::http::connection::InFlight;
use crate::registry::Clock;

/// The body of a reply. While any of it is there, be it in the hands of the protocol, its request is
/// being answered.
pub(crate) struct Outlet {
    body: Body,
    rest: Bytes,
    way: Arc<Way>,
    clock: Clock,
}

/// What ends when the last piece of a reply is sent, or given up.
struct Way {
    in_flight: InFlight,
    _held: Option<Arc<Held>>,
}

/// A piece of a reply.
struct Piece {
    data: Bytes,
    _way: Arc<Way>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Outlet {
    /// A reply that is ready to be taken, or to be waited for; what is `held` for it is until all of it
    /// is sent.
    pub(crate) fn new(
        body: Body,
        in_flight: InFlight,
        held: Option<Arc<Held>>,
        clock: Clock,
    ) -> Self {
        in_flight.offer(clock.now());
        let way = Arc::new(Way { in_flight, _held: held });
        Self { body, rest: Bytes::new(), way, clock }
    }
}

impl HttpBody for Outlet {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                self.way.in_flight.exhausted();
                return Poll::Pending;
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.rest.len().min(PIECE);
        let data = self.rest.split_to(length);
        self.way.in_flight.offer(self.clock.now());
        let piece = Piece { data, _way: Arc::clone(&self.way) };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// How much of a reply is handed on at a time.
const PIECE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;
    use crate::http::budget::Budget;
    use crate::http::connection::Activity;
    use crate::model::Millis;
    use crate::net::connections::{Admission, Connections};

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    #[tokio::test]
    async fn a_client_that_takes_nothing_of_a_reply_may_go_and_has_to_in_time() {
        let connections = Connections::new(1, 1);
        let from = [127, 0, 0, 1].into();
        let Admission::Free(place) = connections.admit(from) else { panic!("there is one place") };
        let clock = Clock::start();
        let activity = Activity::new(clock.now(), place);
        let in_flight = activity.begin(false);
        assert!(matches!(connections.admit(from), Admission::Full));

        // Over HTTP/2 nothing is written for a client that gives a stream no room.
        let _outlet = Outlet::new(Body::from("reply"), in_flight, None, clock);

        assert!(!activity.overdue(clock.now()));
        assert!(activity.overdue(clock.now() + WEEK));
        assert!(matches!(connections.admit(from), Admission::Evicted(_)));
        activity.evicted().await;
    }

    #[tokio::test]
    async fn what_the_protocol_still_holds_is_not_taken() {
        let admission = Connections::new(1, 1).admit([127, 0, 0, 1].into());
        let Admission::Free(place) = admission else { panic!("there is one place") };
        let clock = Clock::start();
        let activity = Activity::new(clock.now(), place);
        let mut held = Arc::new(Budget::default()).hold(1 << 20, Some(&activity));
        held.grow(4_096).unwrap();
        let (body, in_flight) = (Body::from(vec![b'r'; 4_096]), activity.begin(false));
        let mut outlet = Outlet::new(body, in_flight, Some(Arc::new(held)), clock);

        let piece = outlet.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(outlet);

        assert!(activity.overdue(clock.now() + Duration::from_secs(40)));
        assert_eq!(activity.held().load(Relaxed), 4_096);
        drop(piece);
        assert!(!activity.overdue(clock.now() + Duration::from_secs(40)));
        assert_eq!(activity.held().load(Relaxed), 0);
    }

    /// One event, and then nothing for ever.
    struct Watch(Option<Bytes>);

    impl HttpBody for Watch {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.take().map_or(Poll::Pending, |event| Poll::Ready(Some(Ok(Frame::data(event)))))
        }
    }

    #[tokio::test]
    async fn a_client_that_has_taken_all_there_is_waits_for_the_server() {
        let connections = Connections::new(1, 1);
        let from = [127, 0, 0, 1].into();
        let Admission::Free(place) = connections.admit(from) else { panic!("there is one place") };
        let clock = Clock::start();
        let activity = Activity::new(clock.now(), place);
        let event = Bytes::from(vec![b'e'; PIECE + 1]);
        let body = Body::new(Watch(Some(event)));
        let mut outlet = Outlet::new(body, activity.begin(false), None, clock);

        for expected in [PIECE, 1] {
            let piece = outlet.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(piece.len(), expected);
            assert!(activity.overdue(Millis(u64::MAX - 1)));
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut outlet).poll_frame(&mut cx).is_pending());

        assert!(!activity.overdue(Millis(u64::MAX - 1)));
        assert!(matches!(connections.admit(from), Admission::Full));
        drop(outlet);
        assert!(matches!(connections.admit(from), Admission::Evicted(_)));
    }
}
