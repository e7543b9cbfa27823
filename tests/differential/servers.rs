//! signpost, NSD and Knot with the same zones, on ports of their own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::queries::Query;
use crate::support::dns::Dns;
use crate::support::outcome::{Got, datagrams, framed};
use crate::support::packet::ask;
use crate::support::server::{Server, free_addresses};
use crate::support::{SOON, eventually, needs};

/// Whom signpost is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Nsd,
    Knot,
}

/// The three servers.
pub(crate) struct Three {
    ours: Server,
    nsd: Daemon,
    knot: Daemon,
}

/// A name server that ends with the test, in an orderly way: NSD has children of its own.
struct Daemon {
    child: Child,
    dns: Dns,
    folder: TempDir,
}

impl Three {
    /// Starts them; `None` where one of them is not installed.
    pub(crate) fn start() -> Option<Self> {
        if !needs::works(needs::NSD) || !needs::works(needs::KNOT) {
            return None;
        }
        let mut builder = Server::builder("[store]\nkind = \"memory\"");
        for (origin, text) in ZONES {
            builder = builder.file(&format!("zones/{origin}.zone"), text);
        }
        let ours = builder.start();
        let nsd = Daemon::start("/usr/sbin/nsd", &["-d", "-c"], nsd_config);
        let knot = Daemon::start("/usr/sbin/knotd", &["-c"], knot_config);
        Some(Self { ours, nsd, knot })
    }

    /// What each says: signpost, NSD, Knot.
    pub(crate) fn ask(&self, query: &Query) -> [Got; 3] {
        let packet = query.packet.bytes(next_id());
        let honest = honest();
        [self.ours.dns, self.nsd.dns, self.knot.dns].map(|dns| {
            if query.tcp {
                framed(&mut dns.connect(), &packet, &honest)
            } else {
                datagrams(dns, &packet, &honest)
            }
        })
    }
}

impl Daemon {
    fn start(
        program: &str,
        arguments: &[&str],
        config: impl Fn(SocketAddr, &Path) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, _) = free_addresses();
        for (origin, text) in ZONES {
            fs::write(folder.path().join(format!("{origin}.zone")), text).unwrap();
        }
        let file = folder.path().join("config");
        fs::write(&file, config(address, folder.path())).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let dns = Dns { address };
        let mut daemon = Self { child, dns, folder };
        eventually(SOON, &format!("{program} answers"), || {
            let log = fs::read_to_string(daemon.folder.path().join("log")).unwrap();
            assert_eq!(daemon.child.try_wait().unwrap(), None, "{program} ended: {log}");
            let reply = dns.exchange(&honest(), POLL)?;
            (reply[3] & 15 == 0).then_some(())
        });
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-s", "TERM", &pid]).status());
        drop(self.child.wait());
    }
}

fn nsd_config(address: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    let zones: String = ZONES
        .iter()
        .map(|(origin, _)| format!("zone:\n name: {origin}\n zonefile: {origin}.zone\n"))
        .collect();
    format!(
        "server:\n ip-address: {}@{}\n username: \"\"\n pidfile: \"\"\n zonesdir: {folder}\n \
         database: \"\"\n xfrdfile: {folder}/xfrd\n zonelistfile: {folder}/list\n \
         logfile: {folder}/nsd.log\n server-count: 1\n rrl-ratelimit: 0\n \
         minimal-responses: yes\n nsid: \"ascii_ns1\"\n hide-version: yes\n \
         hide-identity: yes\n ipv4-edns-size: 1232\n\
         remote-control:\n control-enable: no\n{zones}",
        address.ip(),
        address.port()
    )
}

fn knot_config(address: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    let zones: String = ZONES.iter().map(|(origin, _)| format!("  - domain: {origin}\n")).collect();
    format!(
        "server:\n    rundir: {folder}\n    listen: {}@{}\n    udp-workers: 1\n    \
         tcp-workers: 1\n    background-workers: 1\n    nsid: ns1\n    identity: \"\"\n    \
         version: \"\"\n\
         database:\n    storage: {folder}\n\
         log:\n  - target: stderr\n    any: info\n\
         template:\n  - id: default\n    storage: {folder}\n    file: \"%s.zone\"\n    \
         journal-content: none\n    zonefile-load: whole\n    semantic-checks: soft\n\
         zone:\n{zones}",
        address.ip(),
        address.port()
    )
}

/// How long a server that is starting is waited for before it is asked again.
const POLL: Duration = Duration::from_millis(50);

/// A query that each of them answers.
fn honest() -> Vec<u8> {
    ask("diff.example", "SOA").bytes(next_id())
}

fn next_id() -> u16 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

static NEXT_ID: AtomicU16 = AtomicU16::new(1);

const ZONES: [(&str, &str); 3] = [
    ("diff.example", include_str!("diff.example.zone")),
    ("child.diff.example", include_str!("child.diff.example.zone")),
    ("other.example", include_str!("other.example.zone")),
];
