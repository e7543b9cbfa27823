//! `signpost doctor` on hosts that are well, and on hosts that are not: with a resolv.conf and an
//! nsswitch.conf of their own, in a mount namespace.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use support::needs;
use support::server::{Server, free_addresses};

/// Puts two files of the current folder over those of the system, and runs the rest.
const AS_HOST: &str = "mount --bind resolv.conf /etc/resolv.conf && mount --bind nsswitch.conf /etc/nsswitch.conf && \
     exec \"$@\"";

/// What the doctor says of a host with these files, in the folder of the configuration.
fn doctor(mounts: &[&str], folder: &Path, resolv: &str, hosts: &str, arguments: &[&str]) -> Output {
    fs::write(folder.join("resolv.conf"), resolv).unwrap();
    fs::write(folder.join("nsswitch.conf"), format!("passwd: files\nhosts: {hosts}\n")).unwrap();
    let mut command = Command::new(mounts[0]);
    command.args(&mounts[1..]).args(["sh", "-c", AS_HOST, "sh", env!("CARGO_BIN_EXE_signpost")]);
    command.arg("doctor").args(arguments).current_dir(folder).output().unwrap()
}

/// The state and the text of a check.
fn check<'r>(report: &'r Value, name: &str) -> (&'r str, &'r str) {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|finding| finding["check"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {report}"));
    (found["state"].as_str().unwrap(), found["found"].as_str().unwrap())
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// A configuration that says what the flags of `server` said.
fn configured(server: &Server, dns: &str) {
    let http = server.http.address;
    server.write_config(&format!("[dns]\nlisten = [\"{dns}\"]\n[http]\nlisten = [\"{http}\"]\n"));
}

#[test]
fn a_host_whose_resolver_leads_to_the_server_is_well() {
    let Some(mounts) = needs::mounts() else { return };
    let dns = format!("{}:53", free_addresses().0.ip());
    if UdpSocket::bind(&dns).is_err() {
        return needs::skipped("port 53 may not be bound here, the only one that libc asks");
    }
    let server = Server::builder("").dns(&dns).start();
    configured(&server, &dns);
    let resolv = format!("nameserver {}\n", server.dns.address.ip());

    let output = doctor(
        mounts,
        server.folder(),
        &resolv,
        "files mdns4_minimal [NOTFOUND=return] dns",
        &["--config", "registry.toml", "--server", &server.url(), "-o", "json"],
    );

    let report = json(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let ip = server.dns.address.ip().to_string();
    for (name, found) in [
        ("configuration", "registry.toml: ok, 0 services"),
        ("side-port", "is ready"),
        ("resolv.conf", &format!("programs ask {ip}, port 53")),
        ("nsswitch", "service.local alone is asked for by multicast"),
        ("zone", &format!("{dns} answers for service.local")),
        ("system's resolver", &format!("ns1.service.local is {ip}")),
        ("addresses", "signpost's"),
        ("port 53", &format!("{ip} by signpost ({})", server.pid())),
        ("clock", ""),
        ("data folder", "for its owner only"),
        ("registry", &format!("process {} has it", server.pid())),
    ] {
        let (state, text) = check(&report, name);
        assert!(text.contains(found), "{name}: {text}");
        // What this machine says of its clock is its own business.
        assert!(state == "ok" || name == "clock", "{name}: {state}: {text}");
    }
}

#[test]
fn a_host_with_every_fault_is_told_each_of_them_and_what_to_do() {
    let Some(mounts) = needs::mounts() else { return };
    let server = Server::start("");
    configured(&server, &server.dns.address.to_string());
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let data = server.folder().join("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();

    let wanted = format!("{}, {}", server.dns.address, server.http.address);
    let output = doctor(
        mounts,
        server.folder(),
        "nameserver 127.0.0.1:8053\n",
        "files mdns4 [NOTFOUND=return] dns",
        &["--config", "registry.toml", "--server", "http://127.0.0.1:1", "-o", "json"],
    );
    let report = json(&output);

    assert_eq!(output.status.code(), Some(1), "{report:#}");
    for (name, state, found) in [
        ("side-port", "warn", "cannot reach http://127.0.0.1:1"),
        ("resolv.conf", "fail", "127.0.0.1:8053 is no address"),
        ("nsswitch", "fail", "multicast keeps all names below local from DNS"),
        ("zone", "ok", "answers for service.local"),
        ("system's resolver", "fail", "ns1.service.local is not found"),
        ("data folder", "fail", "everybody may write"),
        ("addresses", "ok", &wanted),
    ] {
        let (is, text) = check(&report, name);
        assert!(is == state && text.contains(found), "{name}: {is}: {text}");
    }
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().all(|finding| finding["state"] == "ok" || finding["next"].is_string()));

    // Another server has an address, and the file is not what it was.
    server.write_config(&format!("[dns]\nlisten = [\"{}\"]\n", taken.local_addr().unwrap()));
    fs::write(data.join("registry.redb"), "nonsense").unwrap();
    let table = doctor(mounts, server.folder(), "", "files", &["--config", "registry.toml"]);

    let text = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.status.code(), Some(1), "{text}");
    let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
    for part in ["nsswitch", "addresses", "registry", "data folder"] {
        assert!(failed.iter().any(|line| line[6..].starts_with(part)), "no {part}: {text}");
    }
    let own = format!("({})", std::process::id());
    assert!(text.contains(&own) && text.contains("  -> "), "{text}");
}

#[test]
fn a_file_that_is_not_legal_fails() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("registry.toml"), "[servr]\n").unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_signpost"));
    let output =
        command.args(["doctor", "-o", "json"]).current_dir(folder.path()).output().unwrap();

    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    let (state, text) = check(&report, "configuration");
    assert_eq!(state, "fail");
    assert!(text.contains("registry.toml:1"), "{text}");
}
