//! JSON bodies: media type, size and form are checked, and errors name the field by its full path.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, Version};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::http::app::App;
use crate::http::budget::Held;
use crate::http::caller::Admitted;
use crate::http::connection::Activity;
use crate::http::extract::Given;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::shape;
use crate::model::Limit;

/// A call with a body and without a query.
pub(crate) struct Json<T>(pub(crate) T);

/// What a body may be.
pub(crate) trait Payload: DeserializeOwned + Send + 'static {
    /// Whether the larger limit of bulk calls holds.
    const BULK: bool = false;
    /// Whether it may also be sent as a merge patch.
    const MERGE_PATCH: bool = false;
    /// Whether it is a list; else it is an object.
    const LIST: bool = false;

    /// What no body stands for; `None`: a body is needed.
    fn absent() -> Option<Self> {
        None
    }

    /// How many items it has.
    fn items(&self) -> usize {
        1
    }
}

impl<T: Payload> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, mut body) = request.into_parts();
        Given::parse(parts.uri.query(), &[])?;
        let limits = app.limits.load_full();
        let room = if T::BULK {
            Room { bytes: limits.bulk_body, limit: Limit::BulkBody, time: limits.request_time }
        } else {
            Room { bytes: limits.body, limit: Limit::Body, time: limits.request_time }
        };
        // Until it is a value: what handlers hand on is bounded elsewhere.
        let mut held = app.budget.hold(limits.in_flight, parts.extensions.get::<Arc<Activity>>());
        let bytes = match read(&mut body, room, &mut held).await {
            Err(problem) if parts.version == Version::HTTP_2 && !problem.is_late() => {
                discard(body, limits.request_time).await;
                return Err(problem);
            }
            read => read?,
        };
        // Half a body may wait for long; what it was let in by may be gone.
        let admitted = Admitted::of(&parts.extensions);
        admitted.check(app)?;
        if bytes.is_empty() {
            let missing = || Problem::invalid("body", "a JSON body is needed");
            return T::absent().map(Self).ok_or_else(missing);
        }
        // Not before: an empty body sent in chunks needs no media type.
        check_media_type::<T>(&parts.headers)?;
        let large = bytes.len() > LARGE;
        let value: T = app.aside(large, move || parse(&bytes)).await??;
        if large {
            // There is a line.
            admitted.check(app)?;
        }
        if T::BULK && value.items() > limits.bulk_items {
            let (items, most) = (value.items(), limits.bulk_items);
            let detail = format!("{items} items, at most {most} are allowed");
            return Err(Problem::over(Limit::BulkItems, ProblemKind::TooLarge, detail));
        }
        Ok(Self(value))
    }
}

/// Makes sure that `request` has no body.
pub(crate) async fn refuse(request: Request, app: &App) -> Result<(), Problem> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    let (parts, mut body) = request.into_parts();
    let limits = app.limits.load_full();
    let room = Room { bytes: 0, limit: Limit::Body, time: limits.request_time };
    match read(&mut body, room, &mut app.budget.hold(limits.in_flight, None)).await {
        Ok(_) => Admitted::of(&parts.extensions).check(app),
        Err(late) if late.is_late() => Err(late),
        Err(_) => Err(Problem::invalid("body", "this call takes none")),
    }
}

/// What a body may take.
#[derive(Clone, Copy)]
struct Room {
    bytes: usize,
    /// Which limit that is.
    limit: Limit,
    time: Duration,
}

fn check_media_type<T: Payload>(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    let patch = T::MERGE_PATCH && is("application/merge-patch+json");
    if !patch && !is("application/json") {
        let detail = format!("the content type is {given:?}, send application/json");
        return Err(Problem::new(ProblemKind::MediaType, detail));
    }
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(ProblemKind::MediaType, "a content encoding is not supported"));
    }
    Ok(())
}

/// The whole body, when there is room for it and it arrives in time.
async fn read(body: &mut Body, room: Room, held: &mut Held) -> Result<Bytes, Problem> {
    let Room { bytes: max, limit, time } = room;
    let too_large = || {
        let detail = format!("at most {max} bytes are allowed");
        Problem::over(limit, ProblemKind::TooLarge, detail)
    };
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(time, collect(body, max, held)).await {
        Ok(collected) => collected?.ok_or_else(too_large),
        Err(_) => Err(Problem::late(time)),
    }
}

/// All data of `body`, or `None` when there is more than `max`.
async fn collect(body: &mut Body, max: usize, held: &mut Held) -> Result<Option<Bytes>, Problem> {
    let cut = |error| Problem::invalid("body", &format!("cannot be read: {error}"));
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that anybody asked for.
        let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > max {
            return Ok(None);
        }
        // What is left of it is not read.
        held.grow(data.len()).map_err(Problem::closing)?;
        if first.is_empty() && all.is_empty() {
            // Almost every body arrives in one piece, and is not copied.
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(Some(if all.is_empty() { first } else { all.into() }))
}

/// Reads what is left of a body and forgets it. On HTTP/1.1 the connection does so after the reply;
/// clients of HTTP/2 take a reply before the end of their body for a failure.
pub(crate) async fn discard(mut body: Body, time: Duration) {
    let left = async {
        let mut size = 0;
        while let Some(Ok(frame)) = body.frame().await {
            size += frame.data_ref().map_or(0, Bytes::len);
            if size > MAX_DISCARD {
                break;
            }
        }
    };
    // What has not arrived by then is not waited for.
    tokio::time::timeout(time, left).await.ok();
}

fn parse<T: Payload>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| field_problem(&field_path(error.path()), &error.inner().to_string()))?;
    deserializer.end().map_err(|error| Problem::invalid("body", &error.to_string()))?;
    if let Some((path, reason)) = shape::misplaced(bytes, T::LIST) {
        let field = if path.is_empty() { "body".to_owned() } else { path };
        return Err(Problem::invalid(field, reason));
    }
    Ok(value)
}

/// The path of a field, `ports[0].name`; empty for the whole.
fn field_path(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            // A key that is cut off or no string.
            Segment::Unknown => {}
        }
    }
    text
}

/// The problem of a value at `path`. Only the beginning of serde's message tells the cases apart.
fn field_problem(path: &str, message: &str) -> Problem {
    // Line and column help to find a slip of syntax; a field is found by its name.
    let message = match message.rsplit_once(" at line ") {
        Some((reason, _)) if !path.is_empty() => reason,
        _ => message,
    };
    if message.starts_with("unknown field `") {
        return Problem::of(ProblemKind::UnknownField, path, message);
    }
    // These two are errors of the object, so that its path lacks the field.
    let named =
        ["missing field `", "duplicate field `"].iter().find_map(|s| message.strip_prefix(s));
    let field = match named.and_then(|rest| rest.split_once('`')) {
        Some((name, _)) if path.is_empty() => name.to_owned(),
        Some((name, _)) => format!("{path}.{name}"),
        None if path.is_empty() => "body".to_owned(),
        None => path.to_owned(),
    };
    Problem::invalid(field, message)
}

/// A body whose parsing takes about a millisecond.
const LARGE: usize = 256 * 1024;
/// What is read of a body that is refused.
const MAX_DISCARD: usize = 64 << 20;
