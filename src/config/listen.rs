//! Where to listen: what flags or file say, the addresses of `--dev-tls`, and what is not legal of
//! it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::Flags;
use crate::config::boot::is_loopback;
use crate::config::document::Document;
use crate::config::file::{DnsSection, HttpSection, Socket};
use crate::config::key_path::KeyPath;
use crate::model::{Authentication, ClientCertificates, HttpAddress};

/// What the file says of the side-port.
pub(super) struct SidePort<'s> {
    pub(super) http: &'s HttpSection,
    pub(super) authentication: Authentication,
    /// Where the file is.
    pub(super) folder: &'s Path,
}

/// The sockets in force.
pub(super) struct Listen {
    pub(super) dns: Vec<SocketAddr>,
    pub(super) tls: Vec<SocketAddr>,
    pub(super) https: Vec<SocketAddr>,
    pub(super) quic: Vec<SocketAddr>,
    pub(super) http: Vec<SocketAddr>,
    pub(super) http_unix: Vec<PathBuf>,
    pub(super) http_unix_mode: u32,
    pub(super) http_tls: Vec<SocketAddr>,
    pub(super) dev_tls: bool,
    pub(super) allow_insecure: bool,
    pub(super) authentication: Authentication,
}

impl Listen {
    /// The sockets in force; what is not legal becomes a fault of `document`.
    pub(super) fn of(
        document: &mut Document<'_>,
        dns: &DnsSection,
        SidePort { http, authentication, folder }: &SidePort<'_>,
        flags: &Flags,
        certificate: bool,
    ) -> Self {
        let in_force = |flags: &[SocketAddr], file: &[Socket]| match flags {
            [] => file.iter().map(|socket| socket.0).collect(),
            flags => flags.to_vec(),
        };
        let (plain, http_unix) = match flags.http.as_slice() {
            [] => parted(&http.listen, folder),
            flags => parted(flags, Path::new("")),
        };
        let mut listen = Self {
            dns: in_force(&flags.dns, &dns.listen),
            tls: in_force(&flags.tls, &dns.tls_listen),
            https: in_force(&flags.https, &dns.https_listen),
            quic: in_force(&flags.quic, &dns.quic_listen),
            http: plain,
            http_unix,
            http_unix_mode: http.unix_mode.0,
            http_tls: http.tls_listen.iter().map(|socket| socket.0).collect(),
            dev_tls: flags.dev_tls,
            allow_insecure: http.allow_insecure,
            authentication: *authentication,
        };
        let chosen = flags.dev_tls && listen.encrypted().all(<[SocketAddr]>::is_empty);
        if chosen {
            listen.for_trying_out();
        }
        listen.check_certificate(document, flags, certificate);
        listen.check_side_port(document, flags);
        listen.check_side_port_tls(document, http.client_certificates);
        listen.check_unique(document, chosen);
        listen.check_files(document);
        listen
    }

    fn encrypted(&self) -> impl Iterator<Item = &[SocketAddr]> {
        [&self.tls, &self.https, &self.quic].into_iter().map(Vec::as_slice)
    }

    /// Listens on the addresses of `dns`, on ports that follow its own.
    ///
    /// | `dns` | DoT, DoQ | DoH |
    /// |---|---|---|
    /// | 53 | 853 | 443 |
    /// | 0: any free port | 0 | 0 |
    /// | else | 8853 | 8443 |
    fn for_trying_out(&mut self) {
        for i in 0..self.dns.len() {
            let (ip, port) = (self.dns[i].ip(), self.dns[i].port());
            let (dot, doh) = match port {
                53 => (853, 443),
                0 => (0, 0),
                _ => (8853, 8443),
            };
            for (list, port) in
                [(&mut self.tls, dot), (&mut self.https, doh), (&mut self.quic, dot)]
            {
                let socket = SocketAddr::new(ip, port);
                if port == 0 || !list.contains(&socket) {
                    list.push(socket);
                }
            }
        }
    }

    /// The encrypted transports need a certificate, and one only.
    fn check_certificate(&self, document: &mut Document<'_>, flags: &Flags, certificate: bool) {
        let configured = KeyPath::of("tls.certificate");
        if flags.dev_tls && certificate {
            let hint = "leave --dev-tls away, or take [tls] out of the file";
            let message = "is configured, and --dev-tls makes another one";
            document.fault(&configured, message, Some(hint));
        }
        if flags.dev_tls || certificate {
            return;
        }
        let lists = [
            (&self.tls, &flags.tls, "dns.tls_listen", "--tls"),
            (&self.https, &flags.https, "dns.https_listen", "--https"),
            (&self.quic, &flags.quic, "dns.quic_listen", "--quic"),
            (&self.http_tls, &Vec::new(), "http.tls_listen", ""),
        ];
        for (sockets, flag, key, name) in lists {
            if sockets.is_empty() {
                continue;
            }
            let hint = "name certificate and key in [tls], or try it out with \
                        `signpost serve --dev-tls`, which makes them";
            if flag.is_empty() {
                document.fault(&KeyPath::of(key), "needs a certificate", Some(hint));
            } else {
                document.fault(&configured, &format!("is missing, {name} needs it"), Some(hint));
            }
        }
    }

    /// Without authentication the side-port lets anyone who reaches it change the registry.
    fn check_side_port(&self, document: &mut Document<'_>, flags: &Flags) {
        for (i, socket) in self.http.iter().enumerate().filter(|(_, socket)| !is_loopback(socket)) {
            if self.authentication.required {
                let message =
                    format!("{socket} is beyond loopback: tokens cross the network in clear");
                let hint = "keep it on loopback, and give clients http.tls_listen";
                document.warn(&KeyPath::of("http.listen").index(i), &message, Some(hint));
            }
            if self.allow_insecure || self.authentication.required {
                continue;
            }
            let message =
                format!("{socket} is beyond loopback, and nobody has to say who they are");
            let hint =
                "keep it on loopback, or set auth.required = true (or http.allow_insecure = true)";
            if flags.http.is_empty() {
                document.fault(&KeyPath::of("http.listen").index(i), &message, Some(hint));
            } else {
                let key = KeyPath::of("http.allow_insecure");
                document.fault(&key, &format!("is false, but --http {message}"), Some(hint));
            }
        }
    }

    /// The same over TLS, where certificates of clients are a way to ask.
    fn check_side_port_tls(&self, document: &mut Document<'_>, asked: ClientCertificates) {
        let known = self.authentication.required || asked == ClientCertificates::Required;
        if known || self.allow_insecure {
            return;
        }
        for (i, socket) in self.http_tls.iter().enumerate() {
            if is_loopback(socket) {
                continue;
            }
            let message =
                format!("{socket} is beyond loopback, and nobody has to say who they are");
            let hint = "set auth.required = true, or http.client_certificates = \"required\" \
                        (or http.allow_insecure = true)";
            document.fault(&KeyPath::of("http.tls_listen").index(i), &message, Some(hint));
        }
    }

    /// The same of unix sockets.
    fn check_files(&self, document: &mut Document<'_>) {
        for (i, path) in self.http_unix.iter().enumerate() {
            if self.http_unix[..i].contains(path) {
                let message = format!("unix:{} is listed twice", path.display());
                document.fault(&KeyPath::of("http.listen"), &message, None);
            }
        }
    }

    /// No socket is listened on twice, by one list or by two; `chosen`: that those of the encrypted
    /// transports come of --dev-tls alone.
    fn check_unique(&self, document: &mut Document<'_>, chosen: bool) {
        let hint =
            chosen.then_some("--dev-tls chose it; choose others by --tls, --https or --quic");
        let over_tcp = [
            ("dns.listen", &self.dns),
            ("http.listen", &self.http),
            ("dns.tls_listen", &self.tls),
            ("dns.https_listen", &self.https),
            ("http.tls_listen", &self.http_tls),
        ];
        let over_udp = [("dns.listen", &self.dns), ("dns.quic_listen", &self.quic)];
        unique(document, &over_tcp, 0, hint);
        // What `dns.listen` has twice was said.
        unique(document, &over_udp, self.dns.len(), hint);
    }
}

/// The sockets, and the files of unix sockets, which start at `folder`.
fn parted(addresses: &[HttpAddress], folder: &Path) -> (Vec<SocketAddr>, Vec<PathBuf>) {
    let (mut sockets, mut files) = (Vec::new(), Vec::new());
    for address in addresses {
        match address {
            HttpAddress::Socket(socket) => sockets.push(*socket),
            HttpAddress::Unix(path) => files.push(folder.join(path)),
        }
    }
    (sockets, files)
}

/// Notes a fault for each socket of `lists` that is there before, from the one of that number on.
fn unique(
    document: &mut Document<'_>,
    lists: &[(&str, &Vec<SocketAddr>)],
    first: usize,
    hint: Option<&str>,
) {
    let sockets = lists
        .iter()
        .flat_map(|(key, list)| list.iter().enumerate().map(|(i, socket)| (*key, i, *socket)));
    let sockets: Vec<_> = sockets.collect();
    for (number, (key, i, socket)) in sockets.iter().enumerate().skip(first) {
        // Port 0 takes any free port, so that two of them are two sockets.
        let same =
            |earlier: &&(&str, usize, SocketAddr)| earlier.2 == *socket && socket.port() != 0;
        let Some((other, ..)) = sockets[..number].iter().find(same) else { continue };
        let message = if other == key {
            format!("{socket} is listed twice")
        } else {
            format!("{socket} is in {other} already")
        };
        let hint = hint.filter(|_| !["dns.listen", "http.listen", "http.tls_listen"].contains(key));
        document.fault(&KeyPath::of(key).index(*i), &message, hint);
    }
}
