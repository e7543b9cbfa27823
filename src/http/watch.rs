//! `GET /v1/watch`: changes as server-sent events.
//!
//! A watcher is a place in the registry's journal, nothing more: it reads on from there when the
//! bell rings. What is not yet sent is bounded; one that does not read is cut by its connection, and
//! one that has fallen too far behind is ended. The last that is sent is a comment that says why.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use utoipa::ToSchema;

use crate::http::app::{App, Watcher};
use crate::http::caller::Admitted;
use crate::http::extract::{Given, Parameters, Query};
use crate::http::grant::Grant;
use crate::http::json::InstanceJson;
use crate::http::parting::{Parting, Reason, Witness};
use crate::http::problem::Problem;
use crate::model::{InstanceId, Millis, Revision, ServiceName, Settings};
use crate::registry::{self, Event, EventKind};

/// `GET /v1/watch`
pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    admitted: Admitted,
    Witness(witness): Witness,
    Query(Filter { service }): Query<Filter>,
) -> Result<Response, Problem> {
    let watcher = app.watcher(admitted.is_stranger())?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse().ok());
    let mut comments = tokio::time::interval(COMMENT_EVERY);
    comments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    comments.reset();
    let cursor = Cursor {
        bell: app.registry.journal().bell(),
        grant: Grant::new(&app, admitted),
        parting: Parting::new(&app, service.as_ref(), witness),
        app,
        _watcher: watcher,
        service,
        seen: last.map(Revision),
        begun: false,
        pending: Vec::new().into_iter(),
        comments,
    };
    let mut response = Body::new(Stream { next: Some(Box::pin(cursor.next())) }).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// What to watch.
pub(crate) struct Filter {
    /// `None`: everything.
    service: Option<ServiceName>,
}

impl Parameters for Filter {
    const NAMES: &'static [&'static str] = &["service"];

    fn read(given: &Given<'_>) -> Result<Self, Problem> {
        Ok(Self { service: given.value("service")? })
    }
}

/// Where a watcher is.
struct Cursor {
    app: Arc<App>,
    bell: watch::Receiver<Revision>,
    _watcher: Watcher,
    grant: Grant,
    parting: Parting,
    service: Option<ServiceName>,
    /// Everything up to here is sent or in `pending`; `None`: nothing is known of the past.
    seen: Option<Revision>,
    /// Whether anything was sent.
    begun: bool,
    /// Whole revisions, filtered.
    pending: std::vec::IntoIter<Arc<Event>>,
    comments: Interval,
}

impl Cursor {
    /// What to send next; `None` behind the last.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.parting.is_told() {
            return None;
        }
        let text = match self.piece().await {
            Ok(text) => text,
            Err(reason) => self.parting.tell(reason),
        };
        self.begun = true;
        Some((text, self))
    }

    /// The next events or a comment, or why there are no more.
    async fn piece(&mut self) -> Result<Bytes, Reason> {
        loop {
            if !self.grant.holds() {
                return Err(Reason::Revoked);
            }
            if self.pending.len() > 0 {
                return Ok(self.write_pending());
            }
            // Before reading, so that what is appended in between rings again.
            let newest = *self.bell.borrow_and_update();
            let journal = self.app.registry.journal();
            let Some(page) = self.seen.and_then(|seen| journal.page_after(seen, PAGE)) else {
                if self.begun {
                    return Err(Reason::FellBehind);
                }
                self.seen = Some(newest);
                return Ok(reset(newest));
            };
            if let Some(last) = page.last() {
                self.seen = Some(last.revision);
                let wanted =
                    |event: &Arc<Event>| self.service.as_ref().is_none_or(|s| *s == event.service);
                self.pending = page.into_iter().filter(wanted).collect::<Vec<_>>().into_iter();
                continue;
            }
            tokio::select! {
                rung = self.bell.changed() => rung.map_err(|_| Reason::Shutdown)?,
                _ = self.comments.tick() => return Ok(Bytes::from_static(b":\n\n")),
                () = self.grant.over() => return Err(Reason::Revoked),
                () = self.app.going_down() => return Err(Reason::Shutdown),
            }
        }
    }

    /// As much of what is pending as one write should carry.
    fn write_pending(&mut self) -> Bytes {
        let now = self.app.registry.clock().now();
        let mut text = Vec::with_capacity(512);
        while text.len() < CHUNK {
            let Some(event) = self.pending.next() else { break };
            let following = self.pending.as_slice().first();
            let last = following.is_none_or(|next| next.revision != event.revision);
            write_event(&mut text, &event, last, now);
        }
        text.into()
    }
}

fn reset(revision: Revision) -> Bytes {
    let mut text = Vec::new();
    write(&mut text, "reset", &Reset { revision }, Some(revision));
    text.into()
}

fn write_event(text: &mut Vec<u8>, event: &Event, last: bool, now: Millis) {
    let Event { revision, service, kind } = event;
    let revision = *revision;
    let id = last.then_some(revision);
    match kind {
        EventKind::Put(view) => {
            let instance = InstanceJson::new(view, now);
            write(text, "put", &Put { revision, service, instance }, id);
        }
        EventKind::Remove(instance, reason) => {
            let remove = Remove { revision, service, id: instance, reason: *reason };
            write(text, "remove", &remove, id);
        }
        EventKind::Service(settings) => {
            let settings = settings.as_ref();
            write(text, "service", &ServiceChange { revision, service, settings }, id);
        }
    }
}

fn write(text: &mut Vec<u8>, name: &str, data: &impl Serialize, id: Option<Revision>) {
    text.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
    serde_json::to_writer(&mut *text, data).expect("a vector takes all, our keys are strings");
    if let Some(id) = id {
        text.extend_from_slice(format!("\nid: {}", id.0).as_bytes());
    }
    text.extend_from_slice(b"\n\n");
}

#[derive(Serialize, ToSchema)]
#[schema(as = ResetEvent)]
pub(crate) struct Reset {
    revision: Revision,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PutEvent)]
pub(crate) struct Put<'a> {
    revision: Revision,
    service: &'a ServiceName,
    instance: InstanceJson<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RemoveEvent)]
pub(crate) struct Remove<'a> {
    revision: Revision,
    service: &'a ServiceName,
    id: &'a InstanceId,
    reason: registry::Reason,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServiceEvent)]
pub(crate) struct ServiceChange<'a> {
    revision: Revision,
    service: &'a ServiceName,
    /// Null: it is declared no more.
    #[schema(required)]
    settings: Option<&'a Settings>,
}

/// The events as a body: asked for the next piece only when the last one is on its way.
struct Stream {
    next: Option<NextPiece>,
}

type NextPiece = Pin<Box<dyn Future<Output = Option<(Bytes, Cursor)>> + Send>>;

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let piece = ready!(next.as_mut().poll(cx));
        let (text, cursor) = piece.unzip();
        self.next = cursor.map(|cursor| -> NextPiece { Box::pin(cursor.next()) });
        Poll::Ready(text.map(|text| Ok(Frame::data(text))))
    }
}

/// Proxies and clients give up on connections that are silent for longer.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How many events are taken from the journal at once, but always whole revisions.
const PAGE: usize = 512;
/// How many bytes are written at once, or one event more.
const CHUNK: usize = 64 * 1024;
