//! Certificates of clients: `http.client_ca`, `http.client_certificates` and `[[auth.certificates]]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::document::Document;
use crate::config::file::HttpSection;
use crate::config::key_path::KeyPath;
use crate::model::{
    CertificateName, ClientCertificates, Identity, Label, Network, Scopes, ServicePattern,
};

/// Whom certificates of clients stand for on the TLS addresses of the side-port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientPolicy {
    /// Whether clients are asked for one.
    pub asked: ClientCertificates,
    /// The PEM file of the authorities that are believed; there when clients are asked.
    pub authorities: Option<PathBuf>,
    /// What is in a certificate, and whom it stands for; the first that fits counts.
    pub identities: Vec<(CertificateName, Identity)>,
}

/// One of `[[auth.certificates]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateEntry {
    san: CertificateName,
    name: Label,
    scopes: Scopes,
    #[serde(default)]
    services: Vec<ServicePattern>,
    #[serde(default)]
    networks: Vec<Network>,
}

impl ClientPolicy {
    /// What the file says; what is not legal together becomes a fault of `document`.
    pub(super) fn of(
        document: &mut Document<'_>,
        http: &HttpSection,
        entries: Vec<CertificateEntry>,
        folder: &Path,
    ) -> Self {
        let named = !http.client_ca.as_os_str().is_empty();
        let authorities = named.then(|| folder.join(&http.client_ca));
        let asked = http.client_certificates;
        let off = asked == ClientCertificates::Off;
        if !off && !named {
            let hint = "client_ca = \"ca.pem\": the certificates of those who sign for clients";
            let message = "needs http.client_ca";
            document.fault(&KeyPath::of("http.client_certificates"), message, Some(hint));
        }
        if off && (named || !entries.is_empty()) {
            let key = KeyPath::of(if named { "http.client_ca" } else { "auth.certificates" });
            let hint = "set http.client_certificates = \"optional\" or \"required\"";
            let message = "has no effect: clients are not asked for certificates";
            document.warn(&key, message, Some(hint));
        }
        let identities = identities(document, entries);
        Self { asked, authorities: authorities.filter(|_| !off), identities }
    }
}

fn identities(
    document: &mut Document<'_>,
    entries: Vec<CertificateEntry>,
) -> Vec<(CertificateName, Identity)> {
    let mut identities: Vec<(CertificateName, Identity)> = Vec::with_capacity(entries.len());
    let all = KeyPath::of("auth.certificates");
    for (i, entry) in entries.into_iter().enumerate() {
        let at = all.index(i);
        let CertificateEntry { san, name, scopes, services, networks } = entry;
        if identities.iter().any(|(other, _)| *other == san) {
            let message = format!("{san} is there already");
            document.fault(&at.key("san"), &message, Some("give each name to one identity"));
            continue;
        }
        match (Identity { name, scopes, services, networks }).checked() {
            Ok(identity) => identities.push((san, identity)),
            Err(error) => document.fault(&at.key(&error.field), &error.reason, None),
        }
    }
    identities
}
