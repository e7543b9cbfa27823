//! The body of a response: whole when it is made, and handed on piece by piece as the client gives it
//! room, so that what is not taken is known to be there.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// What is left of a body.
#[derive(Debug, Default)]
pub(super) struct Content {
    rest: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Content {
    pub(super) fn new(body: Vec<u8>) -> Self {
        Self { rest: body.into(), _room: None }
    }

    /// Keeps `room` until the client has taken everything, or has gone.
    pub(super) fn until_taken(self, room: OwnedSemaphorePermit) -> Self {
        Self { _room: Some(room), ..self }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// More than almost all replies have.
const PIECE: usize = 4 * 1024;
