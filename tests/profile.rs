//! Profiles of a running server, in a build that takes them (`cargo test --features pprof`).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[path = "../benches/flamegraph/profile.rs"]
mod profile;
#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use profile::{Function, stacks};
use support::dns::Query;
use support::server::Server;
use support::{SOON, eventually, needs};

const WEB: &str = r#"
[services.web]
[[services.web.instances]]
id = "web-1"
addresses = ["10.0.0.1"]
"#;

/// A profile of one second, during which the server is asked over DNS.
fn taken(server: &Server) -> Vec<u8> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let query = Query::new("web.service.local", "A");
            while !over.load(Ordering::Relaxed) {
                server.dns.query(&query);
            }
        });
        let url = format!("{}/debug/pprof/profile?seconds=1&hz=1000", server.url());
        let mut reply = ureq::get(url).call().unwrap();
        over.store(true, Ordering::Relaxed);
        reply.body_mut().read_to_vec().unwrap()
    })
}

#[test]
fn a_profile_shows_what_answers_queries() {
    let server = Server::start(WEB);

    let stacks = stacks(&taken(&server)).expect("the encoding of a profile");

    assert!(stacks.iter().map(|stack| stack.samples).sum::<u64>() > 10, "{stacks:#?}");
    let ours = |function: &Function| function.file.contains("/src/dns/");
    let answering = stacks.iter().filter(|stack| stack.frames.iter().any(ours));
    assert!(answering.count() > 0, "{stacks:#?}");
    assert!(stacks.iter().all(|stack| !stack.thread.is_empty()), "{stacks:#?}");
    server.assert_well("after a profile");
}

#[test]
fn gos_pprof_reads_a_profile() {
    if !needs::works(&["go", "version"]) {
        return;
    }
    let server = Server::start(WEB);
    let file = server.folder().join("profile.pb");
    std::fs::write(&file, taken(&server)).unwrap();

    let go = Command::new(needs::tools().join("bin/go"))
        .args(["tool", "pprof", "-raw"])
        .arg(&file)
        .env("GOCACHE", needs::tools().join("go-cache"))
        .output()
        .unwrap();

    let text = String::from_utf8_lossy(&go.stdout);
    assert!(go.status.success(), "{go:?}");
    assert!(text.contains("cpu/nanoseconds"), "{text}");
    assert!(text.contains("signpost::dns::"), "{text}");
}

#[test]
fn there_is_one_profile_at_a_time_and_leaving_ends_it() {
    let server = Server::start(WEB);
    let ask = |_| {
        let mut client = TcpStream::connect(server.http.address).unwrap();
        client
            .write_all(b"GET /debug/pprof/profile?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        client.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        client
    };

    let clients = [0, 1].map(ask);
    eventually(SOON, "one of two is refused", || {
        clients.iter().find(|client| {
            let (mut client, mut head) = (*client, [0; 13]);
            client.read_exact(&mut head).is_ok_and(|()| head == *b"HTTP/1.1 429 ")
        })
    });
    drop(clients);

    eventually(SOON, "another profile may be taken", || {
        ureq::get(format!("{}/debug/pprof/profile?seconds=1", server.url())).call().ok()
    });
}
