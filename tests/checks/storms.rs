//! Many checks at once, and instances that come and go.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::endpoint::{Conduct, Endpoint, reply};
use super::support::server::MOMENT;
use super::support::{at, now};
use super::*;

#[test]
fn thousands_of_checks_are_no_storm() {
    let endpoint = Endpoint::start(Conduct::Late(reply("200 OK", ""), MOMENT / 60));
    let server = Server::start("[health]\nconcurrency = 24\n");
    let check = json!({ "kind": "http", "interval": "20s", "timeout": "10s" });
    let one = |i: usize| {
        let mut one = instance(endpoint.port(), json!([check]));
        let fields = json!({ "service": format!("s-{}", i / 50), "id": format!("i-{}", i % 50) });
        one.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        one
    };
    let all: Vec<Value> = (0..CHECKS).map(one).collect();
    let usable = || {
        let services = server.http.get("/v1/services").body["services"].take();
        services.as_array().unwrap().iter().map(|s| s["usable"].as_u64().unwrap()).sum::<u64>()
    };
    let (over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // None is lost: each has a reply before the next is asked.
            let query = Query::new("ns1.service.local", "A");
            while !over.load(Ordering::Relaxed) {
                assert_eq!(server.dns.query(&query).rcode, "NOERROR");
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            server.http.batch(&all);
            let all_pass = || (usable() == CHECKS as u64).then_some(());
            eventually(3 * SOON, "all were asked, and pass", all_pass);
        }));
        over.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(answers.load(Ordering::Relaxed) > CHECKS, "DNS goes on meanwhile: {answers:?}");

    assert!(endpoint.most() <= 24, "{} at the same time", endpoint.most());
    assert_eq!(server.http.metric("signpost_health_checks", ""), Some(CHECKS as f64));
    assert_eq!(server.http.metric("signpost_health_failures_total", ""), Some(0.0));
    // Nobody was forgotten, and nobody is asked any more who is gone.
    for service in 0..CHECKS / 50 {
        let ids =
            (0..50).map(|i| json!({ "service": format!("s-{service}"), "id": format!("i-{i}") }));
        let gone = json!({ "deregister": ids.collect::<Vec<_>>() });
        assert_eq!(server.http.post("/v1/batch", Some(&gone)).status, 200);
    }
    eventually(SOON, "nothing is under way", || {
        let running = server.http.metric("signpost_health_running", "");
        (running == Some(0.0) && endpoint.open() == 0).then_some(())
    });
    let asked = endpoint.connections();
    at(now() + 5 * MOMENT);
    assert_eq!(endpoint.connections(), asked);
}

#[test]
fn a_flapping_server_is_left_out() {
    let turns = vec![reply("200 OK", ""), reply("503 No", "")];
    let endpoint = Endpoint::start(Conduct::Turns(turns));
    let server = Server::start("");
    let check = quick("http", json!({ "rise": 2, "fall": 3 }));
    server.http.register("web", "web-1", &instance(endpoint.port(), json!([check])));
    until(&server, "passing");
    let before = server.http.revision();

    // Never three failures in a row, and never two successes.
    eventually(SOON, "it is critical", || {
        (states(&server, "web-1")[0].0 == "critical").then_some(())
    });
    let asked = endpoint.connections();
    eventually(SOON, "it was asked often", || (endpoint.connections() > asked + 5).then_some(()));

    assert_eq!(server.http.revision(), before + 1);
    assert_eq!(states(&server, "web-1")[0].0, "critical");
}

#[test]
fn one_that_hangs_keeps_no_other_waiting_for_longer_than_its_timeout() {
    let hanging = Endpoint::start(Conduct::Hang(String::new()));
    let fine = Endpoint::replying("200 OK", "");
    let server = Server::start("[health]\nconcurrency = 1\n");
    for id in ["a", "b", "c"] {
        let checks = json!([quick("http", json!({ "timeout": "200ms" }))]);
        server.http.register("web", id, &instance(hanging.port(), checks));
    }
    server.http.register("web", "web-1", &instance(fine.port(), json!([quick("http", json!({}))])));

    until(&server, "passing");
    let asked = fine.connections();
    eventually(SOON, "it is asked again", || (fine.connections() > asked + 2).then_some(()));
}

/// Registers `web-1` with these checks beside `count` instances of `slow` that hang in their only
/// check, for `timeout`, of which no more may be under way than there are places.
fn beside_slow_ones(server: &Server, hanging: &Endpoint, count: usize, timeout: &str, web: &Value) {
    let check = json!({ "kind": "http", "interval": "59s", "timeout": timeout });
    let one = |i: usize| {
        let mut one = instance(hanging.port(), json!([check]));
        let fields = json!({ "service": "slow", "id": format!("slow-{i}") });
        one.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        one
    };
    server.http.batch(&(0..count).map(one).collect::<Vec<_>>());
    eventually(SOON, "they wait for each other", || {
        (server.http.metric("signpost_health_queued", "") > Some(0.0)).then_some(())
    });
    server.http.register("web", "web-1", web);
}

#[test]
fn a_service_that_hangs_keeps_no_other_from_being_checked() {
    let hanging = Endpoint::start(Conduct::Hang(String::new()));
    let fine = Endpoint::replying("200 OK", "");
    let server = Server::start("[health]\nconcurrency = 8\n");
    let checks = json!([quick("http", json!({})), { "kind": "ttl", "ttl": "1s" }]);

    beside_slow_ones(&server, &hanging, 400, "50s", &instance(fine.port(), checks));

    eventually(SOON, "it is checked, and so are its heartbeats", || {
        (fine.connections() > 3 && reasons(&server) == json!(["check ttl critical"])).then_some(())
    });
    assert_eq!(hanging.open(), 4, "half of all places");
}

#[test]
fn what_is_deregistered_frees_its_place() {
    let hanging = Endpoint::start(Conduct::Hang(String::new()));
    let fine = Endpoint::replying("200 OK", "");
    let server = Server::start("[health]\nconcurrency = 1\n");
    let web = instance(fine.port(), json!([quick("http", json!({}))]));
    beside_slow_ones(&server, &hanging, 2, "50s", &web);
    assert_eq!((fine.connections(), hanging.open()), (0, 1));

    let ids = [0, 1].map(|i| json!({ "service": "slow", "id": format!("slow-{i}") }));
    let gone = json!({ "deregister": ids });
    assert_eq!(server.http.post("/v1/batch", Some(&gone)).status, 200);

    until(&server, "passing");
    assert_eq!(hanging.open(), 0);
    assert_eq!(server.http.metric("signpost_health_unable_total", ""), Some(0.0));
}

#[test]
fn a_check_for_which_no_descriptor_is_left_is_done_soon_after() {
    let endpoint = Endpoint::replying("200 OK", "");
    let server = Server::start("");
    let grant = |descriptors: usize| {
        let line = [format!("--pid={}", server.pid()), format!("--nofile={descriptors}:")];
        let status = Command::new("prlimit").args(line).status();
        assert!(status.expect("prlimit (Debian: util-linux) can be started").success());
    };
    let check = json!({ "kind": "http", "interval": "4s", "timeout": "1s" });
    // The connection of this client is there already, and nothing can be opened besides.
    let before = server.http.revision();
    grant(3);
    server.http.register("web", "web-1", &instance(endpoint.port(), json!([check])));

    let said = until(&server, "critical");
    assert!(said.starts_with("not asked: Too many open files"), "{said}");
    assert!(server.http.metric("signpost_health_unable_total", "") > Some(0.0));
    assert_eq!((endpoint.connections(), server.http.revision()), (0, before + 1));
    grant(1_000);

    assert_eq!((until(&server, "passing"), answered(&server)), ("200 OK".into(), 1));
    assert_eq!(server.http.metric("signpost_health_failures_total", ""), Some(0.0));
}

#[test]
fn a_reload_that_changes_the_checks_of_thousands_takes_nobody_out() {
    let endpoint = Endpoint::replying("200 OK", "");
    let config = |interval: &str, path: &str| {
        format!(
            "[health]\nconcurrency = 24\n[services.web]\nchecks = [{{ kind = \"http\", \
             interval = \"{interval}\", timeout = \"10s\", path = \"{path}\" }}]\n"
        )
    };
    let server = Server::start(&config("20s", "/one"));
    let one = |i: usize| {
        let mut one = instance(endpoint.port(), json!([]));
        let fields = json!({ "service": "web", "id": format!("i-{i}") });
        one.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        one
    };
    server.http.batch(&(0..CHECKS).map(one).collect::<Vec<_>>());
    let usable = || server.http.get("/v1/services").body["services"][0]["usable"].clone();
    let all = json!(CHECKS);
    eventually(3 * SOON, "all pass", || (usable() == all).then_some(()));

    for (interval, path) in [("30s", "/one"), ("30s", "/two")] {
        server.write_config(&config(interval, path));
        let asked = endpoint.connections();
        assert_eq!(server.http.post("/v1/reload", None).status, 200);

        assert_eq!(usable(), all, "{interval} {path}");
        eventually(3 * SOON, "all are asked again", || {
            assert_eq!(usable(), all, "{interval} {path}");
            (endpoint.connections() >= asked + CHECKS).then_some(())
        });
    }
    let last = endpoint.requests().pop().unwrap();
    assert!(last.starts_with("GET /two HTTP/1.1\r\n"), "{last}");
}

const CHECKS: usize = 5_000;
