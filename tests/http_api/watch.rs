//! Server-sent events: order, ids, filter, resume, reset, shutdown.

use serde_json::{Value, json};
use signpost::registry::Journal;

use crate::support::{Client, PLAIN, Server, Setup, WEB_1};

/// One event as it was sent.
#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    data: Value,
    id: Option<u64>,
}

/// A watch that is open.
struct Watch {
    client: Client,
    text: String,
}

impl Watch {
    fn open(server: &Server, query: &str, last: Option<u64>) -> Self {
        let mut client = server.connect();
        let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        client.write(&format!("GET /v1/watch{query} HTTP/1.1\r\nHost: x\r\n{last}\r\n"));
        let (status, headers) = client.head();
        assert_eq!((status, &*headers["content-type"]), (200, "text/event-stream"));
        assert_eq!(headers["cache-control"], "no-store");
        Self { client, text: String::new() }
    }

    /// The next event; `None` at the end of the stream. Comments are none.
    fn next(&mut self) -> Option<Event> {
        while let Some(rest) = self.text.strip_prefix(':') {
            self.text = rest.split_once("\n\n").map(|(_, rest)| rest.to_owned()).unwrap();
        }
        while !self.text.contains("\n\n") {
            let chunk = self.client.chunk();
            if chunk.is_empty() {
                return None;
            }
            self.text += &chunk;
            if self.text.starts_with(':') {
                return self.next();
            }
        }
        let (block, rest) = self.text.split_once("\n\n").unwrap();
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let event = Event {
            name: field("event: ").unwrap().to_owned(),
            data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
            id: field("id: ").map(|id| id.parse().unwrap()),
        };
        self.text = rest.to_owned();
        Some(event)
    }

    #[track_caller]
    fn expect(&mut self) -> Event {
        self.next().unwrap()
    }
}

#[test]
fn a_watch_begins_with_reset_and_tells_every_change() {
    let server = Server::start();
    let mut watch = Watch::open(&server, "", None);
    let start = watch.expect();
    let index = start.id.unwrap();
    assert_eq!(
        start,
        Event { name: "reset".into(), data: json!({"revision": index}), id: start.id }
    );

    let put = server.register("web", "web-1", r#"{"addresses":["10.0.0.1"],"ttl":null}"#);
    server.call("PUT", "/v1/services/web", r#"{"ttl":"1s"}"#);
    server.call("DELETE", WEB_1, "");
    server.call("DELETE", "/v1/services/web", "");

    let instance = put["instance"].clone();
    let settings = Event {
        name: "service".into(),
        data: json!({"revision": index + 2, "service": "web", "settings": {
            "balance": "round_robin", "answer": "auto", "ttl": "1s", "max_answers": 8,
            "srv_tiers": "active", "srv_weight_max": 65535, "txt": "none",
            "slow_start": "0s", "panic": 0, "panic_mode": "open", "protect": 0, "locality": "prefer",
            "hot_key_replicas": 1, "checks": [],
            "protect_for": "10m", "ejection": "on", "ejection_failures": 5, "ejection_base": "30s",
            "ejection_max": 0.3,
        }}),
        id: Some(index + 2),
    };
    assert_eq!(
        watch.expect(),
        Event {
            name: "put".into(),
            data: json!({"revision": index + 1, "service": "web", "instance": instance}),
            id: Some(index + 1),
        }
    );
    assert_eq!(watch.expect(), settings);
    assert_eq!(
        watch.expect(),
        Event {
            name: "remove".into(),
            data: json!({"revision": index + 3, "service": "web", "id": "web-1",
                     "reason": "deregistered"}),
            id: Some(index + 3),
        }
    );
    // Forgetting removes the override, then the service.
    let events = [watch.expect(), watch.expect()];
    assert_eq!((&events[0].name, events[0].id), (&"service".into(), None));
    assert_eq!(
        events[1],
        Event {
            name: "service".into(),
            data: json!({"revision": index + 4, "service": "web", "settings": null}),
            id: Some(index + 4),
        }
    );
}

#[test]
fn only_the_last_event_of_a_revision_has_an_id() {
    let server = Server::start();
    let mut all = Watch::open(&server, "", None);
    let mut one = Watch::open(&server, "?service=A", None);
    let index = all.expect().id.unwrap();
    assert_eq!(one.expect().id, Some(index));
    let item = |service: &str, id: &str| json!({"service": service, "id": id, "addresses": ["10.0.0.1"], "ttl": null});

    let body = json!({"register": [item("a", "1"), item("a", "2"), item("b", "1")]}).to_string();
    server.call("POST", "/v1/batch", &body);

    let ids = |watch: &mut Watch, n: usize| -> Vec<_> {
        (0..n)
            .map(|_| watch.expect())
            .map(|e| (e.data["service"].clone(), e.data["instance"]["id"].clone(), e.id))
            .collect()
    };
    let last = Some(index + 1);
    assert_eq!(
        ids(&mut all, 3),
        [
            (json!("a"), json!("1"), None),
            (json!("a"), json!("2"), None),
            (json!("b"), json!("1"), last),
        ]
    );
    assert_eq!(ids(&mut one, 2), [(json!("a"), json!("1"), None), (json!("a"), json!("2"), last)]);
    server.register("b", "2", PLAIN);
    server.register("a", "3", PLAIN);
    assert_eq!(ids(&mut one, 1), [(json!("a"), json!("3"), Some(index + 3))]);
}

#[test]
fn a_watch_goes_on_where_it_was_cut() {
    let server = Server::start();
    let mut watch = Watch::open(&server, "", None);
    watch.expect();
    server.register("web", "a", PLAIN);
    let seen = watch.expect().id;
    drop(watch);

    server.register("web", "b", PLAIN);
    server.call("DELETE", "/v1/services/web/instances/a", "");
    let mut resumed = Watch::open(&server, "", seen);
    server.register("web", "c", PLAIN);

    let told: Vec<_> = (0..3).map(|_| resumed.expect()).collect();
    let told: Vec<_> = told.iter().map(|e| (e.name.as_str(), e.id.unwrap())).collect();
    let seen = seen.unwrap();
    assert_eq!(told, [("put", seen + 1), ("remove", seen + 2), ("put", seen + 3)]);
}

#[test]
fn what_the_journal_does_not_know_is_reset() {
    let server = Server::start();
    let index = server.register("web", "a", PLAIN)["revision"].as_u64().unwrap();

    for last in [1, 99, index + 1_000, u64::MAX] {
        let event = Watch::open(&server, "", Some(last)).expect();

        assert_eq!((event.name.as_str(), event.id), ("reset", Some(index)), "{last}");
    }
    let mut garbage = server.connect();
    garbage.write("GET /v1/watch HTTP/1.1\r\nHost: x\r\nLast-Event-ID: abc\r\n\r\n");
    assert_eq!(garbage.head().0, 200);
    assert!(garbage.chunk().starts_with("event: reset\n"));
}

#[test]
fn a_watch_older_than_the_journal_is_reset() {
    let server = Server::start();
    let index = server.register("web", "a", PLAIN)["revision"].as_u64().unwrap();
    let batch = |from: usize| {
        let item =
            |i: usize| json!({"service": "big", "id": i.to_string(), "addresses": ["10.0.0.1"]});
        json!({"register": (from..from + 9_000).map(item).collect::<Vec<_>>()}).to_string()
    };
    let mut last = index;
    let mut sent = 0;
    while sent <= Journal::CAPACITY {
        // The same instances again, differing in the address, would do as well.
        let body =
            batch(sent % 45_000).replace("10.0.0.1", &format!("10.0.0.{}", sent / 9_000 + 1));
        last = server.call("POST", "/v1/batch", &body).json()["revision"].as_u64().unwrap();
        sent += 9_000;
    }

    let event = Watch::open(&server, "", Some(index)).expect();
    let mut kept = Watch::open(&server, "?service=big", Some(last - 1));

    assert_eq!((event.name.as_str(), event.id), ("reset", Some(last)));
    // One revision of many events comes whole, and its id with the last of it.
    let events: Vec<_> = (0..9_000).map(|_| kept.expect().id).collect();
    assert!(events[..8_999].iter().all(Option::is_none));
    assert_eq!(events[8_999], Some(last));
}

#[test]
fn expiry_and_the_file_are_given_as_reasons() {
    let declared = json!({"id": "fixed", "addresses": ["10.0.0.9"], "ttl": "1s"});
    let server = Server::with(Setup::default().declare("db", &[declared]));
    let mut watch = Watch::open(&server, "?service=web", None);
    watch.expect();
    let mut lapse = Watch::open(&server, "?service=db", None);
    lapse.expect();

    server.register("web", "web-1", r#"{"addresses":["10.0.0.1"],"ttl":"1s"}"#);

    assert_eq!(watch.expect().name, "put");
    assert_eq!(watch.expect().data["reason"], "expired");
    let lapsed = lapse.expect().data["instance"].clone();
    assert_eq!(lapsed["reasons"], json!(["lease expired"]));
    assert_eq!((&lapsed["usable"], &lapsed["expires_in_ms"]), (&json!(false), &json!(0)));
}

#[test]
fn shutdown_ends_watches_in_order() {
    let mut server = Server::start();
    let mut watch = Watch::open(&server, "", None);
    watch.expect();

    server.stop();

    assert_eq!(watch.next(), None);
}
