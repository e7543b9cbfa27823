//! Sockets of the side-port: bind, accept, serve, drain.
//!
//! Owns one task a connection and ends them all. Nothing that a client does, and no error of
//! accept, ends the loop.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::{JoinSet, yield_now};

use crate::http::app::App;
use crate::http::budget::Held;
use crate::http::connection::{Activity, Inlet, Wire, linger};
use crate::http::handshake::agree;
use crate::http::outlet::Outlet;
use crate::http::peer::{LOCAL, Peer};
use crate::http::problem::ProblemKind;
use crate::http::router;
use crate::http::stream::Stream;
use crate::http::unix::UnixSocket;
use crate::model::Limit;
use crate::net::BACKLOG;
use crate::net::accept::{Acceptor, Listen};
use crate::net::connections::{Admission, Place};
use crate::net::silence;

/// What the side-port listens on.
#[derive(Debug)]
pub enum Listener {
    /// Plain HTTP.
    Plain(TcpListener),
    /// HTTP over TLS.
    Tls(TcpListener),
    /// Plain HTTP, for whom the socket's file allows.
    Unix(UnixSocket),
}

impl Listener {
    /// The line that says so.
    ///
    /// # Errors
    /// When the system does not tell the address.
    pub fn announcement(&self) -> io::Result<String> {
        Ok(match self {
            Self::Plain(listener) => format!("http  {}", listener.local_addr()?),
            Self::Tls(listener) => format!("https {}", listener.local_addr()?),
            Self::Unix(socket) => format!("http  unix:{}", socket.path().display()),
        })
    }
}

/// Listens on `address`, to which nobody else may listen.
///
/// # Errors
/// When the address is taken, not of this machine, or not permitted. Must be called in a runtime.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|source| BindError { address, source })
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for HTTP on {address}, {}", next_step(source))]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// Serves all calls of `app` on `listener` until the app's shutdown; then accepts nothing more and
/// returns when what is in flight is done, at most `DRAIN_TIME` later.
pub async fn serve(listener: Listener, app: Arc<App>) {
    match listener {
        Listener::Plain(listener) => {
            let plain = |(stream, source)| (Raw::Tcp(stream), source);
            accept(Acceptor::new(listener), plain, app).await;
        }
        Listener::Tls(listener) => {
            let encrypted = |(stream, source)| (Raw::Tls(stream), source);
            accept(Acceptor::new(listener), encrypted, app).await;
        }
        Listener::Unix(UnixSocket { listener, file }) => {
            accept(Acceptor::new(listener), |stream| (Raw::Unix(stream), LOCAL), app).await;
            drop(file);
        }
    }
}

/// A connection as it was accepted.
enum Raw {
    Tcp(TcpStream),
    /// On which TLS is to be spoken.
    Tls(TcpStream),
    Unix(UnixStream),
}

async fn accept<L: Listen>(
    mut acceptor: Acceptor<L>,
    read: impl Fn(L::Accepted) -> (Raw, SocketAddr),
    app: Arc<App>,
) {
    let service = TowerToHyperService::new(router(Arc::clone(&app)));
    let builder = Arc::new(builder());
    let mut connections = JoinSet::new();
    let mut down = pin!(app.going_down());
    loop {
        let (stream, source) = tokio::select! {
            // What has ended must not count against the limit.
            biased;
            () = &mut down => break,
            Some(_) = connections.join_next() => {
                app.metrics.connections.dec();
                continue;
            }
            accepted = acceptor.accept(|| {
                app.metrics.accept_errors.inc();
            }) => read(accepted),
        };
        app.connections.limit(app.limits.load().connections, usize::MAX);
        // Who has one of the others cannot keep out who runs this machine.
        let reserve = if matches!(stream, Raw::Unix(_)) { UNIX_RESERVE } else { 0 };
        let place = match app.connections.admit_with(source.ip(), reserve) {
            Admission::Free(place) => place,
            Admission::Evicted(place) => {
                app.metrics.evicted.inc();
                // Let it go, or a flood would hold more descriptors than there are places.
                yield_now().await;
                place
            }
            Admission::Full => {
                app.metrics.count_rejected(ProblemKind::Limit);
                app.metrics.count_limit(Limit::Connections);
                refuse(stream);
                continue;
            }
        };
        let (app, builder) = (Arc::clone(&app), Arc::clone(&builder));
        app.metrics.connections.inc();
        connections.spawn(attend(stream, source, place, app, builder, service.clone()));
    }
    drop(acceptor);
    let drained = async {
        while connections.join_next().await.is_some() {
            app.metrics.connections.dec();
        }
    };
    if tokio::time::timeout(DRAIN_TIME, drained).await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that did not end in time");
        connections.shutdown().await;
    }
}

/// Serves one connection to its end.
async fn attend(
    stream: Raw,
    source: SocketAddr,
    place: Place,
    app: Arc<App>,
    builder: Arc<Builder<TokioExecutor>>,
    service: TowerToHyperService<Router>,
) {
    let (stream, peer) = match stream {
        Raw::Tcp(stream) => {
            silence::prepare(&stream);
            (Stream::Tcp(stream), Peer::default())
        }
        Raw::Tls(stream) => {
            silence::prepare(&stream);
            match agree(stream, &place, &app).await {
                Some(agreed) => agreed,
                None => return,
            }
        }
        Raw::Unix(stream) => (Stream::Unix(stream), Peer::default()),
    };
    let clock = app.registry.clock();
    let activity = Activity::new(clock.now(), place);
    let (wire, returned) = Wire::new(stream, Arc::clone(&activity), clock);
    {
        let front = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(source));
            request.extensions_mut().insert(Arc::clone(&activity));
            request.extensions_mut().insert(peer.clone());
            let in_flight = activity.begin(!request.body().is_end_stream());
            let one_by_one = request.version() < Version::HTTP_2;
            let reply = service.call(request.map(|body| Inlet::new(body, Arc::clone(&activity))));
            let activity = Arc::clone(&activity);
            async move {
                let mut reply = reply.await?;
                if one_by_one && activity.body_left() {
                    // hyper may close it then, and the client's next request would be lost.
                    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                let held = reply.extensions_mut().remove::<Arc<Held>>();
                Ok::<_, Infallible>(reply.map(|body| Outlet::new(body, in_flight, held, clock)))
            }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), front));
        let mut down = pin!(app.going_down());
        let mut draining = false;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                biased;
                // What goes wrong on a connection is its client's to see.
                ended = &mut connection => {
                    if let Err(error) = ended {
                        note_error(&*error, &app, &activity);
                    }
                    break;
                }
                () = &mut down, if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = activity.evicted() => {
                    activity.cut();
                    return;
                }
                _ = look.tick() => if activity.overdue(clock.now()) {
                    app.metrics.stalled.inc();
                    activity.cut();
                    break;
                },
            }
        }
    }
    if let Ok(stream) = returned.await
        && activity.input_left()
    {
        tokio::select! {
            () = linger(stream) => {}
            () = activity.evicted() => {}
            () = app.going_down() => {}
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Heads are timed by the connection's watchdog, which tells them from idle times.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_LIST)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

/// Takes note of what a connection ended by, as far as anybody has to know.
fn note_error(error: &(dyn Error + 'static), app: &App, activity: &Activity) {
    let Some(error) = error.downcast_ref::<hyper::Error>() else { return };
    if error.is_parse_too_large() {
        // hyper has answered with a bare 431 or 414.
        app.metrics.count_rejected(ProblemKind::TooLarge);
        app.metrics.count_limit(Limit::Headers);
    }
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) {
        app.metrics.stalled.inc();
        activity.cut();
    }
}

/// Tells a client that there are too many, without waiting for it.
fn refuse(stream: Raw) {
    // Best effort: a client that cannot take so little at once is closed without a word.
    let told = match stream {
        Raw::Tcp(stream) => stream.into_std().and_then(|mut stream| {
            stream.write_all(TOO_MANY)?;
            stream.shutdown(Shutdown::Write)
        }),
        Raw::Unix(stream) => stream.into_std().and_then(|mut stream| {
            stream.write_all(TOO_MANY)?;
            stream.shutdown(Shutdown::Write)
        }),
        // It could not read what is not encrypted.
        Raw::Tls(_) => Ok(()),
    };
    told.ok();
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` beside `0.0.0.0` is two addresses, not one.
        socket.set_only_v6(true)?;
    }
    // Of the last run's closed connections only; a second listener still fails.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process does already: stop it, or choose another address"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have it: choose one of its addresses"
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not: choose a port from 1024, or give it the right"
        }
        _ => "choose another address",
    }
}

/// How long connections may take to finish when the server goes down.
const DRAIN_TIME: Duration = Duration::from_secs(9);
/// Places beyond `limits.connections`, for unix sockets.
const UNIX_RESERVE: usize = 8;
/// How often the watchdog looks at a connection.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// As much as `limits.headers` may allow; what is larger is refused without being read.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADER_LIST: u32 = 64 * 1024;
const MAX_STREAMS: u32 = 100;
/// What a connection over the limit gets.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
content-type: application/problem+json\r\nretry-after: 10\r\n\
cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n\
{\"type\":\"urn:signpost:limit\",\"title\":\"A limit is reached\",\"status\":429,\
\"detail\":\"the limit connections is reached\"}";
