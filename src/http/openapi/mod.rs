//! `GET /openapi.json` and `GET /docs`: what the side-port takes and tells, as OpenAPI 3.1.
//!
//! Schemas are those of the types that serde reads and writes, needs come from the table of routes,
//! problems from that of their kinds; `instances`, `services` and `server` are tables of calls. Built
//! once, when somebody asks.

mod call;
mod instances;
mod kind;
mod page;
mod refusals;
mod schemas;
mod server;
mod services;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_FRAME_OPTIONS};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, InfoBuilder, License, OpenApi, OpenApiBuilder, Paths, ServerBuilder, Tag,
};
use utoipa::{PartialSchema, ToSchema};

use crate::http::app::App;
use crate::http::extract::Plain;
use crate::http::openapi::call::Call;
use crate::http::problem::Body;
use crate::model::Authentication;

/// `GET /openapi.json`
pub(crate) async fn document(State(app): State<Arc<App>>, _: Plain) -> Response {
    ([(CONTENT_TYPE, call::JSON)], Published::of(&app).document.clone()).into_response()
}

/// `GET /docs`
pub(crate) async fn page(State(app): State<Arc<App>>, _: Plain) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, Published::of(&app).page.clone()).into_response()
}

/// The document of one side-port in both its forms.
pub(crate) struct Published {
    document: Bytes,
    page: Bytes,
}

impl Published {
    fn of(app: &App) -> &Self {
        app.published.get_or_init(|| Self::new(app.access.authentication))
    }

    fn new(policy: Authentication) -> Self {
        let document = serde_json::to_value(describe(policy));
        let document = document.expect("the document has only string keys");
        Self { document: document.to_string().into(), page: page::render(&document).into() }
    }
}

/// The side-port, where this is who has to say who they are.
fn describe(policy: Authentication) -> OpenApi {
    let mut components = Components::new();
    components.add_security_scheme(call::TOKEN, token());
    let mut described = vec![(Body::name().into_owned(), Body::schema())];
    let (mut paths, mut tags) = (Paths::new(), Vec::new());
    for mut call in calls() {
        described.append(&mut call.schemas);
        if !tags.contains(&call.tag) {
            tags.push(call.tag);
        }
        let (path, method) = (call.route.path(), call.method.clone());
        paths.add_path_operation(path, vec![method], call.operation(policy));
    }
    components.schemas.extend(described);
    for (name, response) in refusals::shared() {
        components.responses.insert(name, response.into());
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("signpost")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .license(Some(License::new(env!("CARGO_PKG_LICENSE")))),
        )
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .tags(Some(tags.into_iter().map(Tag::new)))
        .paths(paths)
        .components(Some(components))
        .build()
}

fn calls() -> Vec<Call> {
    [instances::calls(), services::calls(), server::calls()].into_iter().flatten().collect()
}

fn token() -> SecurityScheme {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A token that `signpost token create` made. Needed where the configuration says \
         `auth.required`, unless a client certificate does instead; one that is shown must hold, also \
         where none is needed.",
    ));
    SecurityScheme::Http(scheme.build())
}

/// Nothing but the page itself and its own style, and in no frame.
const POLICY: &str = "default-src 'none'; style-src 'sha256-YeGRr3cLUw6lyosD2WfhyKspebPckZn/vV/qUvm3SVE='; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const ABOUT: &str = "The side-port of signpost: services register over HTTP, clients find them over \
                     DNS. Bodies are JSON; errors are problems of RFC 9457, with the field at fault.";

#[cfg(test)]
mod tests;
