//! Clients at different addresses of this machine are different places: what each of them is
//! answered, through real sockets and by `dig -b`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::net::UdpSocket;

use serde_json::{Value, json};

use support::dig::{dig, dig_comments};
use support::dns::Query;
use support::message::Message;
use support::needs;
use support::server::Server;
use support::spread::{NAME, plausible};

const LOCALITIES: &str = r#"
[[localities]]
networks = ["127.0.1.0/24", "10.1.0.0/16", "2001:db8:1::/48"]
region = "eu"
zone = "eu-1a"

[[localities]]
networks = ["127.0.2.0/24", "10.2.0.0/16"]
region = "eu"
zone = "eu-1b"

[[localities]]
networks = ["127.0.3.0/24"]
region = "us"

# A part of eu-1a.
[[localities]]
networks = ["127.0.1.128/25"]
region = "us"
"#;

const EU_1A: &str = "127.0.1.7";
const EU_1B: &str = "127.0.2.7";
const US: &str = "127.0.3.7";
const NOWHERE: &str = "127.0.0.1";

/// A server that knows where clients are, with three instances of each of two zones of eu, and three
/// of us: 10.0.0.1 to 10.0.0.9.
fn fleet(settings: &Value) -> Server {
    let server = Server::start(LOCALITIES);
    server.http.set("web", settings);
    let zone = |n: usize| match n {
        1..=3 => json!({ "region": "eu", "zone": "eu-1a" }),
        4..=6 => json!({ "region": "eu", "zone": "eu-1b" }),
        _ => json!({ "region": "us", "zone": "us-1" }),
    };
    let instance = |n: usize| {
        json!({
            "service": "web", "id": format!("i-{n}"), "addresses": [format!("10.0.0.{n}")],
            "port": 80, "ttl": null, "locality": zone(n),
        })
    };
    server.http.batch(&(1..=9).map(instance).collect::<Vec<_>>());
    server
}

/// Asks from an address of this machine, over UDP.
fn from(server: &Server, source: &str, query: &Query) -> Message {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    socket.connect(server.dns.address).unwrap();
    socket.set_read_timeout(Some(support::SOON)).unwrap();
    socket.send(&query.packet(7)).unwrap();
    let mut reply = [0; 1232];
    let length = socket.recv(&mut reply).unwrap();
    Message::parse(&reply[..length])
}

/// The last numbers of the addresses of an answer, sorted.
fn numbers(data: &[&str]) -> Vec<usize> {
    let number = |address: &&str| address.rsplit('.').next().unwrap().parse().unwrap();
    let mut numbers: Vec<usize> = data.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn a(server: &Server, source: &str) -> Vec<usize> {
    numbers(&from(server, source, &Query::new(NAME, "A")).data())
}

#[test]
fn each_client_gets_the_instances_near_it() {
    let server = fleet(&json!({}));

    // The first to ask from a place, and those after it.
    for _ in 0..3 {
        assert_eq!(a(&server, EU_1A), [1, 2, 3]);
        assert_eq!(a(&server, EU_1B), [4, 5, 6]);
        assert_eq!(a(&server, US), [7, 8, 9]);
        assert_eq!(a(&server, "127.0.1.200"), [7, 8, 9], "the longest network wins");
        assert_eq!(a(&server, NOWHERE).len(), 8, "of nine");
    }
    let firsts = |source: &str, m: usize| {
        let mut counts = BTreeMap::new();
        for _ in 0..m {
            let reply = from(&server, source, &Query::new(NAME, "A"));
            *counts.entry(numbers(&reply.data()[..1])[0]).or_insert(0) += 1;
        }
        counts
    };
    let turns: BTreeMap<usize, usize> = [(4, 20), (5, 20), (6, 20)].into();
    assert_eq!(firsts(EU_1B, 60), turns, "round robin is exact there too");
}

#[test]
fn dig_sees_it_by_every_transport_and_source() {
    if !needs::works(needs::DIG) {
        return;
    }
    let server = fleet(&json!({}));
    let sorted = |line: &str| {
        let lines = dig(server.dns.address, line);
        numbers(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    };

    for tcp in ["+notcp", "+tcp"] {
        assert_eq!(sorted(&format!("-b {EU_1A} {NAME} +short {tcp}")), [1, 2, 3]);
        assert_eq!(sorted(&format!("-b {US} {NAME} +short {tcp}")), [7, 8, 9]);
        // The client subnet says more than the source.
        let told = format!("-b {US} {NAME} +short {tcp} +subnet=10.2.3.0/24");
        assert_eq!(sorted(&told), [4, 5, 6]);
        let v6 = format!("-b {US} {NAME} +short {tcp} +subnet=2001:db8:1:2::/56");
        assert_eq!(sorted(&v6), [1, 2, 3]);
        // Length 0 is the source.
        assert_eq!(sorted(&format!("-b {EU_1B} {NAME} +short {tcp} +subnet=0")), [4, 5, 6]);
    }
    let scope = |line: &str| dig_comments(server.dns.address, line, "CLIENT-SUBNET");
    for (subnet, said) in [
        ("10.2.3.0/24", "10.2.3.0/24/24"),
        ("10.2.3.4/32", "10.2.3.4/32/24"),
        ("198.51.100.0/24", "198.51.100.0/24/24"),
        ("127.0.1.129/32", "127.0.1.129/32/32"),
        ("0.0.0.0/0", "0.0.0.0/0/0"),
    ] {
        let told = scope(&format!("{NAME} +subnet={subnet}"));
        assert_eq!(told, [format!("; CLIENT-SUBNET: {said}")]);
        let told = scope(&format!("k.key.{NAME} +subnet={subnet}"));
        let (everybody, _) = said.rsplit_once('/').unwrap();
        assert_eq!(told, [format!("; CLIENT-SUBNET: {everybody}/0")]);
    }
}

#[test]
fn a_place_that_is_short_sends_some_elsewhere_and_takes_them_back() {
    let server = fleet(&json!({ "answer": "single" }));
    let status = |n: usize, status: &str| {
        let path = format!("/v1/services/web/instances/i-{n}");
        assert_eq!(server.http.patch(&path, &json!({ "status": status })).status, 200);
    };
    let share = |source: &str| {
        let mut counts = [0_usize; 10];
        for _ in 0..1_000 {
            counts[a(&server, source)[0]] += 1;
        }
        counts
    };
    assert_eq!(share(EU_1A)[1..4].iter().sum::<usize>(), 1_000);

    status(1, "critical");
    status(2, "critical");

    // 1.4 of a third stays; the rest of the region is well.
    let shares = share(EU_1A);
    assert!(plausible(shares[3], 1_000, 1.4 / 3.0), "{shares:?}");
    assert_eq!(shares[4..7].iter().sum::<usize>(), 1_000 - shares[3], "{shares:?}");
    assert_eq!(share(EU_1B)[4..7].iter().sum::<usize>(), 1_000, "nobody else notices");

    status(3, "critical");
    let shares = share(EU_1A);
    assert_eq!(shares[4..7].iter().sum::<usize>(), 1_000, "{shares:?}");
    (4..=6).for_each(|n| status(n, "critical"));
    let shares = share(EU_1A);
    assert_eq!(shares[7..10].iter().sum::<usize>(), 1_000, "{shares:?}");

    (1..=6).for_each(|n| status(n, "passing"));
    assert_eq!(share(EU_1A)[1..4].iter().sum::<usize>(), 1_000);
}

#[test]
fn srv_lists_all_with_weights_for_the_client() {
    let server = fleet(&json!({}));
    let weights = |source: &str| {
        let reply = from(&server, source, &Query::new(NAME, "SRV"));
        let fields = |data: &str| {
            let fields: Vec<&str> = data.split([' ', '.']).collect();
            (fields[3].to_owned(), format!("{} {}", fields[0], fields[1]))
        };
        let all: BTreeMap<String, String> = reply.data().into_iter().map(fields).collect();
        all.into_values().collect::<Vec<_>>()
    };

    for _ in 0..2 {
        assert_eq!(weights(NOWHERE), ["0 256"; 9]);
        let (near, far) = (["0 65535"; 3], ["0 1"; 3]);
        assert_eq!(weights(EU_1B), [far, near, far].concat());
    }
}

#[test]
fn a_reload_moves_clients_and_a_setting_stops_it() {
    let server = fleet(&json!({}));
    assert_eq!(a(&server, EU_1A), [1, 2, 3]);

    server.write_config("[[localities]]\nnetworks = [\"127.0.1.0/24\"]\nregion = \"us\"\n");
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(a(&server, EU_1A), [7, 8, 9]);
    assert_eq!(a(&server, EU_1B).len(), 8);

    let twice = "[[localities]]\nnetworks = [\"127.0.1.0/24\"]\nregion = \"us\"\n\
                 [[localities]]\nnetworks = [\"127.0.1.0/24\"]\nregion = \"eu\"\n";
    server.write_config(twice);
    let reply = server.http.post("/v1/reload", None);
    assert_eq!((reply.problem().0, reply.problem().1), (422, "bad-config"));
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(detail.contains("registry.toml:5:13: localities[1].networks[0]"), "{detail}");
    assert!(detail.contains("localities[0].networks[0]"), "{detail}");
    assert_eq!(a(&server, EU_1A), [7, 8, 9], "a bad file changes nothing");

    server.write_config(LOCALITIES);
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(a(&server, EU_1A), [1, 2, 3]);
    server.http.set("web", &json!({ "locality": "off" }));
    assert_eq!(a(&server, EU_1A).len(), 8);
    server.http.set("web", &json!({}));
    assert_eq!(a(&server, EU_1A), [1, 2, 3]);
    server.write_config(&format!("{LOCALITIES}\n[defaults]\nlocality = \"off\"\n"));
    assert_eq!(server.http.post("/v1/reload", None).status, 200);
    assert_eq!(a(&server, EU_1A).len(), 8);
}

#[test]
fn resolve_tells_where_a_client_is_and_what_weighs_for_it() {
    let server = fleet(&json!({ "balance": "random" }));

    let body = server.http.get(&format!("/v1/resolve?name={NAME}&client={EU_1A}")).body;

    assert_eq!(body["locality"], json!({ "region": "eu", "zone": "eu-1a" }));
    let weights: Vec<&Value> =
        body["instances"].as_array().unwrap().iter().map(|i| &i["weight"]).collect();
    assert_eq!(weights, [1, 1, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(body["instances"][8]["reasons"], json!(["far, and nearer ones are enough"]));
    let body = server.http.get(&format!("/v1/resolve?name={NAME}&client={NOWHERE}")).body;
    assert_eq!(body["locality"], Value::Null);
}

#[test]
fn a_wrong_setting_is_refused_with_its_field() {
    let server = Server::start("");

    let reply = server.http.put("/v1/services/web", &json!({ "locality": "near" }));

    assert_eq!(reply.problem(), (400, "invalid", Some("locality")));
}
