//! Following changes: server-sent events that resume without a gap, and reads that wait.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use support::http::Http;
use support::server::Server;
use support::watch::{Event, Watch};
use support::{SOON, at, eventually, now};

fn plain(address: &str) -> Value {
    json!({ "addresses": [address], "ttl": null })
}

/// Name, data and id of an event.
fn told(event: Event) -> (String, Value, Option<u64>) {
    (event.name, event.data, event.id)
}

#[test]
fn each_change_is_an_event() {
    let server = Server::start("");
    let start = server.http.revision();
    let mut watch = Watch::open(server.http.address, "/v1/watch", None);
    assert_eq!(told(watch.event()), ("reset".into(), json!({ "revision": start }), Some(start)));

    let put = server.http.register("web", "a", &plain("10.0.0.1"));
    server.http.set("web", &json!({ "balance": "random" }));
    server.http.delete("/v1/services/web/instances/a");
    server.http.set("web", &json!({}));
    server.http.delete("/v1/services/web");

    let first = watch.event();
    let instance = server.http.get("/v1/services/web/instances/a");
    assert_eq!(instance.status, 404);
    let data = &first.data;
    assert_eq!((first.name.as_str(), first.id), ("put", Some(put)));
    assert_eq!((&data["revision"], &data["service"]), (&json!(put), &json!("web")));
    assert_eq!(
        (&data["instance"]["id"], &data["instance"]["addresses"]),
        (&json!("a"), &json!(["10.0.0.1"]))
    );
    let set = watch.event();
    assert_eq!((set.name.as_str(), set.id), ("service", Some(put + 1)));
    assert_eq!(set.data["settings"]["balance"], "random");
    let remove = json!({
        "revision": put + 2, "service": "web", "id": "a", "reason": "deregistered",
    });
    assert_eq!(told(watch.event()), ("remove".into(), remove, Some(put + 2)));
    assert_eq!(watch.event().data["settings"]["balance"], "round_robin");
    let forgotten = json!({ "revision": put + 4, "service": "web", "settings": null });
    // The end of the override may be an event of its own before it.
    let last = watch.until(|event| event.id.is_some()).pop().unwrap();
    assert_eq!(told(last), ("service".into(), forgotten, Some(put + 4)));
}

#[test]
fn events_of_one_revision_come_together_and_the_last_has_the_id() {
    let server = Server::start("");
    let mut watch = Watch::open(server.http.address, "/v1/watch", None);
    watch.event();
    let item = |service: &str, id: &str| json!({ "service": service, "id": id, "addresses": ["10.0.0.1"] });
    let register = json!({ "register": [item("web", "a"), item("api", "b"), item("web", "c")] });

    let reply = server.http.post("/v1/batch", Some(&register));

    let revision = reply.body["revision"].as_u64().unwrap();
    let events = watch.until(|event| event.id.is_some());
    assert!(events.iter().all(|event| event.data["revision"] == revision), "{events:?}");
    let puts = events.iter().filter(|event| event.name == "put").count();
    assert_eq!((puts, events[events.len() - 1].id), (3, Some(revision)));
}

#[test]
fn a_watch_of_one_service_sees_nothing_else() {
    let server = Server::start("");
    let mut watch = Watch::open(server.http.address, "/v1/watch?service=web", None);
    watch.event();

    server.http.register("api", "a", &plain("10.0.0.1"));
    server.http.register("web", "b", &plain("10.0.0.2"));
    server.http.register("api", "c", &plain("10.0.0.3"));
    server.http.delete("/v1/services/web/instances/b");

    let ids =
        [watch.event(), watch.event()].map(|event| (event.name, event.data["service"].clone()));
    assert_eq!(ids, [("put".into(), json!("web")), ("remove".into(), json!("web"))]);
}

/// Follows until the change with `mark`, going away and coming back now and then. Events of a
/// revision whose end was not seen come again after a resume.
fn follow(address: SocketAddr, mark: &str, rng: &mut StdRng) -> (u64, Vec<(u64, Value)>) {
    let mut seen: Vec<(u64, Value)> = Vec::new();
    let mut watch = Watch::open(address, "/v1/watch", None);
    let mut last = watch.event().id.unwrap();
    let mut resumes = 0;
    loop {
        for _ in 0..rng.random_range(1..60) {
            let event = watch.event();
            assert_ne!(event.name, "reset", "the journal reaches back far enough");
            let data = &event.data;
            let revision = data["revision"].as_u64().unwrap();
            assert!(revision > last, "{revision} after the end of {last}");
            let id = data["id"].as_str().or_else(|| data["instance"]["id"].as_str());
            let done = data["service"] == mark;
            seen.push((revision, json!([event.name, data["service"], id])));
            last = event.id.unwrap_or(last);
            if done && event.id.is_some() {
                return (resumes, seen);
            }
        }
        drop(watch);
        seen.retain(|(revision, _)| *revision <= last);
        watch = Watch::open(address, "/v1/watch", Some(last));
        resumes += 1;
    }
}

#[test]
fn a_watcher_that_comes_and_goes_misses_nothing_that_others_write() {
    let server = Server::start("");
    let address = server.http.address;

    let ((resumes, seen), (_, steady), mut acknowledged) = std::thread::scope(|scope| {
        let restless = scope.spawn(move || follow(address, "end", &mut StdRng::seed_from_u64(7)));
        let steady = scope.spawn(move || follow_once(address, "end"));
        // Both have to be there from the start.
        eventually(SOON, "two watch", || {
            (server.http.metric("signpost_http_watchers", "")? >= 2.0).then_some(())
        });
        let writers = [0, 1, 2, 3].map(|worker| {
            let http = server.http.apart();
            scope.spawn(move || write(&http, worker))
        });
        let acknowledged: Vec<(u64, Value)> =
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        server.http.register("end", "end", &plain("10.0.0.1"));
        (restless.join().unwrap(), steady.join().unwrap(), acknowledged)
    });

    assert!(resumes > 10, "it went away {resumes} times only");
    assert_eq!(seen, steady, "the one that came and went saw what the other did");
    let of_instances = |(_, event): &&(u64, Value)| event[0] != "service" && event[1] != "end";
    let mut events: Vec<(u64, Value)> = seen.iter().filter(of_instances).cloned().collect();
    events.sort_by_key(|(revision, event)| (*revision, event.to_string()));
    acknowledged.sort_by_key(|(revision, event)| (*revision, event.to_string()));
    assert_eq!(events, acknowledged, "every acknowledged change is one event");
}

/// Follows on one connection.
fn follow_once(address: SocketAddr, mark: &str) -> (u64, Vec<(u64, Value)>) {
    let mut watch = Watch::open(address, "/v1/watch", None);
    watch.event();
    let events = watch.until(|event| event.data["service"] == mark && event.id.is_some());
    let told = events.into_iter().map(|event| {
        let data = &event.data;
        let id = data["id"].as_str().or_else(|| data["instance"]["id"].as_str());
        (data["revision"].as_u64().unwrap(), json!([event.name, data["service"], id]))
    });
    (0, told.collect())
}

/// Writes, and tells the revision and the event of each.
fn write(http: &Http, worker: u32) -> Vec<(u64, Value)> {
    let service = format!("s{worker}");
    (0..150)
        .map(|i| {
            let id = format!("i-{}", i % 10);
            let body = plain(&format!("10.{worker}.0.{}", i + 1));
            let revision = http.register(&service, &id, &body);
            (revision, json!(["put", service, id]))
        })
        .collect()
}

#[test]
fn a_place_that_the_journal_does_not_reach_is_a_reset() {
    let mut server = Server::start("");
    let revision = server.http.register("web", "a", &plain("10.0.0.1"));
    server.http.register("web", "b", &plain("10.0.0.2"));
    let mut resumed = Watch::open(server.http.address, "/v1/watch", Some(revision));
    assert_eq!(resumed.event().data["instance"]["id"], "b");

    server.restart();

    let now_at = server.http.revision();
    let mut watch = Watch::open(server.http.address, "/v1/watch", Some(revision));
    assert_eq!(told(watch.event()), ("reset".into(), json!({ "revision": now_at }), Some(now_at)));
    let next = server.http.register("web", "c", &plain("10.0.0.3"));
    assert_eq!(watch.event().id, Some(next));
}

#[test]
fn a_read_waits_for_the_next_change_of_its_service() {
    let server = Server::start("");
    server.http.register("web", "a", &plain("10.0.0.1"));
    let index = server.http.get("/v1/services/web").body["revision"].as_u64().unwrap();
    let released = AtomicBool::new(false);

    std::thread::scope(|scope| {
        let (waiting, released) = (server.http.apart(), &released);
        let reader = scope.spawn(move || {
            let reply = waiting.get(&format!("/v1/services/web?index={index}&wait=30s"));
            assert!(released.load(Ordering::Relaxed), "it came back before the change: {reply:?}");
            reply
        });
        eventually(SOON, "it waits", || {
            (server.http.metric("signpost_http_watchers", "")? >= 1.0).then_some(())
        });
        // None of these is a change of web that anybody waits for.
        server.http.register("api", "x", &plain("10.0.0.9"));
        let load = json!({ "load": { "connections": 5.0 } });
        server.http.put("/v1/services/web/instances/a/heartbeat", &load);
        server.http.register("web", "a", &plain("10.0.0.1"));
        at(now() + support::server::MOMENT);
        assert!(!reader.is_finished(), "a renewal is no change");
        released.store(true, Ordering::Relaxed);
        let revision = server.http.register("web", "b", &plain("10.0.0.2"));

        let reply = reader.join().unwrap();
        assert_eq!((reply.status, &reply.body["revision"]), (200, &json!(revision)));
        assert_eq!(reply.body["instances"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn a_read_that_waits_in_vain_gets_what_there_is() {
    let server = Server::start("");
    server.http.register("web", "a", &plain("10.0.0.1"));
    let index = server.http.revision();

    for path in ["/v1/services", "/v1/services/web"] {
        let start = now();
        let reply = server.http.get(&format!("{path}?index={index}&wait=500ms"));
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(499), "{path}: {waited:?}");
        assert_eq!((reply.status, &reply.body["revision"]), (200, &json!(index)), "{path}");
    }
    let start = now();
    let behind = server.http.get(&format!("/v1/services?index={}&wait=30s", index - 1));
    assert_eq!(behind.body["revision"], index);
    let nobody = server.http.get("/v1/services/nobody?index=1&wait=200ms");
    assert_eq!(nobody.problem(), (404, "unknown-service", None));
    assert!(start.elapsed() >= Duration::from_millis(199), "an unknown service blocks too");
}

#[test]
fn chained_reads_miss_no_change() {
    let server = Server::start("");
    server.http.register("web", "end", &plain("10.0.0.1"));
    let reader = server.http.apart();

    let seen = std::thread::scope(|scope| {
        let seen = scope.spawn(move || {
            let mut seen = BTreeMap::new();
            let mut index = 0;
            while !seen.contains_key("i-99") {
                let reply = reader.get(&format!("/v1/services/web?index={index}&wait=30s"));
                index = reply.body["revision"].as_u64().unwrap();
                for instance in reply.body["instances"].as_array().unwrap() {
                    let id = instance["id"].as_str().unwrap().to_owned();
                    seen.entry(id).or_insert(index);
                }
            }
            seen
        });
        for i in 0..100 {
            server.http.register("web", &format!("i-{i}"), &plain("10.0.0.2"));
        }
        seen.join().unwrap()
    });

    assert_eq!(seen.len(), 101, "{seen:?}");
}

#[test]
fn stopping_ends_all_waits() {
    let mut server = Server::start("");
    server.http.register("web", "a", &plain("10.0.0.1"));
    let index = server.http.revision();
    let mut watch = Watch::open(server.http.address, "/v1/watch", None);
    watch.event();
    let waiting = server.http.apart();

    std::thread::scope(|scope| {
        let reader =
            scope.spawn(move || waiting.get(&format!("/v1/services?index={index}&wait=5m")));
        eventually(SOON, "two wait", || {
            (server.http.metric("signpost_http_watchers", "")? >= 2.0).then_some(())
        });

        let start = now();
        assert_eq!(server.terminate().code(), Some(0));

        assert!(start.elapsed() < Duration::from_secs(10), "nobody has to wait for the waits");
        assert_eq!(reader.join().unwrap().status, 200);
    });
    assert!(watch.next(SOON).is_none());
}

#[test]
fn watchers_are_limited() {
    let server = Server::start("[limits]\nwatchers = 2");
    let open = || Watch::open(server.http.address, "/v1/watch", None);
    let (first, _second) = (open(), open());

    let third = server.http.get("/v1/watch");
    assert_eq!((third.problem().0, third.problem().1), (429, "limit"));

    drop(first);
    eventually(SOON, "a place is free again", || {
        (server.http.get("/v1/services?index=1&wait=1ms").status == 200).then_some(())
    });
}
