//! What a service manager hears of a server, and when it hears no more.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use support::server::{Guarded, Server};
use support::{SOON, eventually, needs};

/// The socket that a service manager listens on.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { socket, folder }
    }

    /// A server that is told of the socket, and to give a sign of life in 1.5 s.
    fn start(&self, config: &str) -> Server {
        let notify = format!("NOTIFY_SOCKET={}", self.folder.path().join("notify").display());
        Server::builder(config).under(&["env", &notify, "WATCHDOG_USEC=1500000"]).start()
    }

    /// The next message, if one comes within `wait`.
    fn heard(&self, wait: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(wait)).unwrap();
        let mut buffer = [0; 4_096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// Waits for a message that holds `line`; all of it.
    fn hears(&self, line: &str) -> String {
        eventually(SOON, line, || {
            self.heard(SOON).filter(|message| message.lines().any(|l| l.starts_with(line)))
        })
    }

    /// Asserts that no sign of life comes for longer than a service manager would wait.
    fn hears_no_life(&self) {
        while self.heard(Duration::from_millis(10)).is_some() {}
        // What was under way.
        self.heard(Duration::from_millis(600));
        let mut heard = Vec::new();
        while let Some(message) = self.heard(Duration::from_secs(2)) {
            assert!(!message.contains("WATCHDOG"), "{message}");
            heard.push(message);
            if heard.len() == 3 {
                break;
            }
        }
    }
}

const WEB: &str = "[[services.web.instances]]\nid = \"a\"\naddresses = [\"10.0.0.1\"]\n";

#[test]
fn it_hears_of_readiness_life_reloads_and_the_end() {
    let manager = Manager::new();
    let mut server = manager.start(WEB);

    let ready = manager.heard(SOON).unwrap();
    let first =
        format!("READY=1\nSTATUS=revision {}, services 1, instances 1\n", server.http.revision());
    assert_eq!(ready, first);
    manager.hears("WATCHDOG=1");
    server.http.register("web", "b", &json!({"addresses": ["10.0.0.2"]}));
    eventually(SOON, "the status moves", || {
        manager.hears("STATUS=").contains("instances 2").then_some(())
    });
    server.signal("HUP");
    let reloading = manager.hears("RELOADING=1");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    let up = fs::read_to_string("/proc/uptime").unwrap();
    let up: f64 = up.split(' ').next().unwrap().parse().unwrap();
    let age = up - since.parse::<f64>().unwrap() / 1e6;
    // In a namespace of its own, the time since it began counts.
    assert!(age.abs() < 60.0, "{reloading} at {up}");
    manager.hears("READY=1");

    assert_eq!(server.terminate().code(), Some(0));
    manager.hears("STOPPING=1");
}

#[test]
fn a_stopped_process_gives_no_sign_of_life() {
    let manager = Manager::new();
    let server = manager.start(WEB);
    manager.hears("WATCHDOG=1");

    server.signal("STOP");
    manager.hears_no_life();
    server.signal("CONT");

    manager.hears("WATCHDOG=1");
}

#[test]
fn one_thread_that_hangs_is_enough_to_give_none() {
    if !needs::works(needs::STRACE) {
        return;
    }
    for (thread, call, part) in [
        ("dns-0", "recvmmsg", "a thread that answers datagrams"),
        ("registry", "futex", "the registry"),
    ] {
        let manager = Manager::new();
        let server = manager.start(WEB);
        manager.hears("WATCHDOG=1");

        // The next call of this one thread takes an hour.
        let inject = format!("inject={call}:delay_enter=3600s");
        let id = thread_of(&server, thread);
        let mut strace = Command::new("strace");
        strace.args(["-p", &id, "-o", "/dev/null", "-e", &inject]);
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let _strace = Guarded(strace.spawn().unwrap());
        eventually(SOON, "the server notices", || {
            server
                .log()
                .contains(&format!(
                    "no sign of life: the service manager is not told of any part={part:?}"
                ))
                .then_some(())
        });

        manager.hears_no_life();
    }
}

/// The id of the thread of this name.
fn thread_of(server: &Server, name: &str) -> String {
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let mut ids = threads.map(|thread| thread.unwrap().path());
    let is_it = |path: &std::path::PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let path = ids.find(is_it).unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
