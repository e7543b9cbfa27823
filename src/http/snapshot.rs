//! `GET /v1/snapshot`: everything durable as of one revision, for `signpost snapshot save`.
//!
//! The engine hands out what never changes; lines are made of it while the client takes them, so that
//! memory holds a piece of the text at a time, whatever the size of the registry.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::app::App;
use crate::http::extract::Plain;
use crate::http::problem::{Problem, ProblemKind};
use crate::model::Limit;
use crate::registry::{Capture, InstanceView, Source};
use crate::snapshot::{
    Entry, FORMAT, Header, MEDIA_TYPE, Operator, Override, Registered, VERSION, Writer,
};

/// `GET /v1/snapshot`
pub(crate) async fn take(State(app): State<Arc<App>>, _: Plain) -> Result<Response, Problem> {
    let Ok(place) = Arc::clone(&app.snapshots).try_acquire_owned() else {
        let detail = "another snapshot is being taken, try again when that is done";
        return Err(Problem::over(Limit::Snapshots, ProblemKind::Limit, detail));
    };
    let capture = app.registry.capture().await?;
    let unix_time = app.registry.clock().wall().as_secs();
    let zone = app.hooks.zone.clone();
    let lines = app.aside(true, move || Lines::new(capture, zone, unix_time, place)).await?;
    let mut response = Body::new(lines).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(response)
}

/// The lines as a body: made when the last piece is on its way.
struct Lines {
    /// What is written and not yet sent.
    text: Vec<u8>,
    /// `None` behind the last line.
    writer: Option<Writer>,
    entries: Box<dyn Iterator<Item = Entry> + Send>,
    _place: OwnedSemaphorePermit,
}

impl Lines {
    fn new(capture: Capture, zone: String, unix_time: u64, place: OwnedSemaphorePermit) -> Self {
        let Capture { revision, mut overrides, mut operators, owners, mut services } = capture;
        overrides.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        operators.sort_unstable_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        services.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let registered = |view: &&InstanceView| view.source == Source::Api;
        let views = services.iter().flat_map(|(_, views)| views.iter());
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            zone,
            revision,
            unix_time,
            overrides: overrides.len() as u64,
            operators: operators.len() as u64,
            instances: views.filter(registered).count() as u64,
        };
        let (mut text, mut writer) = (Vec::with_capacity(CHUNK), Writer::default());
        writer.header(&header, &mut text);
        let overrides = overrides
            .into_iter()
            .map(|(service, settings)| Entry::Override(Override { service, settings }));
        let operators = operators
            .into_iter()
            .map(|(service, id, state)| Entry::Operator(Operator { service, id, state }));
        let instances = services.into_iter().flat_map(move |(service, views)| {
            let owners = Arc::clone(&owners);
            (0..views.len()).filter_map(move |i| {
                let record = views[i].record(owners.of(&views[i]))?;
                let service = service.clone();
                Some(Entry::Instance(Registered { service, record }))
            })
        });
        let entries = Box::new(overrides.chain(operators).chain(instances));
        Self { text, writer: Some(writer), entries, _place: place }
    }
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(mut writer) = self.writer.take() else { return Poll::Ready(None) };
        let mut text = std::mem::take(&mut self.text);
        while text.len() < CHUNK {
            match self.entries.next() {
                Some(entry) => writer.entry(&entry, &mut text),
                None => {
                    writer.end(&mut text);
                    return Poll::Ready(Some(Ok(Frame::data(text.into()))));
                }
            }
        }
        self.writer = Some(writer);
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}

/// How many bytes are made at once, or one line more.
const CHUNK: usize = 64 * 1024;
