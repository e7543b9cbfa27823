//! The HTTP side of a reply: status, media type, how long it may be cached.

use hyper::body::Body;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

use crate::dns::https::content::Content;
use crate::dns::https::freshness::freshness;
use crate::dns::https::json;
use crate::dns::https::request::{DNS_JSON, DNS_MESSAGE, Form, Refused};

/// A reply. 200 whatever it says: HTTP has delivered it (RFC 8484 section 4.2.1).
///
/// # Errors
/// When JSON is wanted, and the reply cannot be read back.
pub(super) fn reply(reply: Vec<u8>, form: Form) -> Result<Response<Content>, Refused> {
    let cache_control = match freshness(&reply) {
        Some(seconds) => HeaderValue::from_str(&format!("max-age={seconds}"))
            .unwrap_or(HeaderValue::from_static(NO_STORE)),
        None => HeaderValue::from_static(NO_STORE),
    };
    let (media_type, body) = match form {
        Form::Wire => (DNS_MESSAGE, reply),
        Form::Json => (DNS_JSON, json::reply(&reply).ok_or(Refused::Broken)?),
    };
    Ok(response(StatusCode::OK, media_type, cache_control, body))
}

/// A request that got no DNS reply.
pub(super) fn refusal(refused: &Refused) -> Response<Content> {
    let no_store = HeaderValue::from_static(NO_STORE);
    let body = format!("{refused}\n").into_bytes();
    let mut response = response(refused.status(), "text/plain", no_store, body);
    if *refused == Refused::Method {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}

/// Takes the body away from HEAD, which is told its length all the same (RFC 9110 section 9.3.2).
pub(super) fn for_method(mut response: Response<Content>, method: &Method) -> Response<Content> {
    if *method == Method::HEAD {
        let length = response.body().size_hint().exact().unwrap_or(0);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Content::default();
    }
    response
}

fn response(
    status: StatusCode,
    media_type: &'static str,
    cache_control: HeaderValue,
    body: Vec<u8>,
) -> Response<Content> {
    let mut response = Response::new(Content::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, cache_control);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

const NO_STORE: &str = "no-store";
