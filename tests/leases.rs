//! Leases as clients see them: they end on time, heartbeats keep them, and a server that was stopped
//! takes nobody's away.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use support::needs;
use support::server::Server;
use support::watch::Watch;
use support::{SOON, at, eventually, now, with_noise};

/// The contract: a lease ends within this of its ttl.
const BOUND: Duration = Duration::from_millis(100);

/// What a machine may add for one of many, between the server's timer and the test's clock, beside
/// what is measured while the test runs. A lease that waits for a sweep of once a second, or for
/// the disk, is far beyond.
const NOISE: Duration = Duration::from_millis(300);

/// How many of a hundred must keep the bound itself.
const PUNCTUAL: usize = 95;

/// The server counts whole milliseconds: a lease may seem to have started one before.
const TICK: Duration = Duration::from_millis(1);

/// When a registration was sent, and when its reply was there: the lease starts in between.
struct Registered {
    sent: Instant,
    replied: Instant,
}

/// Asserts that no `end` is before its ttl, hardly any later than the bound, and none beyond noise.
fn assert_on_time(ends: &[(Instant, &Registered)], ttl: Duration, noise: Duration) {
    let early = ends.iter().filter(|(end, own)| *end + TICK < own.sent + ttl).count();
    let mut late: Vec<Duration> = ends
        .iter()
        .map(|(end, registered)| end.saturating_duration_since(registered.replied + ttl))
        .collect();
    late.sort_unstable();
    let punctual = late.iter().filter(|late| **late <= BOUND + noise).count();
    let worst = late[late.len() - 1];
    assert_eq!(early, 0, "before the ttl was over");
    assert!(punctual * 100 >= ends.len() * PUNCTUAL, "{punctual} in time: {late:?}");
    assert!(worst <= BOUND + NOISE + noise, "{worst:?} late; the machine: {noise:?}");
}

/// Asserts the same by the server's own measure.
fn assert_lag(server: &Server, noise: Duration) {
    let lag = server.http.metric("signpost_registry_expiry_lag_milliseconds", "").unwrap();
    assert!(lag <= (BOUND + NOISE + noise).as_secs_f64() * 1_000.0, "{lag} ms late");
}

/// The ends of all leases, by what a watcher is told.
fn ends(watch: &mut Watch, count: usize) -> BTreeMap<String, Instant> {
    let mut ends = BTreeMap::new();
    while ends.len() < count {
        let event = watch.event();
        if event.name == "remove" {
            assert_eq!(event.data["reason"], "expired");
            ends.insert(event.data["id"].as_str().unwrap().to_owned(), event.at);
        }
    }
    ends
}

#[test]
fn two_hundred_leases_end_when_their_ttl_is_over() {
    let ttl = Duration::from_secs(2);
    let server = Server::start("");
    let mut watch = Watch::open(server.http.address, "/v1/watch", None);
    assert_eq!(watch.event().name, "reset");
    let register = |i: u32| {
        let (id, sent) = (format!("i-{i}"), now());
        let body = json!({ "addresses": ["10.0.0.1"], "ttl": "2s" });
        server.http.register("web", &id, &body);
        (id, Registered { sent, replied: now() })
    };
    // The last query that was sent and still answered, and the first reply that had nothing.
    let poll = |id: &str| {
        let mut answered = None;
        loop {
            let sent = now();
            let reply = server.dns.ask(&format!("{id}.web.service.local"), "A");
            if reply.answers.is_empty() {
                return (answered, now());
            }
            answered = Some(sent);
        }
    };

    let ((told, registered, polled), noise) = with_noise(|| {
        std::thread::scope(|scope| {
            let told = scope.spawn(|| ends(&mut watch, 200));
            let registered: BTreeMap<String, Registered> = (0..200).map(register).collect();
            // Every twentieth by DNS; one after the other, in the order of their ends.
            let polled: Vec<_> =
                (0..200).step_by(20).map(|i| format!("i-{i}")).map(|id| (poll(&id), id)).collect();
            (told.join().unwrap(), registered, polled)
        })
    });

    let told: Vec<_> = told.iter().map(|(id, end)| (*end, &registered[id])).collect();
    assert_on_time(&told, ttl, noise);
    for ((answered, gone), id) in &polled {
        let own = &registered[id];
        assert!(*gone + TICK >= own.sent + ttl, "{id}: DNS left it out before its ttl was over");
        let late = answered.map(|at| at.saturating_duration_since(own.replied + ttl));
        assert!(late <= Some(BOUND + NOISE + noise), "{id}: DNS answered {late:?} after its ttl");
    }
    assert_lag(&server, noise);
    assert_eq!(server.http.metric("signpost_registry_expired_total", ""), Some(200.0));
}

#[test]
fn thousands_of_leases_may_end_together() {
    let ttl = Duration::from_secs(4);
    let server = Server::start("");
    let mut watch = Watch::open(server.http.address, "/v1/watch", None);
    let item = |i: u32| {
        json!({
            "service": format!("s-{}", i % 20), "id": format!("i-{i}"), "ttl": "4s",
            "addresses": [format!("10.0.{}.{}", i / 250, i % 250)],
        })
    };
    let items: Vec<_> = (0..5_000).map(item).collect();

    let ((sent, ends), noise) = with_noise(|| {
        let sent = now();
        server.http.batch(&items);
        (sent, ends(&mut watch, items.len()))
    });

    assert!(ends.values().all(|end| *end + TICK >= sent + ttl), "before the ttl was over");
    // The watcher has to read 5,000 events; when they were acted on, only the server can say.
    assert_lag(&server, noise);
}

#[test]
fn heartbeats_keep_a_lease_and_their_absence_ends_it() {
    let server = Server::start("");
    for id in ["kept", "bulk", "left"] {
        server.http.register("web", id, &json!({ "addresses": ["10.0.0.1"], "ttl": "1s" }));
    }
    let start = now();

    // A quarter of the ttl apart, for three ttls.
    for beat in 1..=12 {
        at(start + Duration::from_millis(250) * beat);
        let path = "/v1/services/web/instances/kept/heartbeat";
        assert_eq!(server.http.call("PUT", path, None).unwrap().status, 200);
        let bulk = json!([{ "service": "web", "id": "bulk" }]);
        let reply = server.http.post("/v1/heartbeats", Some(&bulk));
        assert_eq!(reply.body["results"][0]["result"], "ok");
    }

    let rcode = |id: &str| server.dns.ask(&format!("{id}.web.service.local"), "A").rcode;
    assert_eq!([rcode("kept"), rcode("bulk"), rcode("left")], ["NOERROR", "NOERROR", "NXDOMAIN"]);
    eventually(SOON, "they end without heartbeats", || {
        (rcode("kept") == "NXDOMAIN" && rcode("bulk") == "NXDOMAIN").then_some(())
    });
}

#[test]
fn a_stopped_server_takes_no_lease_away_and_gives_each_a_fresh_ttl() {
    let ttl = Duration::from_secs(2);
    let server = Server::start("");
    let ids: Vec<String> = (0..20).map(|i| format!("web-{i}")).collect();
    for id in &ids {
        server.http.register("web", id, &json!({ "addresses": ["10.0.0.1"], "ttl": "2s" }));
    }
    let mut watch = Watch::open(server.http.address, "/v1/watch", None);
    assert_eq!(watch.event().name, "reset");

    server.signal("STOP");
    at(now() + Duration::from_secs(3));
    let before = now();
    server.signal("CONT");

    let ((after, ends), noise) = with_noise(|| {
        for id in &ids {
            let reply = server.dns.ask(&format!("{id}.web.service.local"), "A");
            assert_eq!(reply.data(), ["10.0.0.1"], "{id} was stopped, not gone");
        }
        (now(), ends(&mut watch, ids.len()))
    });
    let resumed = Registered { sent: before, replied: after };
    let ends: Vec<_> = ends.into_values().map(|end| (end, &resumed)).collect();
    assert_on_time(&ends, ttl, noise);
    assert_eq!(server.http.metric("signpost_registry_stalls_total", ""), Some(1.0));
}

#[test]
fn a_wall_clock_that_jumps_ends_no_lease_and_keeps_none() {
    let Some(library) = needs::faketime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faketime");
    let jump = |by: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, by).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    jump("+0");
    let (preload, from) =
        (format!("LD_PRELOAD={library}"), format!("FAKETIME_TIMESTAMP_FILE={}", file.display()));
    let wrapper = ["env", &preload, &from, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    let server = Server::builder("").under(&wrapper).start();
    let year = || {
        let drained = server.http.post("/v1/services/web/instances/clock/drain", None).body;
        drained["safe_at"].as_str().unwrap()[..4].parse::<i32>().unwrap()
    };
    server.http.register("web", "clock", &json!({ "addresses": ["10.0.0.9"], "ttl": null }));
    let this_year = year();

    for (by, years) in [("+3000d", 7..10), ("-3000d", -10..-7), ("+0", 0..1)] {
        let ttl = Duration::from_secs(2);
        let mut watch = Watch::open(server.http.address, "/v1/watch", None);
        assert_eq!(watch.event().name, "reset");
        let sent = now();
        server.http.register("web", "web-1", &json!({ "addresses": ["10.0.0.1"], "ttl": "2s" }));
        let registered = Registered { sent, replied: now() };
        let (ends, noise) = with_noise(|| {
            at(registered.sent + ttl / 2);
            jump(by);
            assert!(years.contains(&(year() - this_year)), "the clock shows {}", year());
            ends(&mut watch, 1)
        });
        assert_on_time(&[(ends["web-1"], &registered)], ttl, noise);
        assert_lag(&server, noise);
    }
}

#[test]
fn a_declared_instance_with_a_lease_waits_for_its_heartbeat() {
    let server = Server::start(
        "[[services.web.instances]]\nid = \"w\"\naddresses = [\"10.0.0.1\"]\nttl = \"1s\"",
    );
    let pool = || server.dns.ask("web.service.local", "A").answers.len();
    assert_eq!(pool(), 1);

    eventually(SOON, "its lease ends", || (pool() == 0).then_some(()));

    let read = server.http.get("/v1/services/web/instances/w").body;
    assert_eq!((&read["usable"], &read["reasons"]), (&json!(false), &json!(["lease expired"])));
    assert_eq!(server.dns.ask("w.web.service.local", "A").only(), "10.0.0.1");
    let path = "/v1/services/web/instances/w/heartbeat";
    assert_eq!(server.http.call("PUT", path, None).unwrap().status, 200);
    assert_eq!(pool(), 1);
}

#[test]
fn records_live_no_longer_than_the_lease() {
    let server = Server::start("[dns]\nttl = \"60s\"");
    server.http.register("web", "a", &json!({ "addresses": ["10.0.0.1"], "ttl": "20s" }));
    server.http.register("web", "b", &json!({ "addresses": ["10.0.0.2"], "ttl": null }));
    server.http.register("api", "a", &json!({ "addresses": ["10.0.0.1"], "ttl": "1s" }));

    let ttl = |name: &str, rtype: &str| server.dns.ask(name, rtype).ttl();

    assert!((15..=20).contains(&ttl("web.service.local", "A")), "the shortest in the answer");
    assert!((15..=20).contains(&ttl("a.web.service.local", "A")));
    assert_eq!(ttl("b.web.service.local", "A"), 60);
    assert_eq!(ttl("api.service.local", "A"), 1, "whole seconds, at least 1");
}
