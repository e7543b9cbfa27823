//! A running server reads its files again: what changes, what does not, and what it says of it; and
//! how it ends while clients are in the middle of something.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use support::server::Server;
use support::watch::Watch;
use support::{eventually, now};

const OWN_ZONE: &str = "$ORIGIN service.local.\n$TTL 60\n";

fn serial(server: &Server) -> u32 {
    let soa = server.dns.ask("service.local", "SOA");
    soa.only().split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn a_changed_zone_file_is_served_and_moves_the_serial() {
    let server =
        Server::builder("").file("zones/own.zone", &format!("{OWN_ZONE}www A 10.0.0.1\n")).start();
    let before = serial(&server);
    let file = server.folder().join("zones/own.zone");

    let same = server.http.post("/v1/reload", None).body;
    std::fs::write(&file, format!("{OWN_ZONE}www A 10.0.0.2\n")).unwrap();
    let other = server.http.post("/v1/reload", None).body;

    assert_eq!(same, json!({"revision": before, "changed": false, "needs_restart": []}));
    assert_eq!(other, json!({"revision": before + 1, "changed": true, "needs_restart": []}));
    assert_eq!(server.dns.ask("www.service.local", "A").only(), "10.0.0.2");
    assert_eq!(serial(&server), before + 1);

    server.write_config("[dns]\nnegative_ttl = \"2s\"");
    server.signal("HUP");
    eventually(Duration::from_secs(5), "SIGHUP does the same", || {
        (serial(&server) == before + 2).then_some(())
    });

    std::fs::write(&file, format!("{OWN_ZONE}www A nonsense\n")).unwrap();
    let bad = server.http.post("/v1/reload", None);
    assert_eq!(bad.problem(), (422, "bad-config", None));
    assert!(bad.body["detail"].as_str().unwrap().contains("own.zone:3"), "{bad:?}");
    assert_eq!(server.dns.ask("www.service.local", "A").only(), "10.0.0.2");
    assert_eq!(serial(&server), before + 2);
}

#[test]
fn who_registers_under_a_static_name_is_told_so() {
    let zone = format!("{OWN_ZONE}www A 10.0.0.1\na.web A 10.0.0.2\n");
    let below = "$ORIGIN db.service.local.\n@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns.x.\n";
    let server =
        Server::builder("").file("zones/own.zone", &zone).file("zones/db.zone", below).start();
    let body = json!({"addresses": ["10.0.0.9"], "port": 80});

    for (service, id, hidden) in [
        ("www", "a", Some("www")),
        ("web", "a", Some("a.web")),
        ("web", "b", None),
        ("db", "a", Some("db")),
    ] {
        let path = format!("/v1/services/{service}/instances/{id}");
        let reply = server.http.put(&path, &body);

        let warning = hidden.map(|name| {
            format!("{name} has a static record in a zone file, which hides it from DNS")
        });
        assert_eq!(reply.body["warning"].as_str(), warning.as_deref(), "{path}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_signpost"))
        .args(["register", "web", "a", "--address=10.0.0.9", "--port=80", "--server"])
        .arg(server.url())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "warning: a.web has a static record in a zone file, which hides it from DNS\n"
    );
}

#[test]
fn a_start_that_fails_for_want_of_an_address_skips_no_revision() {
    let first = Server::start("");
    let mut server = Server::start("");
    let before = server.http.revision();
    assert_eq!(server.terminate().code(), Some(0));

    let data = server.folder().join("data");
    let (code, log) = Server::builder(&format!("[server]\ndata_dir = {data:?}"))
        .dns(&first.dns.address.to_string())
        .fail();
    server.start_again();

    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&first.dns.address.to_string()), "{log}");
    assert_eq!(server.http.revision(), before + 1);
}

#[test]
fn what_only_a_restart_changes_is_named_and_flags_win_over_the_file() {
    let server = Server::start("");

    server.write_config(
        "[server]\nname = \"ns2\"\n[dns]\nlisten = [\"127.0.0.1:1\"]\n[http]\nlisten = []",
    );
    let reloaded = server.http.post("/v1/reload", None).body;

    assert_eq!(reloaded["needs_restart"], json!(["server.name"]), "the listeners come by flags");
    assert_eq!(reloaded["changed"], false);
}

#[test]
fn a_server_ends_in_seconds_while_clients_watch_and_wait() {
    let mut server = Server::start("");
    let index = server.http.register("web", "a", &json!({"addresses": ["10.0.0.1"]}));
    let mut watch = Watch::open(server.http.address, "/v1/watch", None);
    assert_eq!(watch.event().name, "reset");
    let waiting = {
        let http = server.http.apart();
        let path = format!("/v1/services/web?index={index}&wait=10m");
        std::thread::spawn(move || http.get(&path).status)
    };
    let idle = server.dns.connect();
    eventually(Duration::from_secs(5), "both wait", || {
        (server.http.metric("signpost_http_watchers", "") == Some(2.0)).then_some(())
    });

    let told = now();
    server.signal("TERM");
    server.signal("HUP");
    let status = server.exit();

    assert_eq!(status.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert_eq!(waiting.join().unwrap(), 200);
    drop(idle);
}
