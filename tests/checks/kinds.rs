//! Each kind of check: what passes, what fails, and what comes of it.

use std::net::TcpListener;
use std::time::Duration;

use super::endpoint::{Conduct, Endpoint, reply};
use super::support::{at, now};
use super::*;

#[test]
fn an_instance_is_answered_once_its_first_check_has_passed() {
    let endpoint = Endpoint::replying("503 No", "");
    let server = Server::start("");
    let check = quick("http", json!({ "path": "/ready?full=1" }));
    let registered = server
        .http
        .put("/v1/services/web/instances/web-1", &instance(endpoint.port(), json!([check])));
    let shown = &registered.body["instance"];
    assert_eq!((&shown["usable"], &shown["checks"][0]["kind"]), (&json!(false), &json!("http")));

    assert_eq!(until(&server, "critical"), "503 Service Unavailable");
    assert_eq!((reasons(&server), answered(&server)), (json!(["check http critical"]), 0));
    endpoint.reply("200 OK");
    assert_eq!(until(&server, "passing"), "200 OK");
    assert_eq!((reasons(&server), answered(&server)), (json!([]), 1));

    let host = format!("web-1.web.service.local:{}", endpoint.port());
    let agent = concat!("signpost/", env!("CARGO_PKG_VERSION"), " (health check)");
    let request = format!(
        "GET /ready?full=1 HTTP/1.1\r\nhost: {host}\r\nuser-agent: {agent}\r\n\
         connection: close\r\n\r\n"
    );
    assert_eq!(endpoint.requests()[0], request);
}

#[test]
fn an_instance_that_fails_leaves_and_comes_back() {
    let endpoint = Endpoint::replying("200 OK", "");
    let server = Server::start("");
    let check = quick("http", json!({ "rise": 2, "fall": 2 }));
    server.http.register("web", "web-1", &instance(endpoint.port(), json!([check])));
    until(&server, "passing");
    let passing = server.http.revision();

    endpoint.reply("500 Broken");
    until(&server, "critical");
    let critical = server.http.revision();
    assert_eq!((reasons(&server), answered(&server)), (json!(["check http critical"]), 0));
    endpoint.reply("404 Elsewhere");
    eventually(SOON, "the output is another", || {
        (states(&server, "web-1")[0].1 == "404 Not Found").then_some(())
    });
    // Another output is no change.
    assert_eq!((critical, server.http.revision()), (passing + 1, critical));
    endpoint.reply("204 Fine");
    until(&server, "passing");

    assert_eq!((reasons(&server), answered(&server)), (json!([]), 1));
    assert_eq!(server.http.revision(), critical + 1);
    assert_eq!(server.http.metric("signpost_health_changes_total", ""), Some(3.0));
    let said = server.log();
    // That all is well at first is no news.
    assert_eq!(said.matches("a check changed its state").count(), 2, "{said}");
}

#[test]
fn a_warning_is_answered() {
    let endpoint = Endpoint::replying("429 Busy", "");
    let server = Server::start("");
    let checks = json!([
        quick("http", json!({})),
        quick("http", json!({ "name": "teapot", "expect": [418, "500-502"], "warn": ["420-429"] })),
    ]);
    server.http.register("web", "web-1", &instance(endpoint.port(), checks));

    let both = |state: &str| {
        eventually(SOON, &format!("both are {state}"), || {
            states(&server, "web-1").iter().all(|(found, _)| found == state).then_some(())
        });
    };
    both("warning");
    assert_eq!((reasons(&server), answered(&server)), (json!([]), 1));
    endpoint.reply("501 No");
    eventually(SOON, "one has its own codes", || {
        let states = states(&server, "web-1");
        (states[0].0 == "critical" && states[1].0 == "passing").then_some(())
    });
    assert_eq!(reasons(&server), json!(["check http critical"]));
}

#[test]
fn the_body_and_the_head_are_as_the_check_says() {
    let endpoint = Endpoint::replying("200 OK", "status: up");
    let server = Server::start("");
    let check = quick(
        "http",
        json!({ "contains": "up", "method": "OPTIONS", "host": "a.example:80",
                "headers": { "X-Token": "a b" } }),
    );
    server.http.register("web", "web-1", &instance(endpoint.port(), json!([check])));

    until(&server, "passing");
    let request = endpoint.requests().remove(0);
    assert!(request.starts_with("OPTIONS / HTTP/1.1\r\nhost: a.example:80\r\n"), "{request}");
    assert!(request.contains("\r\nx-token: a b\r\n"), "{request}");
    endpoint.turn_to(Conduct::Say(reply("200 OK", "status: down")));
    assert_eq!(until(&server, "critical"), "200 OK, but the body does not contain the text");
}

#[test]
fn a_port_that_accepts_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::start("");
    let mut web = instance(1, json!([quick("tcp", json!({ "port": "db" }))]));
    web["port"].take();
    web["ports"] = json!([{ "name": "http", "port": 1 }, { "name": "db", "port": port }]);
    web.as_object_mut().unwrap().remove("port");
    server.http.register("web", "web-1", &web);

    assert_eq!(until(&server, "passing"), "connected");
    drop(listener);
    assert!(until(&server, "critical").starts_with("Connection refused"));
    assert_eq!(reasons(&server), json!(["check tcp critical"]));
}

#[test]
fn heartbeats_that_stay_away_are_a_critical_check_and_no_end() {
    let server = Server::start("");
    let checks = json!([{ "kind": "ttl", "ttl": "1s" }]);
    server.http.register("web", "web-1", &instance(80, checks));
    assert_eq!(reasons(&server), json!([]));

    assert_eq!(until(&server, "critical"), "no heartbeat within 1s");
    assert_eq!((reasons(&server), answered(&server)), (json!(["check ttl critical"]), 0));
    let heartbeat = || server.http.call("PUT", "/v1/services/web/instances/web-1/heartbeat", None);
    eventually(SOON, "heartbeats make it pass", || {
        assert_eq!(heartbeat().unwrap().status, 200);
        (reasons(&server) == json!([])).then_some(())
    });
    assert_eq!(answered(&server), 1);
}

#[test]
fn checks_of_a_service_hold_for_each_of_its_instances() {
    let (fine, broken) = (Endpoint::replying("200 OK", ""), Endpoint::replying("500 No", ""));
    let server = Server::start("");
    server.http.register("web", "web-1", &instance(fine.port(), json!([])));
    server.http.register("web", "web-2", &instance(broken.port(), json!([])));
    // Its own takes the place of the service's with the same name.
    let own = quick("http", json!({ "expect": [500] }));
    server.http.register("web", "web-3", &instance(broken.port(), json!([own])));
    server.http.set("web", &json!({ "checks": [quick("http", json!({}))] }));

    let all = || ["web-1", "web-2", "web-3"].map(|id| states(&server, id));
    eventually(SOON, "each was checked", || {
        let state = |checks: &Vec<(String, String)>| match checks.as_slice() {
            [(state, output)] if !output.is_empty() => state.clone(),
            other => format!("{other:?}"),
        };
        (all().each_ref().map(state) == ["passing", "critical", "passing"]).then_some(())
    });
    server.http.set("web", &json!({}));
    assert_eq!(all().map(|checks| checks.len()), [0, 0, 1]);
    assert_eq!(server.http.get("/v1/services/web/instances/web-2").body["usable"], true);
}

#[test]
fn the_file_declares_checks_and_a_reload_changes_them() {
    let (fine, broken) = (Endpoint::replying("200 OK", ""), Endpoint::replying("500 No", ""));
    let config = |port: u16, own: &str| {
        format!(
            "[defaults]\nchecks = [{{ kind = \"tcp\", interval = \"1s\", rise = 1, fall = 1 }}]\n\
             [[services.web.instances]]\nid = \"web-1\"\naddresses = [\"127.0.0.1\"]\n\
             port = {port}\n{own}"
        )
    };
    let http = "checks = [{ kind = \"http\", interval = \"1s\", rise = 1, fall = 1 }]\n";
    let server = Server::start(&config(broken.port(), http));

    eventually(SOON, "both were done", || {
        let states = states(&server, "web-1");
        let states: Vec<&str> = states.iter().map(|(state, _)| state.as_str()).collect();
        (states == ["critical", "passing"]).then_some(())
    });
    server.write_config(&config(fine.port(), http));
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    // At another port nothing is known.
    eventually(SOON, "both were done there", || {
        (answered(&server) == 1 && fine.connections() >= 2).then_some(())
    });
    server.write_config(&config(fine.port(), ""));
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(states(&server, "web-1").len(), 1);
}

#[test]
fn a_restart_finds_out_again_what_is_checked() {
    let endpoint = Endpoint::replying("200 OK", "");
    let mut server = Server::start("");
    let check = quick("http", json!({}));
    let eager = quick("http", json!({ "initial": "passing", "fall": 3, "interval": "1h" }));
    server.http.register("web", "web-1", &instance(endpoint.port(), json!([check])));
    server.http.register("api", "api-1", &instance(endpoint.port(), json!([eager])));
    until(&server, "passing");
    endpoint.reply("500 No");

    server.restart();

    assert_eq!(until(&server, "critical"), "500 Internal Server Error");
    // This one waits for more than a failure.
    let api = server.http.get("/v1/services/api/instances/api-1").body;
    assert_eq!((&api["checks"][0]["state"], &api["usable"]), (&json!("passing"), &json!(true)));
}

#[test]
fn a_registration_that_asks_the_same_keeps_what_is_known() {
    let endpoint = Endpoint::replying("200 OK", "");
    let server = Server::start("");
    let check = quick("http", json!({ "interval": "1h" }));
    let mut web = instance(endpoint.port(), json!([check]));
    server.http.register("web", "web-1", &web);
    until(&server, "passing");

    web["weight"] = json!(7);
    server.http.register("web", "web-1", &web);
    assert_eq!(states(&server, "web-1"), [("passing".to_owned(), "200 OK".to_owned())]);
    // There nobody was asked yet.
    web["addresses"] = json!(["127.0.0.2"]);
    server.http.register("web", "web-1", &web);
    assert_eq!(states(&server, "web-1")[0].0, "critical");
}

#[test]
fn a_stopped_server_holds_its_own_absence_against_nobody() {
    let endpoint = Endpoint::replying("200 OK", "");
    let server = Server::start("");
    let checks = json!([quick("http", json!({ "fall": 1 })), { "kind": "ttl", "ttl": "3s" }]);
    server.http.register("web", "web-1", &instance(endpoint.port(), checks));
    eventually(SOON, "both pass", || (answered(&server) == 1).then_some(()));
    let before = server.http.revision();
    endpoint.turn_to(Conduct::Hang(String::new()));
    let asked = endpoint.requests().len();
    eventually(SOON, "it asks", || (endpoint.requests().len() > asked).then_some(()));

    server.signal("STOP");
    endpoint.reply("200 OK");
    at(now() + Duration::from_secs(5));
    server.signal("CONT");

    at(now() + Duration::from_secs(1));
    assert_eq!((reasons(&server), server.http.revision()), (json!([]), before));
}

#[test]
fn what_was_asked_before_a_registration_says_nothing_of_it() {
    let slow = Endpoint::start(Conduct::Late(reply("200 OK", ""), Duration::from_millis(600)));
    let broken = Endpoint::replying("500 No", "");
    let server = Server::start("");
    let checks = json!([quick("http", json!({ "timeout": "900ms", "interval": "1h" }))]);
    server.http.register("web", "web-1", &instance(slow.port(), checks.clone()));
    eventually(SOON, "it is being asked", || (slow.requests().len() == 1).then_some(()));

    server.http.register("web", "web-1", &instance(broken.port(), checks));

    assert_eq!(until(&server, "critical"), "500 Internal Server Error");
    at(now() + Duration::from_secs(1));
    assert_eq!(until(&server, "critical"), "500 Internal Server Error");
    assert_eq!((answered(&server), slow.requests().len()), (0, 1));
}
