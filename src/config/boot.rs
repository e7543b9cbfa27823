//! The settings that are read once: what a running server cannot change without a restart.
//!
//! `Boot::of` makes them from the file's sections; the server reports `differences` on a reload.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::document::Document;
use crate::config::explain::suggestion;
use crate::config::file::{ServerSection, StoreSection};
use crate::config::key_path::KeyPath;
use crate::config::listen::Listen;
use crate::model::{Address, Authentication, Label, ZoneName};

/// What needs a restart to change: `[server]`, the listen addresses, `[store]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Boot {
    /// The apex.
    pub zone: ZoneName,
    /// The same names under other apexes; none is at, below or above another or the zone.
    pub aliases: Vec<ZoneName>,
    /// This server: its name in the zone, NSID and id.server.
    pub name: Label,
    /// The names in NS, the first is MNAME; at least one, lower case, without a trailing dot. A
    /// single label is relative to the zone, more labels are absolute.
    pub ns: Vec<String>,
    /// What `name` resolves to; empty when only wildcards are listened on and none are given.
    pub addresses: Vec<Address>,
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// UDP and TCP on each; at least one, without duplicates.
    pub dns_listen: Vec<SocketAddr>,
    /// DNS over TLS; empty: none.
    pub tls_listen: Vec<SocketAddr>,
    /// DNS over HTTPS; empty: none.
    pub https_listen: Vec<SocketAddr>,
    /// DNS over QUIC; empty: none.
    pub quic_listen: Vec<SocketAddr>,
    /// Whether the certificate is one made at start, for trying out.
    pub dev_tls: bool,
    /// The side-port in plain HTTP; empty: none.
    pub http_listen: Vec<SocketAddr>,
    /// The side-port on unix sockets; empty: none.
    pub http_unix: Vec<PathBuf>,
    /// Who may connect to `http_unix`, as the mode of a file.
    pub http_unix_mode: u32,
    /// The side-port over TLS; empty: none.
    pub http_tls_listen: Vec<SocketAddr>,
    /// Whether the side-port may go beyond loopback where nobody has to say who they are.
    pub allow_insecure: bool,
    /// Who has to say who they are on the side-port.
    pub authentication: Authentication,
    /// What keeps the state.
    pub store: StoreKind,
}

/// What keeps the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// One file in the data folder.
    Embedded,
    /// Nothing: registrations are lost with the process.
    Memory,
}

impl Boot {
    /// The key paths whose values differ in `new`, e.g. `dns.listen`: what needs a restart.
    ///
    /// A value derived from another (the addresses from the sockets, NS from the name) is left out
    /// as long as both sides derive it.
    #[must_use]
    pub fn differences(&self, new: &Self) -> Vec<&'static str> {
        let ns = self.ns != new.ns && !(self.derives_ns() && new.derives_ns());
        let addresses = self.addresses != new.addresses
            && !(self.derives_addresses() && new.derives_addresses());
        let plain = |boot: &Self| (boot.http_listen.clone(), boot.http_unix.clone());
        let required = |boot: &Self| boot.authentication.required;
        let anonymous_read = |boot: &Self| boot.authentication.anonymous_read;
        [
            (self.zone != new.zone, "server.zone"),
            (self.aliases != new.aliases, "server.aliases"),
            (self.name != new.name, "server.name"),
            (ns, "server.ns"),
            (addresses, "server.addresses"),
            (self.data_dir != new.data_dir, "server.data_dir"),
            (self.dns_listen != new.dns_listen, "dns.listen"),
            (self.tls_listen != new.tls_listen, "dns.tls_listen"),
            (self.https_listen != new.https_listen, "dns.https_listen"),
            (self.quic_listen != new.quic_listen, "dns.quic_listen"),
            (plain(self) != plain(new), "http.listen"),
            (self.http_unix_mode != new.http_unix_mode, "http.unix_mode"),
            (self.http_tls_listen != new.http_tls_listen, "http.tls_listen"),
            (self.allow_insecure != new.allow_insecure, "http.allow_insecure"),
            (required(self) != required(new), "auth.required"),
            (anonymous_read(self) != anonymous_read(new), "auth.anonymous_read"),
            (self.store != new.store, "store.kind"),
        ]
        .into_iter()
        .filter_map(|(differs, key)| differs.then_some(key))
        .collect()
    }

    /// The length of the longest apex that names are served under.
    #[must_use]
    pub fn longest_zone(&self) -> usize {
        longest(&self.zone, &self.aliases).length()
    }

    /// Whether nothing but certificates of clients keeps strangers out: the side-port's TLS is open
    /// to them otherwise.
    #[must_use]
    pub fn needs_client_certificates(&self) -> bool {
        !self.allow_insecure
            && !self.authentication.required
            && self.http_tls_listen.iter().any(|socket| !is_loopback(socket))
    }

    fn derives_ns(&self) -> bool {
        self.ns == [self.name.as_str()]
    }

    fn derives_addresses(&self) -> bool {
        self.addresses == concrete(&self.dns_listen)
    }

    /// The effective boot settings; what is not legal together becomes a fault of `document`.
    pub(super) fn of(
        document: &mut Document<'_>,
        server: ServerSection,
        listen: Listen,
        store: &StoreSection,
        folder: &Path,
    ) -> Self {
        apart(document, &server);
        if listen.dns.is_empty() {
            let hint = "listen = [\"127.0.0.1:8053\"]";
            let message = "at least one address is needed";
            document.fault(&KeyPath::of("dns.listen"), message, Some(hint));
        }
        Self {
            addresses: addresses(document, &server, &listen.dns),
            ns: if server.ns.is_empty() {
                vec![server.name.as_str().to_owned()]
            } else {
                server.ns.into_iter().map(String::from).collect()
            },
            zone: server.zone,
            aliases: server.aliases,
            name: server.name,
            data_dir: folder.join(server.data_dir),
            dns_listen: listen.dns,
            tls_listen: listen.tls,
            https_listen: listen.https,
            quic_listen: listen.quic,
            dev_tls: listen.dev_tls,
            http_listen: listen.http,
            http_unix: listen.http_unix,
            http_unix_mode: listen.http_unix_mode,
            http_tls_listen: listen.http_tls,
            allow_insecure: listen.allow_insecure,
            authentication: listen.authentication,
            store: kind(document, store, listen.authentication),
        }
    }
}

/// Whether only this machine can connect to `socket`.
pub(super) fn is_loopback(socket: &SocketAddr) -> bool {
    socket.ip().to_canonical().is_loopback()
}

/// The longest of the apexes.
pub(super) fn longest<'z>(zone: &'z ZoneName, aliases: &'z [ZoneName]) -> &'z ZoneName {
    aliases.iter().max_by_key(|a| a.length()).filter(|a| a.length() > zone.length()).unwrap_or(zone)
}

const LATER: &str = "not available in this version";

/// No zone may hold another: a name would be in both.
fn apart(document: &mut Document<'_>, server: &ServerSection) {
    for (i, alias) in server.aliases.iter().enumerate() {
        let before = std::iter::once(&server.zone).chain(&server.aliases[..i]);
        let Some(other) = before.into_iter().find(|other| alias.overlaps(other)) else { continue };
        let message = match alias == other {
            true => format!("{alias} is there already"),
            false => format!("{alias} and {other} overlap: names in both would be ambiguous"),
        };
        document.fault(&KeyPath::of("server.aliases").index(i), &message, None);
    }
}

fn addresses(
    document: &mut Document<'_>,
    server: &ServerSection,
    dns_listen: &[SocketAddr],
) -> Vec<Address> {
    if !server.addresses.is_empty() {
        let mut unique = Vec::with_capacity(server.addresses.len());
        for address in &server.addresses {
            if !unique.contains(address) {
                unique.push(*address);
            }
        }
        return unique;
    }
    if let Some(i) = dns_listen.iter().position(|socket| socket.ip().is_unspecified()) {
        document.warn(
            &KeyPath::of("dns.listen").index(i),
            &format!(
                "{} listens on every address, and server.addresses does not say which of them \
                 are {}.{}",
                dns_listen[i], server.name, server.zone
            ),
            Some("set server.addresses to what clients reach this server by"),
        );
    }
    concrete(dns_listen)
}

/// The addresses of `sockets` that a client could connect to.
fn concrete(sockets: &[SocketAddr]) -> Vec<Address> {
    let mut addresses = Vec::new();
    for socket in sockets {
        if let Ok(address) = Address::new(socket.ip())
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

fn kind(
    document: &mut Document<'_>,
    store: &StoreSection,
    authentication: Authentication,
) -> StoreKind {
    let (message, hint) = match store.kind.as_str() {
        "embedded" => return StoreKind::Embedded,
        "memory" if authentication.required => {
            let message =
                "loses the tokens with the process, and auth.required needs one to begin with";
            (message.to_owned(), "write \"embedded\"".to_owned())
        }
        "memory" => return StoreKind::Memory,
        "etcd" => (format!("\"etcd\" is {LATER}"), "write \"embedded\" or \"memory\"".to_owned()),
        other => (format!("unknown value {other:?}"), suggestion(other, &["embedded", "memory"])),
    };
    document.fault(&KeyPath::of("store.kind"), &message, Some(&hint));
    StoreKind::Embedded
}
