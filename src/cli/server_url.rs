//! Where the server is: what `--server` and `SIGNPOST_SERVER` may say.
//!
//! A bare `host:port` means http; a path is kept as the prefix of every call, for servers behind
//! a reverse proxy. `unix:` and a path is a socket of this machine.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ureq::http::Uri;

/// The base of every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerUrl {
    /// As people write it, without a slash at the end.
    text: String,
    host: String,
    way: Way,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Http,
    Https,
    Unix(PathBuf),
}

impl ServerUrl {
    /// What every URL begins with: scheme, authority and perhaps a path.
    pub(super) fn base(&self) -> &str {
        match self.way {
            Way::Http | Way::Https => &self.text,
            Way::Unix(_) => "http://localhost",
        }
    }

    /// The unix socket that it is.
    pub(super) fn socket(&self) -> Option<&Path> {
        match &self.way {
            Way::Unix(path) => Some(path),
            Way::Http | Way::Https => None,
        }
    }

    /// Whether it speaks TLS.
    pub(super) fn encrypts(&self) -> bool {
        self.way == Way::Https
    }

    /// Whether nobody between here and there can read what is said.
    pub(super) fn keeps_secrets(&self) -> bool {
        let loopback = || self.host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback());
        match self.way {
            Way::Https | Way::Unix(_) => true,
            Way::Http => self.host.eq_ignore_ascii_case("localhost") || loopback(),
        }
    }

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
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() || path.contains('\0') {
                return Err(ServerUrlError::Form);
            }
            let (text, host) = (text.to_owned(), "localhost".to_owned());
            return Ok(Self { text, host, way: Way::Unix(path.into()) });
        }
        let (scheme, way, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                ("http", Way::Http, rest)
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => {
                ("https", Way::Https, rest)
            }
            Some((scheme, _)) => return Err(ServerUrlError::Scheme(scheme.to_owned())),
            None => ("http", Way::Http, text),
        };
        if rest.contains(['?', '#', '@']) {
            return Err(ServerUrlError::Extra);
        }
        let text = format!("{scheme}://{}", rest.trim_end_matches('/'));
        let uri: Uri = text.parse().map_err(|_| ServerUrlError::Form)?;
        let host = uri.host().ok_or(ServerUrlError::Form)?.trim_matches(['[', ']']);
        // A port that is no number is still an authority to `Uri`.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let port_is_given = authority.rsplit_once(':').is_some_and(|(_, p)| !p.ends_with(']'));
        if host.is_empty() || (port_is_given && uri.port_u16().is_none()) {
            return Err(ServerUrlError::Form);
        }
        let host = host.to_owned();
        Ok(Self { text, host, way })
    }
}

/// Why a text does not say where a server is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ServerUrlError {
    #[error("{0} is not a scheme that signpost speaks, write https://HOST:PORT or unix:PATH")]
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
            ("HTTPS://ns1:8055/", "https://ns1:8055", "ns1"),
        ] {
            let server: ServerUrl = text.parse().unwrap();

            assert_eq!((server.to_string().as_str(), server.host()), (base, host), "{text}");
            assert_eq!(server.base(), base);
        }
    }

    #[test]
    fn a_unix_socket_is_called_by_its_path() {
        let server: ServerUrl = "unix:/run/signpost/http.sock".parse().unwrap();

        assert_eq!(server.to_string(), "unix:/run/signpost/http.sock");
        assert_eq!(server.base(), "http://localhost");
        assert_eq!(server.socket(), Some(Path::new("/run/signpost/http.sock")));
        assert_eq!("http://ns1".parse::<ServerUrl>().unwrap().socket(), None);
        assert_eq!("unix:".parse::<ServerUrl>(), Err(ServerUrlError::Form));
    }

    #[test]
    fn what_is_said_in_clear_beyond_this_machine_can_be_read() {
        for (text, keeps) in [
            ("https://ns1", true),
            ("unix:a", true),
            ("127.8.8.8:8054", true),
            ("http://[::1]:8054", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("LocalHost", true),
            ("http://10.0.0.1", false),
            ("http://ns1", false),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().keeps_secrets(), keeps, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for (text, error) in [
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
