//! Agrees on keys with a client that has just connected.
//!
//! The connection has its place already, and one that can be taken away: who has not said anything
//! yet is idle. Nothing is ever said in the clear but that this is no place for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::http::app::App;
use crate::http::clients::Proved;
use crate::http::connection::linger;
use crate::http::peer::Peer;
use crate::http::stream::Stream;
use crate::net::connections::Place;
use crate::net::tls::Presented;

/// The connection on which HTTP is spoken, and who is at its other end; `None` when it is over.
pub(crate) async fn agree(stream: TcpStream, place: &Place, app: &App) -> Option<(Stream, Peer)> {
    let agreed = tokio::select! {
        biased;
        () = app.going_down() => return None,
        () = place.evicted() => return None,
        agreed = timeout(HANDSHAKE_TIME, accept(stream, app)) => agreed.ok(),
    };
    let failed = match agreed {
        Some(Ok(stream)) => {
            let presented = Presented::of(stream.get_ref().1);
            let certificate = presented.map(|presented| Arc::new(Proved::new(presented)));
            let peer = Peer { encrypted: true, certificate };
            return Some((Stream::Tls(Box::new(stream)), peer));
        }
        Some(Err(stream)) => stream,
        None => None,
    };
    app.metrics.tls_failures.inc();
    if let Some(stream) = failed {
        // So that it reads why.
        tokio::select! {
            () = linger(Stream::Tcp(stream)) => {}
            () = place.evicted() => {}
            () = app.going_down() => {}
        }
    }
    None
}

/// Hands the socket back where there is anything that its client should read.
async fn accept(
    mut stream: TcpStream,
    app: &App,
) -> Result<TlsStream<TcpStream>, Option<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await.is_ok_and(|length| length == 1 && is_http(first[0])) {
        return Err(stream.write_all(NO_TLS).await.is_ok().then_some(stream));
    }
    let config = app.access.clients.load().config();
    let agreed = TlsAcceptor::from(config).accept(stream).into_fallible().await;
    agreed.map_err(|(_, stream)| Some(stream))
}

/// Whether `first` begins the head of a request; a handshake begins with 22 (RFC 8446 section 5.1).
fn is_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}

const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// What plain HTTP gets.
const NO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: application/problem+json\r\n\
cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n\
{\"type\":\"urn:signpost:invalid\",\"title\":\"The request is not valid\",\"status\":400,\
\"detail\":\"this address speaks TLS: call it by https://\"}";
