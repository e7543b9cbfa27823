//! The HTTP client: one call, one reply, or an error that says what was being done.
//!
//! Blocking, without proxies or redirects: a registry is spoken to directly. It knows paths
//! and problem documents, not what the commands do with a reply.

use std::io::Read;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderValue, Method, Request, Response, header};
use ureq::tls::TlsConfig;
use ureq::{Agent, AsSendBody, Body};

use crate::cli::args::TrustArgs;
use crate::cli::error::{ClientError, Problem};
use crate::cli::server_url::ServerUrl;
use crate::cli::{trust, unix};

/// A server, ready to be called.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    server: ServerUrl,
    authorization: Option<HeaderValue>,
}

/// A call that is to be made.
#[derive(Debug)]
pub(super) struct Call {
    /// What it does, for errors: "list web".
    action: String,
    method: Method,
    /// Path and query, encoded.
    path: String,
    body: Option<Vec<u8>>,
}

/// What the server said to a call that it did.
#[derive(Debug)]
pub(super) struct Reply {
    /// 2xx.
    pub(super) status: u16,
    /// The body as it came; empty for 204.
    pub(super) body: String,
    action: String,
    server: String,
}

impl Client {
    /// A client of `server` that shows it `authorization`, and trusts as `trust` says.
    ///
    /// # Errors
    /// When a file of certificates cannot be used, or the token would cross a network in the clear.
    pub(super) fn new(
        server: ServerUrl,
        authorization: Option<HeaderValue>,
        trust: &TrustArgs,
    ) -> Result<Self, ClientError> {
        if authorization.is_some() && !server.keeps_secrets() && !trust.insecure_token {
            return Err(ClientError::InClear { server: server.to_string() });
        }
        // Reading what the system trusts takes its time.
        let tls = if server.encrypts() { trust::config(trust)? } else { TlsConfig::default() };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(CALL_TIMEOUT))
            .user_agent(concat!("signpost/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        let agent = match server.socket() {
            Some(path) => unix::agent(config, path.to_owned()),
            None => config.new_agent(),
        };
        Ok(Self { agent, server, authorization })
    }

    pub(super) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Makes `call`.
    ///
    /// # Errors
    /// When the server cannot be reached, does not reply in time, or refuses.
    pub(super) fn call(&self, call: Call) -> Result<Reply, ClientError> {
        let (status, body) = match self.exchange(&call) {
            Ok(exchanged) => exchanged,
            Err(error) => return Err(self.failed(call.action, error)),
        };
        if (200..300).contains(&status) {
            let server = self.server.to_string();
            return Ok(Reply { status, body, action: call.action, server });
        }
        Err(self.refused(call.action, status, &body))
    }

    /// Makes `call`, whose reply is read piece by piece and may be of any size.
    ///
    /// # Errors
    /// As [`Self::call`]; what goes wrong with the body is told by the reader.
    pub(super) fn stream(&self, call: Call) -> Result<impl Read, ClientError> {
        let (status, mut body) = match self.send(&call, STREAM_TIMEOUT) {
            Ok(response) => (response.status().as_u16(), response.into_body()),
            Err(error) => return Err(self.failed(call.action, error)),
        };
        if (200..300).contains(&status) {
            return Ok(body.into_reader());
        }
        match body.with_config().limit(MAX_REPLY).read_to_string() {
            Ok(body) => Err(self.refused(call.action, status, &body)),
            Err(error) => Err(self.failed(call.action, error)),
        }
    }

    fn refused(&self, action: String, status: u16, body: &str) -> ClientError {
        let server = self.server.to_string();
        match serde_json::from_str::<Box<Problem>>(body) {
            Ok(problem) => ClientError::Refused { server, action, status, problem },
            Err(_) => {
                let reason = format!("it replied with status {status}");
                ClientError::Unexpected { server, action, reason }
            }
        }
    }

    fn exchange(&self, call: &Call) -> Result<(u16, String), ureq::Error> {
        let mut response = self.send(call, CALL_TIMEOUT)?;
        let body = response.body_mut().with_config().limit(MAX_REPLY).read_to_string()?;
        Ok((response.status().as_u16(), body))
    }

    fn send(&self, call: &Call, within: Duration) -> Result<Response<Body>, ureq::Error> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.server.base(), call.path))
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        // RFC 9110 section 8.6: a PUT or POST says that it has no content.
        let content: &[u8] = match (&call.body, &call.method) {
            (Some(body), _) => {
                let request = request.header(header::CONTENT_TYPE, "application/json");
                return self.run(request.body(body.as_slice())?, within);
            }
            (None, &Method::PUT | &Method::POST) => &[],
            (None, _) => return self.run(request.body(())?, within),
        };
        self.run(request.body(content)?, within)
    }

    fn run(
        &self,
        request: Request<impl AsSendBody>,
        within: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = self.agent.configure_request(request).timeout_global(Some(within)).build();
        self.agent.run(request)
    }

    fn failed(&self, action: String, error: ureq::Error) -> ClientError {
        use std::io::ErrorKind;

        let server = self.server.to_string();
        let unreachable =
            |reason: String| ClientError::Unreachable { server: server.clone(), reason };
        match error {
            ureq::Error::HostNotFound => unreachable("host not found".into()),
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                unreachable(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))
            }
            ureq::Error::Timeout(_) => {
                let reason = format!("no reply within {} s", CALL_TIMEOUT.as_secs());
                ClientError::NoReply { server, action, reason }
            }
            ureq::Error::Io(error) => match error.kind() {
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    let reason = "the connection was closed before the reply".into();
                    ClientError::NoReply { server, action, reason }
                }
                // What TLS says of certificates and alerts.
                ErrorKind::InvalidData if error.get_ref().is_some() => {
                    ClientError::Tls { server: server.clone(), reason: error.to_string() }
                }
                // A kind without a name of its own is only told by the error itself.
                kind => match kind.to_string() {
                    text if text.contains("error") => unreachable(error.to_string()),
                    text => unreachable(text),
                },
            },
            other => {
                let reason = other.to_string();
                ClientError::Unexpected { server, action, reason }
            }
        }
    }
}

impl Call {
    pub(super) fn new(method: Method, action: impl Into<String>, path: String) -> Self {
        Self { action: action.into(), method, path, body: None }
    }

    /// With `body` as its JSON.
    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        let json = serde_json::to_vec(body).expect("arguments are strings, numbers and lists");
        self.body = Some(json);
        self
    }
}

impl Reply {
    /// The body as a `T`.
    ///
    /// # Errors
    /// When it is none, which is not what a signpost server would say.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_str(&self.body).map_err(|error| ClientError::Unexpected {
            server: self.server.clone(),
            action: self.action.clone(),
            reason: format!("the reply (status {}) is not as described: {error}", self.status),
        })
    }
}

/// `text` as one segment of a path, or one value of a query (RFC 3986 section 2.3): everything but
/// unreserved characters is escaped, so that no id can become another path.
pub(super) fn encode(text: &str) -> String {
    // Segments of dots would be resolved away by what is between here and the server.
    let only_dots = text.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
        if plain || (byte == b'.' && !only_dots) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A million instances are a minute on a slow network.
const STREAM_TIMEOUT: Duration = Duration::from_secs(3600);

/// A list of 100,000 services, or of 50,000 instances, is some 30 MiB.
const MAX_REPLY: u64 = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_become_another_path() {
        for (text, encoded) in [
            ("web-1_a", "web-1_a"),
            ("web.service.local", "web.service.local"),
            ("a/b", "a%2Fb"),
            ("..", "%2E%2E"),
            ("a?b#c%d e", "a%3Fb%23c%25d%20e"),
            ("\u{fc}", "%C3%BC"),
        ] {
            assert_eq!(encode(text), encoded, "{text}");
        }
    }
}
