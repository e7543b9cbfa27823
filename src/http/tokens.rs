//! `/v1/tokens`: make, list and revoke tokens. A token itself is told once, to who made it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rand::TryRng;
use rand::rngs::SysRng;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::app::App;
use crate::http::body::{Json, Payload};
use crate::http::call::Call;
use crate::http::extract::{Plain, TokenPath};
use crate::http::json::reply;
use crate::http::problem::{Problem, ProblemKind};
use crate::model::{
    Identity, Label, Network, Scope, Scopes, Secret, ServicePattern, Token, TokenId, TokenSpec,
    rfc3339,
};
use crate::registry::Refusal;

impl Payload for TokenSpec {}

/// `POST /v1/tokens`
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    call: Call,
    Json(spec): Json<TokenSpec>,
) -> Result<Response, Problem> {
    let secret = new_secret().map_err(|error| {
        Problem::new(ProblemKind::Unavailable, format!("the system gives no randomness: {error}"))
    })?;
    let token = spec.build(&secret, app.registry.clock().wall()).map_err(Refusal::from)?;
    let json = TokenJson::new(&token);
    call.registry(&app).add_token(token.clone()).await?;
    tracing::info!(id = %token.id(), name = %token.identity.name, scopes = %token.identity.scopes, "token made");
    Ok(reply(StatusCode::CREATED, &Created { token: secret.as_str(), about: json }))
}

/// A token that nobody can guess, by the system's own randomness.
///
/// # Errors
/// When the system has none to give.
pub fn new_secret() -> Result<Secret, std::io::Error> {
    let mut random = [0; 32];
    SysRng.try_fill_bytes(&mut random).map_err(std::io::Error::other)?;
    Ok(Secret::of(random))
}

/// `GET /v1/tokens`
pub(crate) async fn list(State(app): State<Arc<App>>, _: Plain) -> Response {
    let tokens = app.registry.tokens();
    reply(
        StatusCode::OK,
        &List { tokens: tokens.iter().map(|token| TokenJson::new(token)).collect() },
    )
}

/// `DELETE /v1/tokens/{id}`
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    TokenPath(id): TokenPath,
    call: Call,
    _: Plain,
) -> Result<Response, Problem> {
    call.registry(&app).revoke_token(id).await?;
    tracing::info!(%id, "token revoked");
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = TokenCreated)]
pub(crate) struct Created<'a> {
    token: &'a str,
    #[serde(flatten)]
    about: TokenJson<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TokenList)]
pub(crate) struct List<'a> {
    tokens: Vec<TokenJson<'a>>,
}

/// What is told of a token.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenJson<'a> {
    id: TokenId,
    name: &'a Label,
    #[schema(value_type = Vec<Scope>)]
    scopes: &'a Scopes,
    services: &'a [ServicePattern],
    networks: &'a [Network],
    #[schema(format = DateTime)]
    created_at: String,
    /// Null: it holds until it is revoked.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
}

impl<'a> TokenJson<'a> {
    fn new(token: &'a Token) -> Self {
        let time = |seconds| rfc3339(Duration::from_secs(seconds));
        let Identity { name, scopes, services, networks } = &token.identity;
        Self {
            id: token.id(),
            name,
            scopes,
            services,
            networks,
            created_at: time(token.created),
            expires_at: token.expires.map(time),
        }
    }
}
