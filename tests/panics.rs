//! A server whose tasks or threads panic ends, says why, and loses nothing that it acknowledged.
//!
//! The released binary has nothing that panics on demand. So this test binary starts itself as the
//! server, by the library's `serve`, and panics beside it in the same process.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]
#![expect(clippy::panic, reason = "panics are what is tested")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::io::{BufRead, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use serde_json::json;
use signpost::server::{Options, serve};

use support::http::Http;
use support::server::{Server, free_addresses, text};
use support::{SOON, eventually};

/// What the child does when a line arrives on its stdin.
const PANICS: [(&str, fn()); 4] = [
    ("thread", || drop(thread::Builder::new().name("scribe".into()).spawn(|| panic!("ink\nout")))),
    ("task", || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        let task = runtime.as_ref().unwrap().spawn(async { panic!("of a task") });
        while !task.is_finished() {
            thread::yield_now();
        }
    }),
    ("fenced", || drop(signpost::fence::contain(|| panic!("of a packet")))),
    // One that does not end although it was told to.
    ("stuck", || drop(thread::spawn(|| panic!("and then nothing")))),
];

/// The server that the tests start: does nothing in a run of the tests themselves.
#[test]
fn the_child() {
    let Ok(kind) = std::env::var("SIGNPOST_TEST_PANIC") else { return };
    let (_, panic) = PANICS.into_iter().find(|(name, _)| *name == kind).unwrap();
    thread::spawn(move || {
        for _line in std::io::stdin().lock().lines() {
            panic();
        }
    });
    let config = PathBuf::from(std::env::var("SIGNPOST_TEST_CONFIG").unwrap());
    let ended = serve(Options { config: Some(config), ..Options::default() });
    if kind == "stuck" {
        loop {
            thread::park();
        }
    }
    if let Err(error) = &ended {
        eprintln!("signpost: {error}");
    }
    std::process::exit(i32::from(ended.is_err()));
}

struct Panicking {
    folder: tempfile::TempDir,
    child: Child,
    http: Http,
}

impl Panicking {
    fn start(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (dns, http) = free_addresses();
        let config = folder.path().join("registry.toml");
        let lines = format!("[dns]\nlisten = [\"{dns}\"]\n[http]\nlisten = [\"{http}\"]\n");
        std::fs::write(&config, lines).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["the_child", "--exact", "--nocapture"]).env("SIGNPOST_TEST_PANIC", kind);
        command.env("SIGNPOST_TEST_CONFIG", &config).env_remove("RUST_LOG").stdin(Stdio::piped());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let http = Http::new(http);
        eventually(SOON, "the server is ready", || {
            http.try_get("/readyz").filter(|reply| reply.status == 200)
        });
        Self { folder, child, http }
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"now\n").unwrap();
    }

    /// How it ended, and what it said.
    fn end(&mut self) -> (ExitStatus, String) {
        let ended = eventually(SOON, "the server has ended", || self.child.try_wait().unwrap());
        (ended, text(self.child.stderr.take()))
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_panic_of_a_thread_or_a_task_ends_the_process_with_all_that_it_acknowledged() {
    for (kind, thread, cause) in
        [("thread", "scribe", "ink\\nout"), ("task", "tokio-rt-worker", "of a task")]
    {
        let mut server = Panicking::start(kind);
        for id in ["a", "b", "c"] {
            server.http.register("web", id, &json!({"addresses": ["10.0.0.1"], "ttl": null}));
        }

        server.go();
        let (status, log) = server.end();

        assert_eq!(status.code(), Some(1), "{log}");
        let told = log.lines().find(|line| line.contains("panicked")).unwrap_or_default();
        for part in ["ERROR", &format!("thread={thread:?}"), cause, "tests/panics.rs:"] {
            assert!(told.contains(part), "no {part:?} in {told:?} of {log}");
        }
        let last = log.lines().filter(|line| line.starts_with("signpost: panics: 1, the first in"));
        assert_eq!(last.count(), 1, "{log}");
        assert!(log.contains("shutting down"), "{log}");

        let data = server.folder.path().join("data");
        let next = Server::start(&format!("[server]\ndata_dir = {data:?}"));
        let instances = next.http.get("/v1/services/web").body["instances"].clone();
        assert_eq!(instances.as_array().unwrap().len(), 3, "{instances}");
    }
}

#[test]
fn a_panic_behind_a_fence_is_logged_and_counted_and_the_server_goes_on() {
    let mut server = Panicking::start("fenced");
    assert_eq!(server.http.metric("signpost_panics_total", ""), Some(0.0));

    for count in [1.0, 2.0] {
        server.go();
        eventually(SOON, "it is counted", || {
            (server.http.metric("signpost_panics_total", "") == Some(count)).then_some(())
        });
    }

    server.http.register("web", "a", &json!({"addresses": ["10.0.0.1"], "ttl": null}));
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let (status, log) = server.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("contained=true")).count(), 2, "{log}");
}

#[test]
fn a_process_that_does_not_end_after_a_panic_is_aborted() {
    let mut server = Panicking::start("stuck");
    server.http.register("web", "a", &json!({"addresses": ["10.0.0.1"], "ttl": null}));

    server.go();
    let (status, log) = server.end();

    assert_eq!(status.signal(), Some(6), "{log}");
    assert!(log.contains("takes too long: aborting"), "{log}");
}
