//! Watchers that do not read, fall behind, lose their token or are gone: what becomes of them, and
//! what that costs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::guarded::Guarded;
use crate::raw::connect;
use crate::support::http::Http;
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
    let guarded = Guarded::start("[auth]\nrequired = true\n");
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
    assert_eq!(ends(&token, Some(&id)), ": ended: the token holds no longer\n\n");
    let (token, _) = made(json!("4s"));
    assert_eq!(ends(&token, None), ": ended: the token holds no longer\n\n");

    assert_eq!(ended(&guarded.admin, "revoked"), 2.0);
    let log = guarded.server.log();
    assert_eq!(log.matches("ended a watch reason=\"revoked\" source=127.").count(), 2, "{log}");
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
