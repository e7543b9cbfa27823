//! Names, addresses and paths that must not get in: each with the problem and the field it is told.

use serde_json::{Value, json};

use crate::WEB;
use crate::raw::send;
use crate::support::server::Server;

#[test]
fn dangerous_names_are_refused_by_field() {
    let server = Server::start(WEB);
    let long = "a".repeat(64);
    let body = json!({ "addresses": ["10.0.0.1"] });

    for name in [
        "@",
        "*",
        ".",
        "..",
        "%20",
        "%00",
        "%0a",
        "%0d%0aX",
        "%09",
        "%1b%5b31m",
        "%7f",
        "web.",
        ".web",
        "a.b",
        "-web",
        "web-",
        "_web",
        "_dns-sd",
        "a%2fb",
        "a%5cb",
        "$ORIGIN",
        "a;b",
        "a:b",
        "%22",
        "%27",
        "%c3%a9",
        "%e2%80%ae",
        "%ef%bc%a1",
        "%ff",
        "%",
        "%zz",
        "ns1",
        &long,
        "%252e",
    ] {
        let path = format!("/v1/services/{name}/instances/a");
        assert_eq!(
            server.http.put(&path, &body).problem(),
            (400, "invalid", Some("service")),
            "{name}"
        );
    }
    for id in [
        "@",
        "*",
        ".",
        "..",
        "%20",
        "%00",
        "%0a",
        "a.",
        "a.b",
        "-a",
        "a-",
        "_a",
        "a%2fb",
        "%c3%a9",
        "%e2%80%ae",
        "tag",
        "zone",
        "key",
        "TAG",
        &long,
    ] {
        let path = format!("/v1/services/api/instances/{id}");
        assert_eq!(server.http.put(&path, &body).problem(), (400, "invalid", Some("id")), "{id}");
    }
    let of = |field: &str, value: Value| {
        let mut body = body.clone();
        body[field] = value;
        let reply = server.http.put("/v1/services/api/instances/a", &body);
        let (status, kind, field) = reply.problem();
        (status, kind.to_owned(), field.unwrap_or_default().to_owned())
    };
    let invalid = |field: &str| (400, "invalid".to_owned(), field.to_owned());
    for text in ["@", "*", "a.b", "", " ", "a\n", "\u{202e}a", "-a", "a-", &long] {
        assert_eq!(of("tags", json!([text])), invalid("tags[0]"), "{text:?}");
        assert_eq!(of("dependencies", json!([text])), invalid("dependencies[0]"), "{text:?}");
        assert_eq!(
            of("locality", json!({ "region": "eu", "zone": text })),
            invalid("locality.zone")
        );
        let port = json!([{ "name": text, "port": 80 }]);
        assert_eq!(of("ports", port), invalid("ports[0].name"), "{text:?}");
    }
    // Case folds: it is the same name, not another.
    server.http.register("API", "A", &body);
    assert_eq!(server.http.put("/v1/services/api/instances/a", &body).status, 200);
    assert_eq!(server.http.get("/v1/services").body["services"].as_array().unwrap().len(), 2);
    server.assert_well("after dangerous names");
}

#[test]
fn dangerous_addresses_are_refused_by_field() {
    let server = Server::start(WEB);

    for address in [
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "239.255.255.250",
        "ff02::1",
        "255.255.255.255",
        "::ffff:10.0.0.1",
        "::ffff:a00:1",
        "169.254.0.1",
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "010.0.0.1",
        "0x0a.0.0.1",
        "10.1",
        "167772161",
        "10.0.0.1/32",
        "10.0.0.1:80",
        "[2001:db8::1]",
        " 10.0.0.1",
        "10.0.0.1 ",
        "10.0.0.1\n",
        "10.0.0.256",
        "1.2.3",
        "",
        "localhost",
        "web.service.local",
        "2001:db8::g",
        "2001:db8:::1",
        "\u{ff11}0.0.0.1",
    ] {
        let body = json!({ "addresses": ["10.0.0.1", address] });
        let reply = server.http.put("/v1/services/api/instances/a", &body);
        assert_eq!(reply.problem(), (400, "invalid", Some("addresses[1]")), "{address:?}");
    }
    // What is legal is kept in one form.
    let body = json!({ "addresses": ["2001:DB8:0:0:0:0:0:1", "127.0.0.1"] });
    server.http.register("api", "a", &body);
    let kept = server.http.get("/v1/services/api/instances/a").body["addresses"].clone();
    assert_eq!(kept, json!(["2001:db8::1", "127.0.0.1"]));
    server.assert_well("after dangerous addresses");
}

#[test]
fn no_spelling_of_a_path_leads_elsewhere() {
    let server = Server::start(WEB);

    for (path, status) in [
        ("/v1/services/web", 200),
        ("/v1/services/WEB", 200),
        ("/v1/services/%77eb", 200),
        ("http://localhost/v1/services/web", 200),
        ("http://evil.example/v1/services/web", 403),
        ("*", 404),
        ("//v1/services/web", 404),
        ("/v1//services/web", 404),
        ("/v1/services//web", 404),
        ("/v1/services/web/", 404),
        ("/v1/services/web//", 404),
        ("/V1/services/web", 404),
        ("/v1/Services/web", 404),
        ("/./v1/services/web", 404),
        ("/v1/x/../services/web", 404),
        ("/v1/%2e%2e/v1/services/web", 404),
        ("/v1%2fservices%2fweb", 404),
        ("/v1/services/web%2f..%2f..%2fsnapshot", 400),
        ("/v1/services/..", 400),
        ("/v1/services/%2e%2e", 400),
        ("/v1/services/%252e%252e", 400),
        ("/v1/services/web%00", 400),
        ("/v1/services/web%00.json", 400),
        ("/v1/services/web.", 400),
        ("/v1/services/web;a=b", 400),
        ("/v1/services/web%20", 400),
        ("/v1/services/web%0d%0aHost:%20evil", 400),
        ("/v1/services/web\\..\\..", 400),
        ("/healthz%00", 404),
        ("/healthz/", 404),
        ("/healthz/..;/v1/snapshot", 404),
        ("/v1/services/web?wait=%00", 400),
        ("/v1/services/web?index=1&index=2", 400),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");

        let reply = send(server.http.address, request.as_bytes());

        assert_eq!(reply.status, status, "{path} {reply:?}");
        assert!(!reply.body().contains("web-1") || status == 200, "{path} {reply:?}");
    }
    server.assert_well("after odd paths");
}
