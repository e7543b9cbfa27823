//! What a browser may be made to send, and what somebody may write into a request's head or path: the
//! rows of attacks that concern the side-port, each with what must come of it.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

#[cfg(test)]
#[expect(dead_code, reason = "each test crate uses a part of it")]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use support::http::Http;
use support::server::Server;

const WEB_1: &str = "/v1/services/web/instances/web-1";

/// A request as it stands; `head` has whole lines. Its status, and what it says.
fn sent(http: &Http, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
    let length =
        if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request =
        format!("{method} {path} HTTP/1.1\r\n{head}{length}Connection: close\r\n\r\n{body}");
    let mut stream = TcpStream::connect(http.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    let status = said.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{request}\n{said}")), said)
}

const BODY: &str = r#"{"addresses":["10.0.0.1"]}"#;
const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn a_server_is_called_by_its_own_names_alone() {
    let server = Server::start("[http]\nhosts = [\"Signpost.example\", \"192.0.2.7\"]");
    let own = server.http.address.to_string();
    for (host, status) in [
        (own.as_str(), 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:1", 200),
        ("localhost:8054", 200),
        ("LOCALHOST", 200),
        ("[::1]:8054", 200),
        ("signpost.example", 200),
        ("SIGNPOST.EXAMPLE.:8054", 200),
        ("192.0.2.7:80", 200),
        ("evil.example", 403),
        ("evil.example:8054", 403),
        ("a.signpost.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.0.2.8", 403),
        ("web.service.local", 403),
        ("127.1", 403),
        ("", 403),
    ] {
        let host = format!("Host: {host}\r\n");
        for (method, path, done) in [
            ("GET", "/v1/services", 200),
            ("GET", "/metrics", 200),
            ("POST", "/v1/reload", 200),
            ("PUT", "/v1/services/web/instances/none/heartbeat", 404),
        ] {
            let expected = if status == 200 { done } else { status };
            let (status, said) = sent(&server.http, method, path, &host, "");
            assert_eq!(status, expected, "{method} {path} {host}{said}");
        }
        // Probes know no name, and learn nothing.
        assert_eq!(sent(&server.http, "GET", "/healthz", &host, "").0, 200, "{host}");
    }
    for head in ["", "X-Forwarded-Host: localhost\r\n"] {
        assert_eq!(sent(&server.http, "GET", "/v1/services", head, "").0, 403, "{head}");
    }
    let twice = "Host: localhost\r\nHost: localhost\r\n";
    assert_eq!(sent(&server.http, "GET", "/v1/services", twice, "").0, 400);
    let absolute = "http://evil.example/v1/services";
    assert_eq!(sent(&server.http, "GET", absolute, "Host: localhost\r\n", "").0, 403);
}

#[test]
fn a_reload_changes_the_names() {
    let server = Server::start("");
    let get = || sent(&server.http, "GET", "/v1/services", "Host: signpost.example\r\n", "").0;
    assert_eq!(get(), 403);

    server.write_config("[http]\nhosts = [\"signpost.example\"]");
    assert_eq!(server.http.post("/v1/reload", None).status, 200);

    assert_eq!(get(), 200);
}

#[test]
fn pages_of_others_write_nothing() {
    let server = Server::start("");
    let own = server.http.address;
    let host = format!("Host: {own}\r\n");
    for (head, allowed) in [
        (String::new(), true),
        (format!("Origin: http://{own}\r\n"), true),
        (format!("Origin: https://{own}\r\nSec-Fetch-Site: same-origin\r\n"), true),
        ("Sec-Fetch-Site: none\r\n".into(), true),
        ("Origin: null\r\n".into(), false),
        ("Origin: http://evil.example\r\n".into(), false),
        ("Origin: http://localhost:1\r\n".into(), false),
        (format!("Origin: {own}\r\n"), false),
        (format!("Origin: http://{own}.evil.example\r\n"), false),
        (format!("Origin: http://{own}\r\nOrigin: http://evil.example\r\n"), false),
        ("Origin: \u{e9}\r\n".into(), false),
        ("Sec-Fetch-Site: cross-site\r\n".into(), false),
        ("Sec-Fetch-Site: same-site\r\n".into(), false),
        ("Sec-Fetch-Site: anything\r\n".into(), false),
    ] {
        for (method, path, body, done) in [
            ("PUT", WEB_1, BODY, &[200, 201][..]),
            ("PUT", "/v1/services/web/instances/web-1/heartbeat", "", &[200]),
            ("POST", "/v1/services/web/instances/web-1/drain", "", &[200]),
            ("DELETE", "/v1/services/web/instances/none", "", &[204]),
            ("POST", "/v1/reload", "", &[200]),
        ] {
            let kind = if body.is_empty() { "" } else { JSON };
            let head = format!("{host}{head}{kind}");
            let (status, said) = sent(&server.http, method, path, &head, body);
            let expected = if allowed { done } else { &[403] };
            assert!(expected.contains(&status), "{method} {path} {head}{said}");
        }
        // To read does no harm: the page is not shown what it gets.
        let head = format!("{host}{head}");
        assert_eq!(sent(&server.http, "GET", "/v1/services", &head, "").0, 200, "{head}");
    }
    let preflight =
        format!("{host}Origin: http://evil.example\r\nAccess-Control-Request-Method: PUT\r\n");
    let (status, said) = sent(&server.http, "OPTIONS", WEB_1, &preflight, "");
    assert_eq!(status, 403, "{said}");
    assert!(!said.to_lowercase().contains("access-control-"), "{said}");
    // What a form can send is no JSON.
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: multipart/form-data\r\n"] {
        assert_eq!(
            sent(&server.http, "PUT", WEB_1, &format!("{host}{kind}"), BODY).0,
            415,
            "{kind}"
        );
    }
}

#[test]
fn every_reply_tells_browsers_to_keep_and_guess_nothing() {
    let server = Server::start("");
    for (method, path) in [("GET", "/v1/services"), ("GET", "/nothing"), ("POST", "/v1/tokens")] {
        let (_, said) = sent(&server.http, method, path, "Host: localhost\r\n", "");
        for header in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(said.contains(&format!("\r\n{header}\r\n")), "{path} {header}: {said}");
        }
    }
}

#[test]
fn nobody_is_believed_for_what_they_write_of_themselves() {
    let server = Server::start("[auth]\nrequired = true\n");
    for head in [
        "User-Agent: Nacos-Server\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n",
        "X-Real-IP: 127.0.0.1\r\n",
        "Forwarded: for=127.0.0.1;host=localhost\r\n",
        "X-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\n",
        "X-HTTP-Method-Override: GET\r\n",
        "Authorization: Bearer\r\n",
        "Cookie: token=root\r\n",
    ] {
        let head = format!("Host: localhost\r\n{head}{JSON}");
        assert_eq!(sent(&server.http, "PUT", WEB_1, &head, BODY).0, 401, "{head}");
    }
    for path in ["/v1/services?access_token=x", "/v1/services?token=x"] {
        assert_eq!(sent(&server.http, "GET", path, "Host: localhost\r\n", "").0, 401, "{path}");
    }
    // The log has a warning of its own, and not a word of theirs.
    assert!(server.log().contains("there is no token of an admin"), "{}", server.log());
}

#[test]
fn no_spelling_of_a_path_goes_around_the_guard() {
    let server = Server::start("[auth]\nrequired = true\n");
    for path in [
        "//v1/services",
        "/v1//services",
        "/v1/services/",
        "/v1/services/.",
        "/healthz/../v1/services",
        "/healthz/%2e%2e/v1/services",
        "/healthz%2f..%2fv1/services",
        "/healthz;/v1/services",
        "/healthz/",
        "/V1/services",
        "/%761/services",
        "/v1/%73ervices",
        "/v1/services%00",
        "/v1/services%2fweb",
        "/v1/services\\web",
        "/readyz/%00",
        "/metrics/",
        "/v1/services/%2e%2e",
        "/v1/services/web/instances/%2e%2e/heartbeat",
        "/v1/services/web/instances/..%2f..",
        "/v1/tokens/..%2fservices",
    ] {
        for method in ["GET", "PUT", "DELETE", "POST"] {
            let (status, said) = sent(&server.http, method, path, "Host: localhost\r\n", "");
            assert!([400, 401, 404, 405].contains(&status), "{method} {path}: {said}");
            assert!(!said.contains("\"services\""), "{method} {path}: {said}");
        }
    }
    let names = Server::start("");
    for name in
        ["%00", "a%00", "%2e%2e", "..", "%2f", "a%2fb", "%25", "%0d%0ax", "%c3%a9", "*", "@"]
    {
        for path in [
            format!("/v1/services/{name}/instances/a"),
            format!("/v1/services/web/instances/{name}"),
        ] {
            let head = format!("Host: localhost\r\n{JSON}");
            let (status, said) = sent(&names.http, "PUT", &path, &head, BODY);
            assert_eq!(status, 400, "{path}: {said}");
        }
    }
    assert_eq!(names.http.get("/v1/services").body["services"], json!([]));
}

#[test]
fn nobody_registers_where_secrets_are() {
    let server = Server::start("");
    for address in [
        "169.254.169.254",
        "169.254.1.1",
        "fe80::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "64:ff9b::a9fe:a9fe",
        "::ffff:169.254.169.254",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "224.0.0.1",
        "0177.0.0.1",
        "127.1",
    ] {
        let reply = server.http.put(WEB_1, &json!({ "addresses": [address] }));
        assert_eq!(reply.problem(), (400, "invalid", Some("addresses[0]")), "{address}");
    }
}

#[test]
fn http2_is_guarded_alike() {
    let server = Server::start("");
    let url = format!("{}/v1/reload", server.url());
    for (head, status) in [
        ("x: y", "200"),
        ("host: evil.example", "403"),
        ("origin: http://evil.example", "403"),
        ("sec-fetch-site: cross-site", "403"),
    ] {
        let words = ["--http2-prior-knowledge", "-s", "-o", "/dev/null", "-w", "%{http_code}"];
        let mut curl = Command::new("curl");
        let said = curl.args(words).args(["-X", "POST", "-H", head, &url]).output().unwrap();

        assert_eq!(String::from_utf8(said.stdout).unwrap(), status, "{head}");
    }
}
