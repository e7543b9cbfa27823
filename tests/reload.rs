//! A changed file, by SIGHUP or by call: all of it that can change holds at once, or nothing does.

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use support::server::Server;
use support::watch::Watch;
use support::{SOON, at, eventually, now};

const BEFORE: &str = r#"
[dns]
negative_ttl = "1s"
[services.web]
ttl = "5s"
[[services.web.instances]]
id = "web-1"
addresses = ["10.0.0.1"]
[[services.web.instances]]
id = "web-2"
addresses = ["10.0.0.2"]
"#;

const AFTER: &str = r#"
[dns]
negative_ttl = "3s"
[services.web]
ttl = "9s"
balance = "random"
[[services.web.instances]]
id = "web-2"
addresses = ["10.0.0.22"]
[[services.web.instances]]
id = "web-3"
addresses = ["10.0.0.3"]
[services.new]
"#;

fn web(server: &Server) -> Vec<String> {
    let reply = server.dns.ask("web.service.local", "A");
    let (_, _, answers) = reply.told_sorted();
    answers.into_iter().map(str::to_owned).collect()
}

const WEB_BEFORE: [&str; 2] =
    ["web.service.local. 5 A 10.0.0.1", "web.service.local. 5 A 10.0.0.2"];
const WEB_AFTER: [&str; 2] =
    ["web.service.local. 9 A 10.0.0.22", "web.service.local. 9 A 10.0.0.3"];

#[test]
fn a_call_puts_the_changed_file_in_force() {
    let server = Server::start(BEFORE);
    assert_eq!(web(&server), WEB_BEFORE);
    let before = server.http.revision();
    server.write_config(AFTER);

    let reply = server.http.post("/v1/reload", None);

    let revision = server.http.revision();
    assert!(revision > before);
    let body = json!({ "revision": revision, "changed": true, "needs_restart": [] });
    assert_eq!((reply.status, reply.body), (200, body));
    assert_eq!(web(&server), WEB_AFTER);
    assert_eq!(server.http.get("/v1/services/web").body["settings"]["balance"], "random");
    assert_eq!(server.dns.ask("web-1.web.service.local", "A").rcode, "NXDOMAIN");
    let new = server.dns.ask("new.service.local", "A");
    assert_eq!(new.rcode, "NOERROR");
    assert!(new.authority[0].starts_with("service.local. 3 SOA "), "{new:?}");

    let again = server.http.post("/v1/reload", None);
    let body = json!({ "revision": revision, "changed": false, "needs_restart": [] });
    assert_eq!((again.status, again.body), (200, body), "the same file changes nothing");
}

#[test]
fn sighup_does_the_same() {
    let server = Server::start(BEFORE);
    assert_eq!(web(&server), WEB_BEFORE);

    server.write_config(AFTER);
    server.signal("HUP");

    eventually(SOON, "the new file holds", || (web(&server) == WEB_AFTER).then_some(()));
}

#[test]
fn a_bad_file_changes_nothing_and_says_where_it_is_bad() {
    let server = Server::start(BEFORE);
    let before = server.http.get("/v1/services").body;

    for (bad, place, word) in [
        ("[dns]\nnegative_ttl = \"3s\"\n[services.web]\nttll = \"9s\"\n", ":4:1", "ttll"),
        ("[dns]\nttl = \"9 parsecs\"\n", ":2:7", "parsecs"),
        ("[services.web]\nttl = 9\n", ":2:7", "services.web.ttl"),
        ("[[services.web.instances]]\nid = \"a\"\naddresses = [\"0.0.0.0\"]\n", ":3:", "0.0.0.0"),
        ("[dns\n", ":1:", ""),
    ] {
        server.write_config(bad);

        let reply = server.http.post("/v1/reload", None);

        assert_eq!((reply.problem().0, reply.problem().1), (422, "bad-config"), "{bad}");
        let detail = reply.body["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("registry.toml{place}")), "{bad}: {detail}");
        assert!(detail.contains(word), "{bad}: {detail}");
        server.signal("HUP");
        assert_eq!(web(&server), WEB_BEFORE);
    }
    std::fs::remove_file(server.folder().join("registry.toml")).unwrap();
    assert_eq!(server.http.post("/v1/reload", None).status, 422);

    at(now() + support::server::MOMENT);
    assert_eq!(web(&server), WEB_BEFORE, "nor did any SIGHUP");
    assert_eq!(server.http.get("/v1/services").body, before);
    server.write_config(AFTER);
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(web(&server), WEB_AFTER);
}

#[test]
fn what_needs_a_restart_is_named_and_waits_for_it() {
    let config =
        "[server]\nname = \"ns1\"\n[dns]\nlisten = [\"{dns}\"]\n[http]\nlisten = [\"{http}\"]\n";
    let mut server = Server::builder(config).without_flags().start();
    let listen = [server.dns.address, server.http.address].map(|address| address.to_string());
    let changed = format!(
        "[server]\nname = \"ns7\"\n[dns]\nlisten = [\"{}\", \"[::1]:{}\"]\nttl = \"7s\"\n\
         [http]\nlisten = [\"{}\"]\n",
        listen[0],
        server.dns.address.port(),
        listen[1],
    );
    server.http.register("web", "a", &json!({ "addresses": ["10.0.0.1"], "ttl": null }));
    server.write_config(&changed);

    let reply = server.http.post("/v1/reload", None);

    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["needs_restart"], json!(["server.name", "dns.listen"]));
    assert_eq!(server.dns.ask("web.service.local", "A").ttl(), 7, "the rest holds at once");
    assert_eq!(server.dns.ask("service.local", "NS").only(), "ns1.service.local.");
    server.restart();
    assert_eq!(server.dns.ask("service.local", "NS").only(), "ns7.service.local.");
    let v6 =
        support::dns::Dns { address: ([0, 0, 0, 0, 0, 0, 0, 1], server.dns.address.port()).into() };
    assert_eq!(v6.ask("web.service.local", "A").only(), "10.0.0.1");
    assert_eq!(v6.tcp(&support::dns::Query::new("web.service.local", "A")).only(), "10.0.0.1");
}

#[test]
fn watchers_see_what_the_file_changes() {
    let server = Server::start(BEFORE);
    let mut watch = Watch::open(server.http.address, "/v1/watch?service=web", None);
    watch.event();
    server.write_config(AFTER);

    let revision = server.http.post("/v1/reload", None).body["revision"].clone();

    let mut told: Vec<Value> = watch
        .until(|event| event.data["revision"] == revision && event.id.is_some())
        .into_iter()
        .map(|event| {
            json!([
                event.name,
                event.data["id"],
                event.data["instance"]["id"],
                event.data["reason"]
            ])
        })
        .collect();
    told.sort_by_key(Value::to_string);
    let expected = [
        json!(["put", null, "web-2", null]),
        json!(["put", null, "web-3", null]),
        json!(["remove", "web-1", null, "file"]),
        json!(["service", null, null, null]),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_declared_id_displaces_a_registered_one_and_the_operators_word_stays() {
    let server = Server::start("");
    server.http.register("web", "web-1", &json!({ "addresses": ["10.9.9.9"], "ttl": null }));

    server.write_config(BEFORE);
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(web(&server), WEB_BEFORE);
    let drain = "/v1/services/web/instances/web-1/drain";
    assert_eq!(server.http.post(drain, None).status, 200);
    assert_eq!(web(&server), WEB_BEFORE[1..]);

    server.write_config(&BEFORE.replace("10.0.0.1", "10.0.0.111"));
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(web(&server), WEB_BEFORE[1..], "it is still draining");
    assert_eq!(server.http.delete(drain).status, 200);
    assert_eq!(server.dns.ask("web-1.web.service.local", "A").only(), "10.0.0.111");
}

#[test]
fn zone_files_are_read_again_too() {
    let zone =
        "$ORIGIN corp.example.\n$TTL 60\n@ IN SOA ns a 1 1 1 1 1\n@ IN NS ns\nwww IN A 192.0.2.1\n";
    let server = Server::builder("").file("zones/corp.zone", zone).start();
    let www = || server.dns.ask("www.corp.example", "A");
    assert_eq!(www().only(), "192.0.2.1");
    let file = server.folder().join("zones/corp.zone");

    std::fs::write(&file, zone.replace("192.0.2.1", "192.0.2.2")).unwrap();
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(www().only(), "192.0.2.2");

    std::fs::write(&file, zone.replace("192.0.2.1", "192.0.2")).unwrap();
    let bad = server.http.post("/v1/reload", None);
    assert_eq!((bad.problem().0, bad.problem().1), (422, "bad-config"));
    assert!(bad.body["detail"].as_str().unwrap().contains("corp.zone"), "{bad:?}");
    assert_eq!(www().only(), "192.0.2.2");

    std::fs::remove_file(&file).unwrap();
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(www().rcode, "REFUSED");
}

#[test]
fn reloading_under_load_fails_no_query_and_loses_no_registration() {
    let server = Server::start(BEFORE);
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (over, asked) = (&over, &asked);

    let registered: Vec<(String, String)> = std::thread::scope(|scope| {
        for _ in 0..2 {
            let dns = server.dns;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let reply = dns.ask("web.service.local", "A");
                    let (_, _, answers) = reply.told_sorted();
                    let whole = answers == WEB_BEFORE || answers == WEB_AFTER;
                    assert!(whole, "either file, never a mixture: {answers:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writers = [0, 1].map(|worker| {
            let http = server.http.apart();
            scope.spawn(move || {
                let mut registered = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let i = registered.len();
                    let (id, address) =
                        (format!("{worker}-{i}"), format!("10.{worker}.{}.{}", i / 250, i % 250));
                    http.register("api", &id, &json!({ "addresses": [address], "ttl": null }));
                    registered.push((id, address));
                }
                registered
            })
        });

        for round in 0..40 {
            server.write_config(if round % 2 == 0 { AFTER } else { BEFORE });
            if round % 4 < 2 {
                assert_eq!(server.http.post("/v1/reload", None).status, 200);
            } else {
                let before = server.http.revision();
                server.signal("HUP");
                eventually(SOON, "the reload is through", || {
                    let expected = if round % 2 == 0 { &WEB_AFTER } else { &WEB_BEFORE };
                    (web(&server) == *expected && server.http.revision() > before).then_some(())
                });
            }
        }
        over.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });

    assert!(registered.len() > 20 && asked.load(Ordering::Relaxed) > 100, "there was load");
    for (id, address) in &registered {
        assert_eq!(server.dns.ask(&format!("{id}.api.service.local"), "A").only(), address);
    }
    assert_eq!(server.http.metric("signpost_panics_total", ""), Some(0.0));
}

#[test]
fn sigterm_ends_it_in_order() {
    let mut server = Server::start(BEFORE);
    server.http.register("web", "a", &json!({ "addresses": ["10.0.0.9"], "ttl": null }));

    let start = now();
    let status = server.terminate();

    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(start.elapsed() < Duration::from_secs(10), "nothing is left to wait for");
    server.start_again();
    assert_eq!(server.dns.ask("a.web.service.local", "A").only(), "10.0.0.9");
}
