//! The `grpc` check: the standard health service, over HTTP/2 without TLS.
//!
//! h2 and not hyper, whose HTTP/2 goes on in a task of its own: here all of it ends with the probe.

use std::pin::pin;

use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, TE};
use hyper::{HeaderMap, Request, StatusCode};
use tokio::net::TcpStream;

use crate::health::grpc_message::{self, Answer};
use crate::health::outcome::Outcome;
use crate::model::Status;

/// Asks the server for the state of `service`; empty: of itself.
pub(super) async fn ask(stream: TcpStream, service: &str, host: &str) -> Outcome {
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(HEAD).initial_window_size(MESSAGE);
    let (client, connection) = match builder.handshake(stream).await {
        Ok(pair) => pair,
        Err(error) => return not_grpc(&error),
    };
    let mut call = pin!(async move {
        call(client, service, host).await.unwrap_or_else(|error| not_grpc(&error))
    });
    // The connection moves only while it is polled, and is closed when this returns.
    tokio::select! {
        outcome = &mut call => return outcome,
        _ = connection => {}
    }
    call.await
}

async fn call(client: SendRequest<Bytes>, service: &str, host: &str) -> Result<Outcome, h2::Error> {
    let mut client = client.ready().await?;
    let request = Request::post(format!("http://{host}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(());
    let Ok(request) = request else {
        return Ok(Outcome::critical("the request cannot be written"));
    };
    let (response, mut body) = client.send_request(request, false)?;
    body.send_data(grpc_message::request(service).into(), true)?;
    let (head, mut body) = response.await?.into_parts();
    if head.status != StatusCode::OK {
        return Ok(Outcome::critical(format!("HTTP status {}", head.status.as_str())));
    }
    // A reply of nothing but an error has it in its head.
    if let Some(failed) = failed(&head.headers) {
        return Ok(failed);
    }
    let Some(message) = message(&mut body).await? else {
        return Ok(Outcome::critical("a reply that is too long"));
    };
    if let Some(failed) = body.trailers().await?.as_ref().and_then(failed) {
        return Ok(failed);
    }
    Ok(match grpc_message::reply(&message) {
        Some(Answer::Serving) => Outcome::Said(Status::Passing, Answer::Serving.name().into()),
        Some(other) => Outcome::critical(other.name()),
        None => Outcome::critical("not a reply of grpc.health.v1"),
    })
}

/// The whole body; `None` when it is larger than any reply.
async fn message(body: &mut RecvStream) -> Result<Option<Vec<u8>>, h2::Error> {
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if message.len() + data.len() > MESSAGE as usize {
            return Ok(None);
        }
        body.flow_control().release_capacity(data.len())?;
        message.extend_from_slice(&data);
    }
    Ok(Some(message))
}

/// What a status other than OK means; `None` when there is none.
fn failed(headers: &HeaderMap) -> Option<Outcome> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse::<u8>();
    let name = match code {
        Ok(0) => return None,
        Ok(5) => "NOT_FOUND: no such service",
        Ok(12) => "UNIMPLEMENTED: no grpc.health.v1",
        Ok(14) => "UNAVAILABLE",
        Ok(16) => "UNAUTHENTICATED",
        Ok(code) => return Some(Outcome::critical(format!("gRPC status {code}"))),
        Err(_) => "no gRPC status",
    };
    Some(Outcome::critical(name))
}

fn not_grpc(error: &h2::Error) -> Outcome {
    Outcome::critical(format!("no HTTP/2: {error}"))
}

/// Bytes of the headers of a reply, and of its message.
const HEAD: u32 = 16 * 1024;
const MESSAGE: u32 = 16 * 1024;
