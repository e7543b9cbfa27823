//! The sections of the file as serde reads them: types and defaults, nothing that needs two keys.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::config::clients::CertificateEntry;
use crate::config::number::Number;
use crate::config::size::Size;
use crate::model::{
    Address, AuditPolicy, ClientCertificates, CookieSecret, DurationText, HealthPolicy,
    HttpAddress, Label, MaxAnswers, Network, RecordTtl, Share, ZoneName,
};

/// The names of the sections.
pub(super) const SECTIONS: [&str; 14] = [
    "server",
    "dns",
    "tls",
    "http",
    "auth",
    "audit",
    "store",
    "registry",
    "rate_limit",
    "limits",
    "localities",
    "health",
    "defaults",
    "services",
];

/// `[server]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServerSection {
    pub(super) zone: ZoneName,
    pub(super) aliases: Vec<ZoneName>,
    pub(super) name: Label,
    pub(super) ns: Vec<HostName>,
    pub(super) addresses: Vec<Address>,
    pub(super) data_dir: PathBuf,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            zone: ZoneName::default(),
            aliases: Vec::new(),
            name: Label::new("ns1").expect("a letter, a letter and a digit"),
            ns: Vec::new(),
            addresses: Vec::new(),
            data_dir: "data".into(),
        }
    }
}

/// `[dns]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DnsSection {
    pub(super) listen: Vec<Socket>,
    pub(super) tls_listen: Vec<Socket>,
    pub(super) https_listen: Vec<Socket>,
    pub(super) quic_listen: Vec<Socket>,
    pub(super) ttl: Option<RecordTtl>,
    pub(super) negative_ttl: DurationText,
    pub(super) max_answers: Option<MaxAnswers>,
    pub(super) client_prefix: ClientPrefix,
    pub(super) reverse: Vec<Network>,
    pub(super) zones: Vec<String>,
    pub(super) chaos: bool,
    pub(super) version: String,
    pub(super) cookies: bool,
    pub(super) cookie_secrets: CookieSecrets,
}

impl Default for DnsSection {
    fn default() -> Self {
        Self {
            listen: vec![Socket(([127, 0, 0, 1], 8053).into())],
            tls_listen: Vec::new(),
            https_listen: Vec::new(),
            quic_listen: Vec::new(),
            ttl: None,
            negative_ttl: DurationText(Duration::from_secs(1)),
            max_answers: None,
            client_prefix: ClientPrefix(24, 56),
            reverse: Vec::new(),
            zones: vec!["zones/*.zone".into()],
            chaos: true,
            version: String::new(),
            cookies: true,
            cookie_secrets: CookieSecrets(Vec::new()),
        }
    }
}

/// `[tls]`; an empty path is none.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSection {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// `[http]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSection {
    pub(super) listen: Vec<HttpAddress>,
    pub(super) unix_mode: UnixMode,
    pub(super) tls_listen: Vec<Socket>,
    pub(super) client_ca: PathBuf,
    pub(super) client_certificates: ClientCertificates,
    pub(super) allow_insecure: bool,
    pub(super) hosts: Vec<HttpHost>,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            listen: vec![HttpAddress::Socket(([127, 0, 0, 1], 8054).into())],
            unix_mode: UnixMode(0o660),
            tls_listen: Vec::new(),
            client_ca: PathBuf::new(),
            client_certificates: ClientCertificates::default(),
            allow_insecure: false,
            hosts: Vec::new(),
        }
    }
}

/// `[auth]`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuthSection {
    pub(super) required: bool,
    pub(super) anonymous_read: bool,
    pub(super) certificates: Vec<CertificateEntry>,
}

/// `[store]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreSection {
    pub(super) kind: String,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { kind: "embedded".into() }
    }
}

/// `[registry]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RegistrySection {
    pub(super) forget_after: DurationText,
    pub(super) protect: Share,
}

impl Default for RegistrySection {
    fn default() -> Self {
        Self { forget_after: DurationText(Duration::from_secs(600)), protect: Share::default() }
    }
}

/// `[audit]`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuditSection {
    file: PathBuf,
    max_size: Option<Size>,
    keep: Option<Number<0, 1_000>>,
}

impl AuditSection {
    /// The log that is kept, whose relative path starts at `folder`; `None`: none.
    pub(super) fn policy(self, folder: &Path) -> Option<AuditPolicy> {
        let named = !self.file.as_os_str().is_empty();
        named.then(|| AuditPolicy {
            file: folder.join(self.file),
            max_size: self.max_size.map_or(64 << 20, Size::bytes) as u64,
            keep: self.keep.map_or(8, Number::get),
        })
    }
}

/// `[health]`; what is absent keeps the default of [`HealthPolicy`].
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HealthSection {
    concurrency: Option<Number<1, 10_000>>,
    allow: Vec<Network>,
}

impl From<HealthSection> for HealthPolicy {
    fn from(section: HealthSection) -> Self {
        let default = Self::default();
        let concurrency = section.concurrency.map_or(default.concurrency, Number::count);
        Self { concurrency, allow: section.allow }
    }
}

/// An address and a port to listen on.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "String")]
pub(super) struct Socket(pub(super) SocketAddr);

impl TryFrom<String> for Socket {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("{text:?} is not an IP address and a port"))
    }
}

/// Who may connect to unix sockets, as the mode of a file.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "String")]
pub(super) struct UnixMode(pub(super) u32);

impl TryFrom<String> for UnixMode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits =
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| digits && *mode <= 0o777);
        mode.map(Self).ok_or_else(|| {
            format!("{text:?} is not the mode of a file: three octal digits, as in \"0660\"")
        })
    }
}

/// Secrets. Serde's own errors would repeat what is written in their place, so no error tells more
/// than where.
pub(super) struct CookieSecrets(pub(super) Vec<CookieSecret>);

impl<'de> Deserialize<'de> for CookieSecrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let secrets = Vec::deserialize(deserializer);
        secrets.map(Self).map_err(|_| {
            D::Error::custom(
                "not secrets, write [\"...\"] with 32 hexadecimal digits each: \
                 `openssl rand -hex 16` prints some",
            )
        })
    }
}

/// How many bits of an address count as one client, for IPv4 and for IPv6.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "Vec<i64>")]
pub(super) struct ClientPrefix(pub(super) u8, pub(super) u8);

impl TryFrom<Vec<i64>> for ClientPrefix {
    type Error = String;
    fn try_from(lengths: Vec<i64>) -> Result<Self, String> {
        let &[v4, v6] = lengths.as_slice() else {
            return Err(format!("{} numbers, two are needed", lengths.len()));
        };
        let within = |length: i64, max: u8| {
            let legal = u8::try_from(length).ok().filter(|length| *length <= max);
            legal.ok_or_else(|| format!("{length} is out of range, 0-{max} is allowed"))
        };
        Ok(Self(within(v4, 32)?, within(v6, 128)?))
    }
}

/// A name or an address by which the side-port is called: no scheme, no port.
#[derive(Deserialize, Clone)]
#[serde(try_from = "String")]
pub(super) struct HttpHost(pub(super) String);

impl TryFrom<String> for HttpHost {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().to_string()));
        }
        let name = text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase();
        for label in name.split('.') {
            Label::new(label).map_err(|error| {
                format!("{text:?} is not a host name or an address, without a port: {error}")
            })?;
        }
        Ok(Self(name))
    }
}

/// The name of a name server: one label is relative to the zone, more are absolute.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HostName(String);

impl TryFrom<String> for HostName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase();
        if name.len() > 253 {
            return Err(format!("a name of {} characters, DNS allows 253", name.len()));
        }
        for label in name.split('.') {
            Label::new(label).map_err(|error| format!("{text:?} is not a host name: {error}"))?;
        }
        if text.ends_with('.') && !name.contains('.') {
            return Err(format!("{text:?} is a top-level domain, leave the dot off"));
        }
        Ok(Self(name))
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}
