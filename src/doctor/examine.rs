//! Reads what the checks judge: files, tables of the kernel, two questions.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;

use crate::config::{self, Boot, Config, StoreKind};
use crate::doctor::folder::{self, Folder, Seen};
use crate::doctor::ports::{self, Listening, Owner};
use crate::doctor::resolver::{self, Files};
use crate::doctor::{Finding, Report, host, lookup};
use crate::registry::Clock;
use crate::server;
use crate::store::Embedded;

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The server's configuration; `None`: the built-in defaults.
    pub config: Option<PathBuf>,
    /// What the side-port said.
    pub reached: Reached,
}

/// What came of a call to the side-port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// It is ready.
    Ready(String),
    /// It cannot be reached, or says that it is not ready: why.
    Not(String),
}

/// Looks at this host.
#[must_use]
pub fn examine(options: Options) -> Report {
    let (config, found) = configuration(options.config);
    let mut checks = vec![found];
    checks.push(match options.reached {
        Reached::Ready(server) => Finding::ok("side-port", format!("{server} is ready")),
        Reached::Not(reason) => Finding::warn(
            "side-port",
            reason,
            "start the server, or name another with --server URL",
        ),
    });
    let Config { boot, live, .. } = &config;
    checks.extend(names(boot));
    checks.extend(addresses(boot));
    checks.push(host::clock(Clock::start().wall(), synchronised()));
    if boot.store == StoreKind::Embedded {
        checks.extend(folder::findings(&data_folder(&boot.data_dir)));
    }
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(_, hard)| hard);
    checks.push(host::descriptors(hard, live.limits.connections));
    checks.push(host::buffers(read("/proc/sys/net/core/rmem_max").trim().parse().ok()));
    Report { checks }
}

fn configuration(path: Option<PathBuf>) -> (Config, Finding) {
    let check = "configuration";
    let Some(path) = path else {
        return (Config::default(), Finding::ok(check, "none: built-in defaults"));
    };
    // As a start would: zone files and certificates too.
    let found = match server::check(&path) {
        Ok(checked) => {
            let checked = checked.to_string();
            let (warnings, last) = checked.rsplit_once('\n').unwrap_or(("", &checked));
            match warnings {
                "" => Finding::ok(check, last),
                warnings => Finding::warn(check, warnings, "see docs/configuration.md"),
            }
        }
        Err(error) => {
            let next = format!("signpost check {}", path.display());
            Finding::fail(check, error.to_string(), next)
        }
    };
    (config::load(&path).unwrap_or_default(), found)
}

fn names(boot: &Boot) -> Vec<Finding> {
    let zone = boot.zone.as_str();
    let files = Files {
        resolv_conf: read("/etc/resolv.conf"),
        nsswitch: read("/etc/nsswitch.conf"),
        resolved: resolved(),
        avahi: Path::new("/run/avahi-daemon/pid").exists(),
    };
    let asked = boot.dns_listen.iter().map(|address| (*address, lookup::ask(*address, zone)));
    let direct = lookup::direct(zone, &asked.collect::<Vec<_>>());
    let answers = direct.state == super::State::Ok;
    let mut findings = resolver::findings(&files, zone);
    findings.push(direct);
    let expected: Vec<_> = boot.addresses.iter().map(|address| address.ip()).collect();
    if !expected.is_empty() {
        let name = format!("{}.{zone}", boot.name);
        let found = lookup::through_system(&name);
        let way = resolver::way(&files, zone);
        findings.push(lookup::system(&name, &expected, answers, &found, way));
    }
    findings
}

fn addresses(boot: &Boot) -> [Finding; 2] {
    let mut sockets: Vec<Listening> = Vec::new();
    for table in ["udp", "udp6", "tcp", "tcp6"] {
        sockets.extend(ports::listening(&read(format!("/proc/net/{table}"))));
    }
    let owners = owners();
    let dns = [&boot.dns_listen, &boot.tls_listen, &boot.https_listen, &boot.quic_listen];
    let wanted = dns.into_iter().chain([&boot.http_listen, &boot.http_tls_listen]);
    let wanted: Vec<SocketAddr> = wanted.flatten().copied().collect();
    [ports::addresses(&wanted, &sockets, &owners), ports::port_53(&sockets, &owners)]
}

/// The sockets of all processes that this user may look into.
fn owners() -> BTreeMap<u64, Owner> {
    let mut owners = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let name = read(process.path().join("comm")).trim().to_owned();
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        for file in files.filter_map(|file| fs::read_link(file.path()).ok()) {
            let file = file.to_string_lossy();
            let inode = file.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            let Some(inode) = inode.and_then(|inode| inode.parse().ok()) else { continue };
            let owner = Owner { pid, name: name.clone() };
            // Who keeps a socket for others has it too: they are named before it.
            owners
                .entry(inode)
                .and_modify(|known: &mut Owner| {
                    if known.pid == 1 {
                        known.clone_from(&owner);
                    }
                })
                .or_insert(owner);
        }
    }
    owners
}

fn data_folder(path: &Path) -> Folder {
    let Ok(metadata) = fs::metadata(path) else {
        return Folder { path: path.to_owned(), seen: None };
    };
    let lock = fs::metadata(path.join("lock")).map(|lock| lock.ino());
    let space = statvfs(path).ok();
    let seen = Seen {
        is_folder: metadata.is_dir(),
        mode: metadata.mode(),
        owner: metadata.uid(),
        user: geteuid().as_raw(),
        free: space.map(|space| space.blocks_available().saturating_mul(space.fragment_size())),
        holder: lock.ok().and_then(|inode| folder::holder(&read("/proc/locks"), inode)),
        registry: Embedded::inspect(path).map_err(|error| error.to_string()),
    };
    Folder { path: path.to_owned(), seen: Some(seen) }
}

/// All that is written for systemd-resolved.
fn resolved() -> String {
    let mut text = read("/etc/systemd/resolved.conf");
    for folder in ["/usr/lib", "/run", "/etc"] {
        let folder = format!("{folder}/systemd/resolved.conf.d");
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            text.push('\n');
            text.push_str(&read(file.path()));
        }
    }
    text
}

/// Whether the system says that its clock follows others.
fn synchronised() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let mut ask = Command::new("timedatectl");
    ask.args(["show", "--property=NTPSynchronized", "--value"]);
    let said = ask.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    match said.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// What is in a file, as far as it is text; nothing where it cannot be read.
fn read(path: impl AsRef<Path>) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
