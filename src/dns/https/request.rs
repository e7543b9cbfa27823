//! What an HTTP request asks: a DNS message by POST or GET (RFC 8484 section 4.1), or a name and a
//! type for people. Anything else is refused, with the reason.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};

use crate::dns::https::json;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The DNS message, of which nothing is known but that it is not too long.
    pub(super) packet: Vec<u8>,
    pub(super) form: Form,
}

/// What the reply is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A DNS message.
    Wire,
    /// JSON, for people.
    Json,
}

/// Why a request gets no DNS reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("there is nothing here but {PATH}")]
    Path,
    #[error("only GET, HEAD and POST are answered here")]
    Method,
    #[error("the body has to be of the type {DNS_MESSAGE}")]
    MediaType,
    #[error("a DNS message has at most {MAX_MESSAGE} bytes")]
    TooLarge,
    #[error("{0}")]
    Query(String),
    #[error("this is not a DNS query")]
    NotDns,
    #[error("the body did not arrive")]
    Body,
    #[error("the body took too long")]
    Slow,
    #[error("earlier replies on this connection have to be taken first")]
    Untaken,
    #[error("this should have been answered, and was not")]
    Broken,
}

impl Refused {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Query(_) | Self::NotDns | Self::Body => StatusCode::BAD_REQUEST,
            Self::Untaken => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Reads the request. Takes as long as the body takes.
///
/// | method | parameter | question | reply |
/// |---|---|---|---|
/// | POST | | the body | JSON when asked for by `accept`, else DNS |
/// | GET, HEAD | `dns=` | the parameter | the same |
/// | GET, HEAD | `name=` | name and type | JSON |
///
/// # Errors
/// When there is no question in it.
pub(super) async fn asked<B>(head: &Parts, body: B) -> Result<Asked, Refused>
where
    B: Body<Data = Bytes> + Unpin,
{
    // First, whatever comes of it: over HTTP/2 a refusal that overtakes the body can get lost, as
    // what is left of it resets the stream.
    let body = read(body).await;
    if head.uri.path() != PATH {
        return Err(Refused::Path);
    }
    let form = if wants_json(&head.headers) { Form::Json } else { Form::Wire };
    match head.method {
        Method::POST => {
            let given = media_type(&head.headers, &CONTENT_TYPE);
            if given.is_none_or(|given| !given.eq_ignore_ascii_case(DNS_MESSAGE)) {
                return Err(Refused::MediaType);
            }
            Ok(Asked { packet: body?, form })
        }
        Method::GET | Method::HEAD => by_query(head.uri.query().unwrap_or(""), form),
        _ => Err(Refused::Method),
    }
}

fn by_query(query: &str, form: Form) -> Result<Asked, Refused> {
    let parameter = |name| json::parameter(query, name).map_err(Refused::Query);
    match (parameter("dns")?, parameter("name")?) {
        (Some(encoded), None) => {
            let packet = URL_SAFE_NO_PAD.decode(encoded.as_bytes()).map_err(|error| {
                Refused::Query(format!("dns= is not base64url without padding: {error}"))
            })?;
            if packet.len() > MAX_MESSAGE {
                return Err(Refused::TooLarge);
            }
            Ok(Asked { packet, form })
        }
        (None, Some(name)) => {
            let (rtype, subnet) = (parameter("type")?, parameter("edns_client_subnet")?);
            let packet = json::packet(&name, rtype.as_deref(), subnet.as_deref());
            Ok(Asked { packet: packet.map_err(Refused::Query)?, form: Form::Json })
        }
        (None, None) => Err(Refused::Query(format!("ask as {EXAMPLES}"))),
        (Some(_), Some(_)) => Err(Refused::Query(format!("two questions, ask as {EXAMPLES}"))),
    }
}

fn wants_json(headers: &HeaderMap) -> bool {
    media_type(headers, &ACCEPT).is_some_and(|first| first.eq_ignore_ascii_case(DNS_JSON))
}

/// The first media type of a header, without its parameters.
fn media_type<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split([',', ';']).next().map(str::trim)
}

/// The whole body. One that is too long is read on for a while, so that the client is listening
/// when it is told.
async fn read<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<Vec<u8>, Refused> {
    if body.size_hint().lower() > DISCARDED as u64 {
        return Err(Refused::TooLarge);
    }
    let (mut packet, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Refused::Body) };
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > DISCARDED {
            return Err(Refused::TooLarge);
        }
        if length <= MAX_MESSAGE {
            packet.extend(data);
        }
    }
    if length > MAX_MESSAGE { Err(Refused::TooLarge) } else { Ok(packet) }
}

/// Where questions are asked (RFC 8484 section 4.1.1 leaves it open; everybody has it here).
pub(super) const PATH: &str = "/dns-query";
/// RFC 8484 section 6.
pub(super) const DNS_MESSAGE: &str = "application/dns-message";
/// What Google and Cloudflare call the form that people read.
pub(super) const DNS_JSON: &str = "application/dns-json";
const MAX_MESSAGE: usize = 65_535;
/// How much of a body that is too long is read all the same.
const DISCARDED: usize = 8 << 20;
const EXAMPLES: &str = "?name=web.service.local&type=SRV, or as RFC 8484 has it, ?dns=AAAB...";
