//! What an `http` check sends and what it wants to hear. Texts that go into a request are held to
//! characters that cannot end a line or add a header.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The request of a check and the reply that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// The method.
    pub method: CheckMethod,
    /// The path, with a query if need be.
    pub path: RequestPath,
    /// The Host header; `None`: the instance's DNS name.
    pub host: Option<Host>,
    /// Further headers.
    pub headers: Headers,
    /// Status codes that pass.
    pub expect: Vec<StatusCodes>,
    /// Status codes that pass with a warning.
    pub warn: Vec<StatusCodes>,
    /// What the body must contain.
    pub contains: Option<Content>,
}

/// Methods that ask and change nothing (RFC 9110 section 9.2.1): a check is no means to make others
/// do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckMethod {
    /// The whole reply.
    #[default]
    Get,
    /// Its head.
    Head,
    /// What may be asked.
    Options,
}

impl CheckMethod {
    /// As it is sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }
}

/// Defines a checked text.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}

text! {
    /// The target of a request in origin form (RFC 9112 section 3.2.1): begins with `/`.
    RequestPath, |text| {
        let legal = |b: u8| b.is_ascii_graphic() && b != b'#';
        if !text.starts_with('/') || text.len() > 1_024 || !text.bytes().all(legal) {
            return Err(format!(
                "{text:?} is not a path: \"/health?full=1\", at most 1024 visible ASCII characters"
            ));
        }
        Ok(())
    }
}

impl Default for RequestPath {
    fn default() -> Self {
        Self("/".into())
    }
}

text! {
    /// A host, with a port if need be.
    Host, |text| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if text.is_empty() || text.len() > 259 || !text.bytes().all(legal) {
            return Err(format!("{text:?} is not a host: \"web.example.net\" or one with a port"));
        }
        Ok(())
    }
}

text! {
    /// A part of a body.
    Content, |text| {
        if text.is_empty() || text.len() > 256 {
            return Err(format!("a text of {} bytes, 1-256 are allowed", text.len()));
        }
        Ok(())
    }
}

/// Header fields besides Host: at most 16, none of them about the connection or the body.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Names, in lower case, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl TryFrom<BTreeMap<String, String>> for Headers {
    type Error = String;
    fn try_from(given: BTreeMap<String, String>) -> Result<Self, String> {
        if given.len() > 16 {
            return Err(format!("{} headers, at most 16 are allowed", given.len()));
        }
        let mut headers = BTreeMap::new();
        for (name, value) in given {
            let name = name.to_ascii_lowercase();
            // RFC 9110 section 5.6.2.
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
                return Err(format!("{name:?} is not the name of a header"));
            }
            if RESERVED.contains(&name.as_str()) {
                return Err(format!("the header {name} may not be set here"));
            }
            // No control character, and above all no CR and LF.
            let visible = |b: u8| b.is_ascii_graphic() || b == b' ';
            if value.len() > 512 || !value.bytes().all(visible) || value.trim() != value {
                return Err(format!(
                    "the value of {name} must be visible ASCII, at most 512 characters"
                ));
            }
            if headers.insert(name, value).is_some() {
                return Err("a header is there twice: upper case is folded".into());
            }
        }
        Ok(Self(headers))
    }
}

impl From<Headers> for BTreeMap<String, String> {
    fn from(headers: Headers) -> Self {
        headers.0
    }
}

impl fmt::Debug for Headers {
    /// Without values: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What frames the request or changes the protocol (RFC 9110 section 7.6.1), and what has a key of
/// its own.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One status code, `200`, or a range of them, `"200-299"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CodesForm", into = "CodesForm")]
pub struct StatusCodes {
    first: u16,
    last: u16,
}

impl StatusCodes {
    /// What passes unless told otherwise.
    pub const SUCCESS: Self = Self { first: 200, last: 299 };
    /// What passes with a warning unless told otherwise: too many requests (RFC 6585).
    pub const BUSY: Self = Self { first: 429, last: 429 };

    /// Whether `code` is among them.
    #[must_use]
    pub fn contains(self, code: u16) -> bool {
        (self.first..=self.last).contains(&code)
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected status codes: 200 or \"200-299\"")]
enum CodesForm {
    One(u16),
    Range(String),
}

impl TryFrom<CodesForm> for StatusCodes {
    type Error = String;
    fn try_from(form: CodesForm) -> Result<Self, String> {
        let (first, last) = match &form {
            CodesForm::One(code) => (Some(*code), Some(*code)),
            CodesForm::Range(text) => match text.split_once('-') {
                Some((first, last)) => (code(first), code(last)),
                None => (code(text), code(text)),
            },
        };
        match (first, last) {
            (Some(first), Some(last)) if 100 <= first && first <= last && last <= 599 => {
                Ok(Self { first, last })
            }
            _ => Err("not status codes, write 200 or \"200-299\", within 100-599".into()),
        }
    }
}

/// Digits alone: `parse` takes a sign too.
fn code(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

impl From<StatusCodes> for CodesForm {
    fn from(codes: StatusCodes) -> Self {
        let StatusCodes { first, last } = codes;
        if first == last { Self::One(first) } else { Self::Range(format!("{first}-{last}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str, value: &str) -> Result<Headers, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())]).try_into()
    }

    #[test]
    fn nothing_that_ends_a_line_gets_into_a_request() {
        for text in ["/a\r\nb: c", "/a b", "a", "", "/\u{e9}", "/a\0", "/a#b", "http://x/"] {
            assert!(RequestPath::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        for text in ["", "a\r\nb: c", "a b", "a/b", "a@b", &"a".repeat(260)] {
            assert!(Host::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        for (name, value) in [
            ("x", "a\r\nb: c"),
            ("x", "a\nb"),
            ("x", "a\0"),
            ("x", " a"),
            ("x:", "a"),
            ("x y", "a"),
            ("", "a"),
            ("Host", "a"),
            ("Transfer-Encoding", "chunked"),
            ("content-length", "5"),
        ] {
            assert!(headers(name, value).is_err(), "{name:?}: {value:?}");
        }
        assert!(RequestPath::try_from("/health?full=1&x=%20".to_owned()).is_ok());
        assert!(headers("Authorization", "Bearer a.b-c").is_ok());
    }

    #[test]
    fn values_of_headers_are_not_shown_by_debug() {
        let headers = headers("Authorization", "Bearer secret").unwrap();

        assert_eq!(format!("{headers:?}"), r#"{"authorization"}"#);
    }

    #[test]
    fn codes_are_numbers_and_ranges() {
        let codes: Vec<StatusCodes> = serde_json::from_str(r#"[200,"300-399","404"]"#).unwrap();

        let taken = |code| codes.iter().any(|codes| codes.contains(code));
        assert!(taken(200) && taken(300) && taken(399) && taken(404));
        assert!(!taken(201) && !taken(299) && !taken(400));
        assert_eq!(serde_json::to_string(&codes).unwrap(), r#"[200,"300-399",404]"#);
        for json in ["99", "600", r#""300-200""#, r#""+200""#, r#""2xx""#, r#""""#, r#""-""#] {
            assert!(serde_json::from_str::<StatusCodes>(json).is_err(), "{json}");
        }
    }
}
