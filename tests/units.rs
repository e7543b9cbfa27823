//! The systemd units that are packaged: systemd finds nothing wrong with them, and a server that runs
//! under their rules asks the kernel for nothing that they forbid.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use support::dns::Query;
use support::needs;
use support::server::Server;

const SYSTEMD: &[&str] = &["systemd-analyze", "--version"];

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

/// All that the unit says of `key`, in order.
fn setting(unit: &str, key: &str) -> Vec<String> {
    let text = fs::read_to_string(packaged(unit)).unwrap();
    let values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

fn analyze(arguments: &[&str]) -> String {
    let output = Command::new("systemd-analyze").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[test]
fn systemd_takes_the_units_without_a_word() {
    if !needs::works(SYSTEMD) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let place = |from: &Path, to: &str| {
        let to = root.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    // The targets that the units name are systemd's own.
    place(Path::new("/lib/systemd/system"), "usr/lib/systemd/system");
    place(Path::new(env!("CARGO_BIN_EXE_signpost")), "usr/bin/signpost");
    place(Path::new("/bin/kill"), "bin/kill");
    for unit in ["signpost.service", "signpost.socket"] {
        place(&packaged(unit), &format!("etc/systemd/system/{unit}"));
    }

    let root = format!("--root={}", root.path().display());
    let said = analyze(&["verify", &root, "--man=no", "signpost.service", "signpost.socket"]);

    let said: Vec<&str> = said.lines().filter(|line| line.contains("signpost")).collect();
    assert_eq!(said, Vec::<&str>::new());
}

#[test]
fn the_service_is_exposed_to_little() {
    if !needs::works(SYSTEMD) {
        return;
    }
    let unit = packaged("signpost.service");
    // 1.7 of 10: it talks to the network, by ports below 1024, and nices its threads.
    analyze(&["security", "--offline=true", "--threshold=17", unit.to_str().unwrap()]);
}

#[test]
fn the_socket_unit_and_the_packaged_configuration_name_the_same_addresses() {
    let config = fs::read_to_string(packaged("registry.toml")).unwrap();
    let listens =
        config.lines().filter_map(|line| line.strip_prefix("listen = [\"")?.split_once('"'));
    let [dns, http] =
        listens.map(|(address, _)| address.to_owned()).collect::<Vec<_>>().try_into().unwrap();

    assert_eq!(setting("signpost.socket", "ListenDatagram"), std::slice::from_ref(&dns));
    assert_eq!(setting("signpost.socket", "ListenStream"), [dns, http]);
}

#[test]
fn a_server_asks_the_kernel_for_nothing_that_the_unit_forbids() {
    if !needs::works(SYSTEMD) || !needs::works(needs::STRACE) {
        return;
    }
    let calls = traced();

    let allowed = allowed_calls();
    let names: BTreeSet<&str> = calls.iter().map(|call| call.split('(').next().unwrap()).collect();
    let forbidden: Vec<_> = names.iter().filter(|name| !allowed.contains(**name)).collect();
    assert_eq!(forbidden, Vec::<&&str>::new(), "are not in the unit's SystemCallFilter");
    assert!(names.len() > 40, "{names:?}");
    assert!(!["chown", "setuid", "nice", "mount"].iter().any(|name| allowed.contains(*name)));

    let families = setting("signpost.service", "RestrictAddressFamilies").concat();
    let sockets = calls.iter().filter_map(|call| call.strip_prefix("socket("));
    let used: BTreeSet<&str> = sockets.map(|call| call.split(',').next().unwrap()).collect();
    assert!(used.iter().all(|family| families.split(' ').any(|f| f == *family)), "{used:?}");
    assert!(used.contains("AF_UNIX") && used.contains("AF_INET"), "{used:?}");

    let writes_and_runs = |call: &&String| call.contains("PROT_WRITE|PROT_EXEC");
    assert_eq!(calls.iter().find(writes_and_runs), None, "MemoryDenyWriteExecute");
}

/// All system calls of a server from its start to its end, with something of everything in between.
fn traced() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (trace, notify) = (folder.path().join("trace"), folder.path().join("notify"));
    let _manager = UnixDatagram::bind(&notify).unwrap();
    let notify = format!("NOTIFY_SOCKET={}", notify.display());
    let strace = ["strace", "-D", "-f", "-o", trace.to_str().unwrap()];
    let mut server =
        Server::builder("[services.web]\nchecks = [{ kind = \"tcp\", interval = \"1s\" }]\n")
            .under(&[&strace[..], &["-E", &notify, "-E", "WATCHDOG_USEC=1000000"]].concat())
            .argument("--dev-tls")
            .argument("--tls=127.0.0.1:0")
            .argument("--https=127.0.0.1:0")
            .argument("--quic=127.0.0.1:0")
            .start();
    let body = json!({"addresses": [server.http.address.ip()], "port": server.http.address.port()});
    server.http.register("web", "a", &body);
    server.dns.tcp(&Query::new("web.service.local", "SRV"));
    support::eventually(support::SOON, "a check has passed", || {
        (!server.dns.ask("web.service.local", "A").data().is_empty()).then_some(())
    });
    server.http.get("/metrics");
    server.signal("HUP");
    support::eventually(support::SOON, "it has reloaded", || {
        server.log().contains("reloaded").then_some(())
    });
    assert_eq!(server.terminate().code(), Some(0));

    let whole = support::eventually(support::SOON, "strace has ended", || {
        let text = fs::read_to_string(&trace).unwrap();
        text.contains("+++ exited with 0 +++").then_some(text)
    });
    let calls = whole.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start()));
    let calls = calls.filter(|call| call.starts_with(|c: char| c.is_ascii_lowercase()));
    calls.map(str::to_owned).collect()
}

/// What the lines of the filter come to: names and sets, with `~` taken away again.
fn allowed_calls() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    // systemd allows these to whoever has a filter.
    let lines = std::iter::once("@default".to_owned());
    for line in lines.chain(setting("signpost.service", "SystemCallFilter")) {
        let (less, names) =
            line.strip_prefix('~').map_or((false, &line[..]), |names| (true, names));
        for name in names.split(' ').flat_map(members) {
            if less {
                allowed.remove(&name);
            } else {
                allowed.insert(name);
            }
        }
    }
    allowed
}

/// The system calls of a set, and of the sets in it.
fn members(name: &str) -> Vec<String> {
    if !name.starts_with('@') {
        return vec![name.to_owned()];
    }
    let listed = analyze(&["syscall-filter", name]);
    let lines = listed.lines().skip(1).map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).flat_map(members).collect()
}
