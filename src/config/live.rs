//! The settings that a reload applies to a running server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::certificate::CertificateFiles;
use crate::config::clients::ClientPolicy;
use crate::config::document::Document;
use crate::config::file::{DnsSection, RegistrySection};
use crate::config::key_path::KeyPath;
use crate::config::zones;
use crate::model::{
    AuditPolicy, Conduct, Declared, DurationText, HealthPolicy, Limits, Localities, Network,
    RateLimit, Share,
};

/// What a reload may change.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// TTL and MINIMUM of the SOA: how long "there is none" may be cached. Whole seconds.
    pub negative_ttl: Duration,
    /// How many bits of an address count as one client, IPv4 (0-32) and IPv6 (0-128).
    pub client_prefix: (u8, u8),
    /// What the encrypted transports prove themselves by.
    pub certificate: Option<CertificateFiles>,
    /// Whom certificates of clients of the side-port stand for.
    pub clients: ClientPolicy,
    /// Ranges whose PTR names are ours; none overlaps another.
    pub reverse: Vec<Network>,
    /// Which clients are where.
    pub localities: Localities,
    /// The zone files, patterns expanded, sorted, without duplicates.
    pub zones: Vec<PathBuf>,
    /// How the DNS front treats who asks.
    pub conduct: Conduct,
    /// How long an undeclared service without instances stays known.
    pub forget_after: Duration,
    /// The share of all instances that are kept, as suspect, when their leases end together.
    pub protect: Share,
    /// How much of everything there may be.
    pub limits: Limits,
    /// Where active checks go, and how many at a time.
    pub health: HealthPolicy,
    /// By which names and addresses the side-port is called, besides those that it listens on.
    pub hosts: Vec<String>,
    /// Where changes are written down; `None`: nowhere.
    pub audit: Option<AuditPolicy>,
    /// The settings and instances of services.
    pub declared: Declared,
}

/// What its own part of the file has made effective already.
pub(super) struct Effective {
    pub(super) audit: Option<AuditPolicy>,
    pub(super) certificate: Option<CertificateFiles>,
    pub(super) clients: ClientPolicy,
    pub(super) rate_limit: RateLimit,
    pub(super) limits: Limits,
    pub(super) localities: Localities,
    pub(super) health: HealthPolicy,
    pub(super) hosts: Vec<String>,
    pub(super) declared: Declared,
}

impl Live {
    /// The effective live settings; what is not legal becomes a fault of `document`.
    pub(super) fn of(
        document: &mut Document<'_>,
        dns: &DnsSection,
        registry: &RegistrySection,
        effective: Effective,
        folder: &Path,
    ) -> Self {
        let Effective { audit, certificate, clients, declared, health, hosts, .. } = effective;
        let Effective { limits, localities, rate_limit, .. } = effective;
        apart(document, &dns.reverse);
        Self {
            negative_ttl: negative_ttl(document, dns.negative_ttl),
            client_prefix: (dns.client_prefix.0, dns.client_prefix.1),
            certificate,
            clients,
            reverse: dns.reverse.clone(),
            localities,
            zones: zones::expanded(document, &dns.zones, folder),
            conduct: conduct(document, dns, rate_limit),
            forget_after: forget_after(document, registry.forget_after),
            protect: registry.protect,
            limits,
            health,
            hosts,
            audit,
            declared,
        }
    }
}

/// An address is in one zone.
fn apart(document: &mut Document<'_>, ranges: &[Network]) {
    for (i, range) in ranges.iter().enumerate() {
        let other = ranges[..i].iter().find(|other| other.holds(*range) || range.holds(**other));
        if let Some(other) = other {
            let message = format!("{range} and {other} overlap: an address would be in two zones");
            document.fault(&KeyPath::of("dns.reverse").index(i), &message, None);
        }
    }
}

fn negative_ttl(document: &mut Document<'_>, ttl: DurationText) -> Duration {
    let key = KeyPath::of("dns.negative_ttl");
    if ttl.0 > Duration::from_secs(3600) {
        document.fault(&key, &format!("{ttl} is out of range, 0s-1h is allowed"), None);
    } else if ttl.0.subsec_nanos() != 0 {
        let message = format!("{ttl} is not whole seconds, which is what a TTL counts");
        document.fault(&key, &message, Some("write \"0s\", \"1s\", \"5s\""));
    }
    ttl.0
}

fn conduct(document: &mut Document<'_>, dns: &DnsSection, rate_limit: RateLimit) -> Conduct {
    // One character-string (RFC 1035 section 3.3).
    if dns.version.len() > 255 {
        let message = format!("{} bytes, DNS allows 255", dns.version.len());
        document.fault(&KeyPath::of("dns.version"), &message, None);
    }
    Conduct {
        chaos: dns.chaos,
        version: dns.version.clone(),
        cookies: dns.cookies,
        cookie_secrets: dns.cookie_secrets.0.clone(),
        rate_limit,
    }
}

fn forget_after(document: &mut Document<'_>, duration: DurationText) -> Duration {
    if duration.0 > Duration::from_secs(30 * 86_400) {
        let message = format!("{duration} is out of range, 0s-30d is allowed");
        document.fault(&KeyPath::of("registry.forget_after"), &message, None);
    }
    duration.0
}
