//! One connection of a client that waits for each reply: HTTP/1.1, or HTTP/2 where that is spoken.

use std::io;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// An open connection.
pub(crate) enum Caller {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Caller {
    /// Connects, for HTTP/1.1.
    pub(crate) async fn http1(server: SocketAddr) -> io::Result<Self> {
        let (sender, connection) =
            http1::handshake(stream(server).await?).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    /// Connects, for HTTP/2 without TLS.
    pub(crate) async fn http2(server: SocketAddr) -> io::Result<Self> {
        let stream = stream(server).await?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self::Http2(sender))
    }

    /// Sends a request, waits for its reply, and gives its body.
    ///
    /// # Errors
    /// When the connection fails or the reply is an error, also one of gRPC.
    pub(crate) async fn call(&mut self, request: Request<Full<Bytes>>) -> io::Result<Bytes> {
        let response = match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        };
        let response: Response<_> = response.map_err(io::Error::other)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(io::Error::other)?;
        // gRPC says how it went after the body.
        let grpc = body.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned();
        let good = matches!(status, StatusCode::OK | StatusCode::CREATED);
        if !good || grpc.as_ref().is_some_and(|code| code != "0") {
            return Err(io::Error::other(format!("{status} {grpc:?} {:?}", body.to_bytes())));
        }
        Ok(body.to_bytes())
    }
}

async fn stream(server: SocketAddr) -> io::Result<TokioIo<TcpStream>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}
