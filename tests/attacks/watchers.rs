//! Watchers that do not read, fall behind, lose their token or are gone: what becomes of them, and
//! what that costs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::WEB;
use crate::raw::connect;
use crate::resident;
use crate::support::authenticated::Authenticated;
use crate::support::http::Http;
use crate::support::needs;
use crate::support::server::Server;
use crate::support::{SOON, eventually, now};

/// How often a watch was ended for this reason.
fn ended(http: &Http, reason: &str) -> f64 {
    http.metric("signpost_http_watches_ended_total", &format!("reason=\"{reason}\"")).unwrap()
}

/// A watch, of which nothing is read yet. Its text comes as it is, without chunks.
fn watch(to: SocketAddr, token: Option<&str>) -> TcpStream {
    let mut stream = connect(to);
    let token = token.map_or(String::new(), |t| format!("Authorization: Bearer {t}\r\n"));
    let head = format!("GET /v1/watch HTTP/1.0\r\nHost: localhost\r\n{token}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Reads up to the first event.
fn begun(mut stream: TcpStream) -> BufReader<TcpStream> {
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.flush().unwrap();
    let mut lines = BufReader::new(stream);
    let mut said = String::new();
    while !said.contains("event: reset") || !said.ends_with("\n\n") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
    }
    lines
}

#[test]
fn who_loses_the_token_is_told_within_a_second_or_so() {
    let guarded = Authenticated::start("[auth]\nrequired = true\n");
    let to = guarded.server.http.address;
    let made = |ttl: Value| {
        let made = guarded.made(&json!({ "name": "w", "scopes": ["read"], "ttl": ttl }));
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        (text("token"), text("id"))
    };
    let ends = |token: &str, revoke: Option<&str>| {
        let lines = begun(watch(to, Some(token)));
        let index = guarded.admin.revision();
        let reader = guarded.server.http.apart().with_token(token);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                let path = format!("/v1/services?index={index}&wait=5m");
                reader.get(&path).problem().0
            });
            eventually(SOON, "it waits", || {
                (guarded.admin.metric("signpost_http_watchers", "")? >= 2.0).then_some(())
            });
            if let Some(id) = revoke {
                assert_eq!(guarded.admin.delete(&format!("/v1/tokens/{id}")).status, 204);
            }
            let start = now();
            let said = all(lines, SOON);
            assert_eq!(waiting.join().unwrap(), 401);
            assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
            said
        })
    };

    let (token, id) = made(Value::Null);
    assert_eq!(ends(&token, Some(&id)), ": ended: what let it in holds no longer\n\n");
    let (token, _) = made(json!("4s"));
    assert_eq!(ends(&token, None), ": ended: what let it in holds no longer\n\n");

    assert_eq!(ended(&guarded.admin, "revoked"), 2.0);
    let log = guarded.server.log();
    assert_eq!(log.matches("ended a watch reason=\"revoked\" source=127.").count(), 2, "{log}");
}

#[test]
fn strangers_leave_places_to_who_is_known() {
    let guarded = Authenticated::start(
        "[auth]\nrequired = true\nanonymous_read = true\n[limits]\nwatchers = 6\n",
    );
    let to = guarded.server.http.address;

    let _strangers: Vec<_> = (0..3).map(|_| begun(watch(to, None))).collect();

    let reply = guarded.server.http.get("/v1/watch");
    assert_eq!(reply.problem(), (429, "limit", None));
    let made = guarded.made(&json!({ "name": "w", "scopes": ["read"] }));
    let token = made["token"].as_str();
    let _known: Vec<_> = (0..3).map(|_| begun(watch(to, token))).collect();
    let path = "/v1/services?index=1000&wait=1s";
    assert_eq!(guarded.admin.get(path).problem(), (429, "limit", None));
}

#[test]
fn who_watches_a_server_that_goes_down_is_told_so() {
    let mut server = Server::start("");
    let lines = begun(watch(server.http.address, None));

    assert_eq!(server.terminate().code(), Some(0));

    assert_eq!(all(lines, SOON), ": ended: the server is shutting down\n\n");
}

/// All that comes until the server closes, which it has to in time.
fn all(stream: impl Read, within: Duration) -> String {
    let (mut said, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    let (mut stream, start) = (stream, now());
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => return String::from_utf8(said).unwrap(),
            read => said.extend_from_slice(&piece[..read]),
        }
        assert!(start.elapsed() < within, "it goes on: {:?}", said.len());
    }
}

/// More changes than the journal holds beside what sockets take: 120,000 of 250 bytes.
fn overflow_the_journal(http: &Http) {
    for round in 1..=12 {
        let register: Vec<Value> = (0..10_000)
            .map(|i| {
                let id = format!("i-{i}");
                json!({ "service": "many", "id": id, "addresses": ["10.0.0.1"], "weight": round, "ttl": null })
            })
            .collect();
        let reply = http.post("/v1/batch", Some(&json!({ "register": register })));
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

#[test]
fn who_falls_behind_the_journal_is_told_to_watch_again() {
    let server = Server::start("");
    let behind = watch(server.http.address, None);

    overflow_the_journal(&server.http);

    let said = all(behind, SOON);
    assert!(said.contains("event: reset"));
    assert!(
        said.ends_with(": ended: too far behind, watch again\n\n"),
        "{:?}",
        said.get(said.len() - 300..)
    );
    assert_eq!(ended(&server.http, "fell_behind"), 1.0);
}

#[test]
fn watchers_that_never_read_cost_little_and_go_while_others_get_everything() {
    const READERS: usize = 100;
    const SILENT: usize = 900;
    const CHANGES: usize = 5_000;
    let (_, granted) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, granted, granted).unwrap();
    let server = Server::start(WEB);
    let to = server.http.address;
    let before = resident(&server);

    let silent: Vec<TcpStream> = (0..SILENT).map(|_| watch(to, None)).collect();
    let readers: Vec<_> = (0..READERS).map(|_| begun(watch(to, None))).collect();
    eventually(SOON, "all watch", || {
        let open = server.http.metric("signpost_http_watchers", "")?;
        (open >= (READERS + SILENT) as f64).then_some(())
    });
    std::thread::scope(|scope| {
        for lines in readers {
            scope.spawn(move || assert_eq!(puts(lines, CHANGES), CHANGES, "who reads gets all"));
        }
        // Each change a revision of its own, of which 5,000 are more than a socket takes.
        for i in 0..CHANGES {
            let metadata = json!({ "filler": "x".repeat(500), "number": i.to_string() });
            let instance = json!({ "addresses": ["10.0.0.2"], "ttl": null, "metadata": metadata });
            server.http.register("api", &format!("i-{}", i % 50), &instance);
            if i % 500 == 0 {
                server.assert_well("beside a thousand watchers");
            }
        }
    });
    let after = resident(&server);
    eventually(SOON * 4, "who does not read is cut", || {
        (ended(&server.http, "slow") == SILENT as f64).then_some(())
    });

    needs::note(&format!("1,000 watchers: {before} KiB without, {after} KiB with them"));
    // What a connection holds that stands still: 900 of 200 KiB.
    assert!(after - before < 900 * 200, "{before} KiB were resident, then {after} KiB");
    let log = server.log();
    assert!(log.matches("ended a watch reason=\"slow\" source=").count() == SILENT, "{log}");
    drop(silent);
    server.assert_well("after a thousand watchers");
}

/// Reads until `count` changes of `api` have come, in their order; how many came.
fn puts(lines: BufReader<TcpStream>, count: usize) -> usize {
    let mut seen = 0;
    for line in lines.lines() {
        let line = line.unwrap();
        if line.starts_with("data: ") && line.contains("\"filler\"") {
            assert!(line.contains(&format!("\"number\":\"{seen}\"")), "{seen} is next, not {line}");
            seen += 1;
            if seen == count {
                break;
            }
        }
    }
    seen
}
