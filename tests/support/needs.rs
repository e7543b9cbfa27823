//! What tests need of the machine: other people's programs, and the right to use them.
//!
//! A test whose need is not met proves nothing: it says so past the harness, and passes. Where `CI`
//! is set it fails instead, unless the program is one that `./test` does not install.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether `command` succeeds here. Where not, says that the test which needs it is skipped.
pub(crate) fn works(command: &[&str]) -> bool {
    let works = present(command);
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(works || !ci, "{command:?} does not work, which ./test installs");
    works
}

/// The same of what `./test` does not install: a test may do without it also where `CI` is set.
pub(crate) fn present(command: &[&str]) -> bool {
    let works = succeeds(command);
    if !works {
        skipped(&format!("\"{}\" does not work here", command.join(" ")));
    }
    works
}

/// The folder of programs that `./test` has from PyPI, in the target folder: a virtual environment.
pub(crate) fn tools() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_signpost"));
    binary.parent().and_then(Path::parent).unwrap().join("tools")
}

/// What to put before a shell command that mounts: a mount namespace of its own, as root or in a
/// user namespace. `None`, and said, where there is neither.
pub(crate) fn mounts() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["unshare", "-m"], &["unshare", "-rm"]];
    let works =
        |way: &&&[&str]| succeeds(&[way, &["mount", "-t", "tmpfs", "none", "/tmp"][..]].concat());
    let way = ways.iter().find(works).copied();
    if way.is_none() {
        skipped("nothing may be mounted here, not even in a namespace");
    }
    way
}

/// What to put before a command that needs a network of its own, as root or in a user namespace;
/// what it starts ends with it. `None`, and said, where there is neither.
pub(crate) fn networks() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [
        &["unshare", "--net", "--pid", "--fork", "--kill-child"],
        &["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"],
    ];
    let up = ["ip", "link", "set", "lo", "up"];
    let way = ways.into_iter().find(|way| succeeds(&[way, &up[..]].concat()));
    if way.is_none() {
        skipped("no network of its own may be made here");
    }
    way
}

/// The library that gives a program a wall clock of its own, of Debian's libfaketime. `None`, and
/// said, where there is none.
pub(crate) fn faketime() -> Option<String> {
    let works = works(&["faketime", "-f", "+1d", "true"]);
    let folders = std::fs::read_dir("/usr/lib").ok().filter(|_| works)?;
    let libraries = folders.flatten().map(|dir| dir.path().join("faketime/libfaketimeMT.so.1"));
    libraries.filter(|path| path.exists()).find_map(|path| path.to_str().map(str::to_owned))
}

/// Says that a test proves nothing here.
pub(crate) fn skipped(reason: &str) {
    let thread = std::thread::current();
    note(&format!("skipped: {}: {reason}", thread.name().unwrap_or_default()));
}

/// Says a line past the harness, which keeps what passing tests print.
pub(crate) fn note(line: &str) {
    drop(std::io::stderr().write_all(format!("{line}\n").as_bytes()));
}

fn succeeds(command: &[&str]) -> bool {
    let [program, arguments @ ..] = command else { return false };
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", tools().join("bin").display()));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// `dig`, of Debian's bind9-dnsutils.
pub(crate) const DIG: &[&str] = &["dig", "-v"];

/// `strace`, and that it may trace.
pub(crate) const STRACE: &[&str] = &["strace", "-D", "-f", "-o", "/dev/null", "true"];

/// HAProxy.
pub(crate) const HAPROXY: &[&str] = &["haproxy", "-v"];

/// dnspython, of Debian's python3-dnspython.
pub(crate) const DNSPYTHON: &[&str] = &["/usr/bin/python3", "-c", "import dns.query, dns.resolver"];

/// glibc's resolver, also on machines that have no address of one family.
pub(crate) const GETENT: &[&str] = &["getent", "-A", "ahosts", "127.0.0.1"];

/// NSD, an authoritative name server.
pub(crate) const NSD: &[&str] = &["/usr/sbin/nsd", "-v"];

/// Knot DNS, another one.
pub(crate) const KNOT: &[&str] = &["/usr/sbin/knotd", "--version"];

/// `kdig`, of Debian's knot-dnsutils.
pub(crate) const KDIG: &[&str] = &["kdig", "-V"];

/// curl.
pub(crate) const CURL: &[&str] = &["curl", "-V"];

/// `drill`, of Debian's ldnsutils.
pub(crate) const DRILL: &[&str] = &["drill", "-v"];

/// `delv`, of Debian's bind9-dnsutils.
pub(crate) const DELV: &[&str] = &["delv", "-v"];

/// dnsperf.
pub(crate) const DNSPERF: &[&str] = &["dnsperf", "-h"];

/// Zonemaster.
pub(crate) const ZONEMASTER: &[&str] = &["zonemaster-cli", "--version"];

/// slowhttptest.
pub(crate) const SLOWHTTPTEST: &[&str] = &["sh", "-c", "command -v slowhttptest"];
