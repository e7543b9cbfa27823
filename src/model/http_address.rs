//! Where the side-port listens: an address and a port, or a unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// `127.0.0.1:8054`, or `unix:/run/signpost/http.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum HttpAddress {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// The file of a unix socket; not empty.
    Unix(PathBuf),
}

/// Why a text is none of both.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IP address and a port, or unix: and a path")]
pub struct HttpAddressError(String);

impl FromStr for HttpAddress {
    type Err = HttpAddressError;
    fn from_str(text: &str) -> Result<Self, HttpAddressError> {
        let error = || HttpAddressError(text.to_owned());
        match text.strip_prefix("unix:") {
            Some(path) if path.is_empty() || path.contains('\0') => Err(error()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Socket).map_err(|_| error()),
        }
    }
}

impl TryFrom<String> for HttpAddress {
    type Error = HttpAddressError;
    fn try_from(text: String) -> Result<Self, HttpAddressError> {
        text.parse()
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => socket.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_this_machine_or_of_its_file_system() {
        for (text, address) in [
            ("[::1]:8054", HttpAddress::Socket("[::1]:8054".parse().unwrap())),
            ("unix:/run/signpost/http.sock", HttpAddress::Unix("/run/signpost/http.sock".into())),
            ("unix:http.sock", HttpAddress::Unix("http.sock".into())),
        ] {
            assert_eq!(text.parse().as_ref(), Ok(&address), "{text}");
            assert_eq!(address.to_string(), text);
        }
        for text in ["", "127.0.0.1", "unix:", "unix:a\0b", "/run/http.sock", "localhost:1"] {
            assert!(text.parse::<HttpAddress>().is_err(), "{text:?}");
        }
    }
}
