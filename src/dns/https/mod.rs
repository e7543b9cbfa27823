//! DNS over HTTPS (RFC 8484): one connection, HTTP/2 or 1.1, from its first byte to its end.
//!
//! Called by `tcp` once the keys are agreed on, in the place that the connection has there. What a
//! request asks is `request`'s matter, what it gets `response`'s. A client that is slow with
//! anything is cut: nothing here waits for longer than the timeouts of TCP. One that asks more than
//! it takes replies waits for itself.

mod content;
mod freshness;
mod json;
mod request;
mod response;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::dns::counters::count;
use crate::dns::https::content::Content;
use crate::dns::https::request::{Asked, Refused};
use crate::dns::serve::{Handled, Shared, call, stopped};
use crate::dns::transport::Peer;
use crate::net::connections::Place;

/// Serves a connection until the client is done or out of time, or the server stops.
pub(crate) async fn converse<H, S>(
    stream: S,
    handler: H,
    peer: Peer,
    place: &Place,
    shared: &Arc<Shared>,
    stop: &mut watch::Receiver<bool>,
) where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool + Clone + Send + Sync + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let replies = Arc::new(Semaphore::new(REPLIES));
    let service = service_fn(|request: Request<Incoming>| {
        let in_flight = activity.begin();
        let (handler, shared) = (handler.clone(), Arc::clone(shared));
        let replies = Arc::clone(&replies);
        async move {
            let _in_flight = in_flight;
            Ok::<_, Infallible>(respond(request, &handler, peer, &shared, replies).await)
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // Runs while no request is in flight: for the next one to arrive with its whole head, and for
    // the last reply to be taken.
    let mut timer = pin!(sleep(shared.timeouts.idle));
    let mut stopping = false;
    // Not moved by anything: a client may go on asking, and never say goodbye.
    let mut end = pin!(sleep(Duration::ZERO));
    loop {
        tokio::select! {
            biased;
            () = place.evicted() => return,
            () = &mut end, if stopping => return,
            // What goes wrong on a connection is its client's to see.
            _ = &mut connection => return,
            () = stopped(stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
                end.set(sleep(shared.timeouts.message + LAST_WORDS));
                timer.set(sleep(LAST_WORDS));
            }
            () = activity.changed.notified() => {
                // Half a request is no progress, and a whole one is answered at once.
                if activity.idle() {
                    place.idle();
                }
                timer.set(sleep(if stopping { LAST_WORDS } else { shared.timeouts.idle }));
            }
            () = &mut timer, if activity.idle() => return,
        }
    }
}

/// Answers one request.
async fn respond<H>(
    request: Request<Incoming>,
    handler: &H,
    peer: Peer,
    shared: &Shared,
    replies: Arc<Semaphore>,
) -> Response<Content>
where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
{
    let (head, body) = request.into_parts();
    let response = match timeout(shared.timeouts.message, request::asked(&head, body)).await {
        // Before there is a reply, which may be a thousand times as large as its question.
        Ok(Ok(asked)) => match timeout(shared.timeouts.write, replies.acquire_owned()).await {
            Ok(Ok(room)) => answered(asked, handler, peer, shared)
                .map(|reply| reply.map(|content| content.until_taken(room))),
            Ok(Err(_)) | Err(_) => Err(Refused::Untaken),
        },
        Ok(Err(refused)) => Err(refused),
        Err(_) => Err(Refused::Slow),
    };
    let response = response.unwrap_or_else(|refused| {
        count(&shared.counters.https_refused);
        response::refusal(&refused)
    });
    response::for_method(response, &head.method)
}

fn answered<H>(
    asked: Asked,
    handler: &H,
    peer: Peer,
    shared: &Shared,
) -> Result<Response<Content>, Refused>
where
    H: Fn(&[u8], Peer, &mut Vec<u8>) -> bool,
{
    let mut reply = Vec::new();
    match call(handler, &asked.packet, peer, &mut reply, &shared.counters) {
        Handled::Reply => response::reply(reply, asked.form),
        // No query, or too broken to be answered.
        Handled::Silence => Err(Refused::NotDns),
        Handled::Panicked => Err(Refused::Broken),
    }
}

/// What a connection is doing.
#[derive(Debug, Default)]
struct Activity {
    in_flight: AtomicUsize,
    changed: Notify,
}

impl Activity {
    /// Notes a request whose head was read, until what this returns is dropped.
    fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        InFlight(Arc::clone(self))
    }

    fn idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }
}

/// A request that is being answered.
struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Heads are timed above, those of HTTP/2 too.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(HEAD)
        // Who has said that there is nothing more to come still wants the reply.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_LIST)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}

/// For a reply to leave, and for HTTP/2 to say goodbye, after a stop.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A request's head over HTTP/1, which holds the whole query of a GET.
const HEAD: usize = 16 * 1024;
const HEADER_LIST: u32 = 16 * 1024;
/// Questions at a time on one connection. RFC 9113 section 6.5.2 advises against fewer.
const STREAMS: u32 = 100;
/// Replies at a time that a connection keeps for its client to take.
const REPLIES: usize = 8;
/// What a client may send ahead: the largest message.
const WINDOW: u32 = 64 * 1024;
const SEND_BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests;
