//! The `http` check: one request of HTTP/1.1, and what its reply says.
//!
//! Nothing that the other side sent is repeated anywhere: a check shows no one what they could not
//! ask for themselves.

use std::pin::pin;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::health::outcome::Outcome;
use crate::model::{HttpCheck, Status, StatusCodes};

/// Sends the request of `check`, and judges the reply. `host` is for where the check names none.
pub(super) async fn ask(stream: TcpStream, check: &HttpCheck, host: &str) -> Outcome {
    let Some(request) = request(check, host) else {
        return Outcome::critical("the request cannot be written");
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD).max_headers(HEADERS);
    let (mut sender, connection) = match builder.handshake(TokioIo::new(stream)).await {
        Ok(pair) => pair,
        Err(error) => return Outcome::critical(error.to_string()),
    };
    let mut exchange = pin!(async move {
        match sender.send_request(request).await {
            Ok(response) => judge(check, response).await,
            Err(error) => Outcome::critical(error.to_string()),
        }
    });
    // The connection moves only while it is polled, and is closed when this returns.
    tokio::select! {
        outcome = &mut exchange => return outcome,
        _ = connection => {}
    }
    exchange.await
}

fn request(check: &HttpCheck, host: &str) -> Option<Request<Empty<Bytes>>> {
    let host = check.host.as_ref().map_or(host, |host| host.as_str());
    let mut request = Request::new(Empty::new());
    *request.method_mut() = check.method.as_str().parse().ok()?;
    *request.uri_mut() = check.path.as_str().parse().ok()?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(host).ok()?);
    headers.insert(USER_AGENT, HeaderValue::from_static(USER));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in check.headers.iter() {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.insert(name, HeaderValue::from_str(value).ok()?);
    }
    Some(request)
}

async fn judge(check: &HttpCheck, response: Response<Incoming>) -> Outcome {
    let code = response.status();
    let has = |codes: &[StatusCodes]| codes.iter().any(|codes| codes.contains(code.as_u16()));
    // The words are ours, not the reply's.
    let said = match code.canonical_reason() {
        Some(reason) => format!("{} {reason}", code.as_str()),
        None => code.as_str().to_owned(),
    };
    let status = match (has(&check.expect), has(&check.warn)) {
        (true, _) => Status::Passing,
        (false, true) => Status::Warning,
        (false, false) => return Outcome::Said(Status::Critical, said),
    };
    let text = check.contains.as_ref().map_or("", |text| text.as_str());
    let found = match contains(response.into_body(), text.as_bytes()).await {
        Ok(found) => found,
        Err(error) => return Outcome::critical(format!("{said}, but then: {error}")),
    };
    if !found {
        return Outcome::critical(format!("{said}, but the body does not contain the text"));
    }
    Outcome::Said(status, said)
}

/// Whether `text` is in the first part of the body; an empty one always is. What comes after that is not waited for.
async fn contains(mut body: Incoming, text: &[u8]) -> hyper::Result<bool> {
    let mut read = Vec::new();
    let mut length = 0;
    let has = |read: &[u8]| text.is_empty() || read.windows(text.len()).any(|part| part == text);
    while length < BODY
        && let Some(frame) = body.frame().await
    {
        // Trailers are no part of it.
        let Ok(data) = frame?.into_data() else { continue };
        let data = &data[..data.len().min(BODY - length)];
        length += data.len();
        if !text.is_empty() {
            read.extend_from_slice(data);
        }
    }
    Ok(has(&read))
}

/// Bytes of a reply's head, and of its body that are read: 64 KiB in all.
const HEAD: usize = 16 * 1024;
const BODY: usize = 48 * 1024;
/// Header fields of a reply.
const HEADERS: usize = 100;
/// Who asks.
const USER: &str = concat!("signpost/", env!("CARGO_PKG_VERSION"), " (health check)");
