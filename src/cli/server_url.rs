//! Where the server is: what `--server` and `SIGNPOST_SERVER` may say.
//!
//! A bare `host:port` means http; a path is kept as the prefix of every call, for servers behind
//! a reverse proxy. TLS is not in this version, so https is refused rather than downgraded.

use std::fmt;
use std::str::FromStr;

use ureq::http::Uri;

/// The base of every call: scheme, authority and perhaps a path, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerUrl {
    text: String,
    host: String,
}

impl ServerUrl {
    /// The host alone, an IPv6 address without its brackets: what `dig @` takes.
    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;
    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let rest = match text.trim().split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(ServerUrlError::Https);
            }
            Some((scheme, _)) => return Err(ServerUrlError::Scheme(scheme.to_owned())),
            None => text.trim(),
        };
        if rest.contains(['?', '#', '@']) {
            return Err(ServerUrlError::Extra);
        }
        let text = format!("http://{}", rest.trim_end_matches('/'));
        let uri: Uri = text.parse().map_err(|_| ServerUrlError::Form)?;
        let host = uri.host().ok_or(ServerUrlError::Form)?.trim_matches(['[', ']']);
        // A port that is no number is still an authority to `Uri`.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let port_is_given = authority.rsplit_once(':').is_some_and(|(_, p)| !p.ends_with(']'));
        if host.is_empty() || (port_is_given && uri.port_u16().is_none()) {
            return Err(ServerUrlError::Form);
        }
        let host = host.to_owned();
        Ok(Self { text, host })
    }
}

/// Why a text does not say where a server is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ServerUrlError {
    #[error("https is not available in this version, write http://HOST:PORT")]
    Https,
    #[error("{0} is not a scheme that signpost speaks, write http://HOST:PORT")]
    Scheme(String),
    #[error("credentials, queries and fragments have no meaning here, write http://HOST:PORT")]
    Extra,
    #[error("write http://HOST:PORT, an IPv6 address in brackets: http://[::1]:8054")]
    Form,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_form_becomes_one_base() {
        for (text, base, host) in [
            ("http://127.0.0.1:8054", "http://127.0.0.1:8054", "127.0.0.1"),
            ("http://127.0.0.1:8054/", "http://127.0.0.1:8054", "127.0.0.1"),
            ("127.0.0.1:8054", "http://127.0.0.1:8054", "127.0.0.1"),
            ("localhost:8054", "http://localhost:8054", "localhost"),
            ("ns1.example", "http://ns1.example", "ns1.example"),
            ("HTTP://ns1:80", "http://ns1:80", "ns1"),
            ("[::1]:8054", "http://[::1]:8054", "::1"),
            ("http://[::1]", "http://[::1]", "::1"),
            ("http://proxy/signpost/", "http://proxy/signpost", "proxy"),
        ] {
            let server: ServerUrl = text.parse().unwrap();

            assert_eq!((server.to_string().as_str(), server.host()), (base, host), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for (text, error) in [
            ("https://ns1:8054", ServerUrlError::Https),
            ("ftp://ns1", ServerUrlError::Scheme("ftp".into())),
            ("http://user:secret@ns1", ServerUrlError::Extra),
            ("http://ns1/?a=b", ServerUrlError::Extra),
            ("", ServerUrlError::Form),
            ("http://", ServerUrlError::Form),
            (":8054", ServerUrlError::Form),
            ("::1", ServerUrlError::Form),
            ("ns1:http", ServerUrlError::Form),
            ("ns1:", ServerUrlError::Form),
            ("ns1:65536", ServerUrlError::Form),
            ("two words", ServerUrlError::Form),
        ] {
            assert_eq!(text.parse::<ServerUrl>(), Err(error), "{text}");
        }
    }
}
