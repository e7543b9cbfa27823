//! The configuration: the image of `registry.toml` in, effective settings out.
//!
//! `serve`, `check` and a reload share this loader. It reads the file and lists zone files;
//! it opens nothing else and changes nothing. Every fault names file, line, column and key.

mod boot;
mod certificate;
mod clients;
mod document;
mod error;
mod explain;
mod file;
mod key_path;
mod limits;
mod listen;
mod live;
mod localities;
mod number;
mod services;
mod size;
mod zones;

use std::net::SocketAddr;
use std::path::Path;

use crate::config::document::Document;
use crate::config::file::{
    AuditSection, AuthSection, DnsSection, HealthSection, HttpSection, RegistrySection,
    ServerSection, StoreSection, TlsSection,
};
use crate::config::key_path::KeyPath;
use crate::config::limits::{LimitsSection, RateLimitSection};
use crate::config::listen::{Listen, SidePort};
use crate::config::live::Effective;
use crate::config::services::Surroundings;
use crate::model::{
    Authentication, Declared, HealthPolicy, HttpAddress, Limits, RateLimit, Settings, SettingsPatch,
};

pub use boot::{Boot, StoreKind};
pub use certificate::CertificateFiles;
pub use clients::ClientPolicy;
pub use error::{ConfigError, Fault, Faults};
pub use live::Live;

/// The effective settings of one reading of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What needs a restart to change.
    pub boot: Boot,
    /// What a reload applies.
    pub live: Live,
    /// What is legal but hardly meant, each with its place.
    pub warnings: Vec<String>,
}

/// What the command line says in place of the file; an empty list leaves the file's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// `--dns`, in place of `dns.listen`.
    pub dns: Vec<SocketAddr>,
    /// `--tls`, in place of `dns.tls_listen`.
    pub tls: Vec<SocketAddr>,
    /// `--https`, in place of `dns.https_listen`.
    pub https: Vec<SocketAddr>,
    /// `--quic`, in place of `dns.quic_listen`.
    pub quic: Vec<SocketAddr>,
    /// `--dev-tls`: a certificate made at start, and encrypted addresses where none are named.
    pub dev_tls: bool,
    /// `--http`, in place of `http.listen`.
    pub http: Vec<HttpAddress>,
}

impl Default for Config {
    /// The configuration of an empty file in the current folder.
    fn default() -> Self {
        let mut document = Document::empty(Path::new(""));
        let (boot, live) = effective(&mut document, Path::new(""), &Flags::default());
        Self { boot, live, warnings: Vec::new() }
    }
}

/// Reads and parses the file at `path`; relative paths in it start at its folder.
///
/// # Errors
/// When the file cannot be read or is not legal.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    load_with(path, &Flags::default())
}

/// [`load`], with `flags` in place of what the file says.
///
/// # Errors
/// When the file cannot be read, or it and the flags are not legal together.
pub fn load_with(path: &Path, flags: &Flags) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|reason| ConfigError::Read { path: path.to_owned(), reason })?;
    parse_with(&text, path, flags)
}

/// Parses `text` as the content of the file at `path`, which need not exist.
///
/// # Errors
/// When `text` is not legal: all faults that are independent of each other.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    parse_with(text, path, &Flags::default())
}

/// [`parse`], with `flags` in place of what the file says.
///
/// # Errors
/// When `text` and the flags are not legal together.
pub fn parse_with(text: &str, path: &Path, flags: &Flags) -> Result<Config, ConfigError> {
    let mut document = Document::parse(text, path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let effective = effective(&mut document, folder, flags);
    let ((boot, live), warnings) = document.finish(effective)?;
    Ok(Config { boot, live, warnings })
}

fn effective(document: &mut Document<'_>, folder: &Path, flags: &Flags) -> (Boot, Live) {
    document.only(&file::SECTIONS);
    let server: ServerSection = document.section("server");
    let dns: DnsSection = document.section("dns");
    let tls: TlsSection = document.section("tls");
    let http: HttpSection = document.section("http");
    let auth: AuthSection = document.section("auth");
    let audit = document.section::<AuditSection>("audit").policy(folder);
    let store: StoreSection = document.section("store");
    let registry: RegistrySection = document.section("registry");
    let rate_limit = RateLimit::from(document.section::<RateLimitSection>("rate_limit"));
    let limits = Limits::from(document.section::<LimitsSection>("limits"));
    let localities = localities::of(document);
    let health = HealthPolicy::from(document.section::<HealthSection>("health"));
    let defaults: SettingsPatch = document.section("defaults");
    services::check_settings(document, &defaults, &KeyPath::of("defaults"), &health);

    let certificate = certificate::files(document, &tls, folder);
    let authentication =
        Authentication { required: auth.required, anonymous_read: auth.anonymous_read };
    let clients = ClientPolicy::of(document, &http, auth.certificates, folder);
    let side_port = SidePort { http: &http, authentication, folder };
    let listen = Listen::of(document, &dns, &side_port, flags, certificate.is_some());
    let zone = boot::longest(&server.zone, &server.aliases);
    let around = Surroundings { zone, server: &server.name, limits: &limits, health: &health };
    let services = services::declared(document, &around);
    let of_dns =
        SettingsPatch { ttl: dns.ttl, max_answers: dns.max_answers, ..SettingsPatch::default() };
    let defaults = Settings::default().patched(&of_dns).patched(&defaults);
    let declared = Declared { defaults, services };
    let hosts = http.hosts.into_iter().map(|host| host.0).collect();
    let effective = Effective {
        audit,
        certificate,
        clients,
        declared,
        health,
        hosts,
        limits,
        localities,
        rate_limit,
    };
    let live = Live::of(document, &dns, &registry, effective, folder);
    let boot = Boot::of(document, server, listen, &store, folder);
    (boot, live)
}

#[cfg(test)]
mod tests;
