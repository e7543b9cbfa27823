//! `token`: make, list and revoke tokens by a running server. Made offline they are `main`'s matter.

use ureq::http::Method;

use crate::cli::args::{NewToken, OutputFormat};
use crate::cli::client::{Call, Client, encode};
use crate::cli::error::ClientError;
use crate::cli::output::{print, print_error, printable};
use crate::cli::replies::{TokenCreated, TokenList};
use crate::cli::table::Layout;
use crate::model::TokenSpec;

impl From<NewToken> for TokenSpec {
    fn from(token: NewToken) -> Self {
        let NewToken { name, scopes, services, networks, ttl, .. } = token;
        Self { name, scopes: scopes.into_iter().collect(), services, networks, ttl }
    }
}

/// Makes a token: it alone goes to stdout.
pub(super) fn create(
    client: &Client,
    output: OutputFormat,
    token: NewToken,
) -> Result<(), ClientError> {
    let action = format!("make a token for {}", token.name);
    let call = Call::new(Method::POST, action, "/v1/tokens".into()).json(&TokenSpec::from(token));
    let reply = client.call(call)?;
    output.show(&reply, |made: &TokenCreated, _| {
        print_error(&format!("signpost: {}\n", told_once(&made.id, &made.name)));
        printable(&made.token) + "\n"
    })
}

/// What to say beside a new token.
pub(super) fn told_once(id: &str, name: &str) -> String {
    printable(&format!("token {id} of {name} is made; it is not shown again"))
}

/// Lists all tokens, without what they are.
pub(super) fn list(client: &Client, output: OutputFormat) -> Result<(), ClientError> {
    let call = Call::new(Method::GET, "list the tokens", "/v1/tokens".into());
    output.show(&client.call(call)?, table)
}

/// Ends a token at once.
pub(super) fn revoke(client: &Client, output: OutputFormat, id: &str) -> Result<(), ClientError> {
    let path = format!("/v1/tokens/{}", encode(id));
    client.call(Call::new(Method::DELETE, format!("revoke the token {id}"), path))?;
    match output {
        OutputFormat::Table => print(&(printable(&format!("token {id} is revoked")) + "\n")),
        OutputFormat::Json => Ok(()),
    }
}

fn table(list: &TokenList, layout: Layout) -> String {
    let header = ["ID", "NAME", "SCOPES", "SERVICES", "NETWORKS", "CREATED", "EXPIRES"];
    let rows = list.tokens.iter().map(|token| {
        [
            token.id.clone(),
            token.name.clone(),
            layout.list(&token.scopes),
            layout.list(&token.services),
            layout.list(&token.networks),
            token.created_at.clone(),
            token.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
        ]
    });
    layout.table(header, rows)
}
